"""Run `lrltrain` as `python -m lrltrain`."""

from lrltrain.cli import main

if __name__ == "__main__":
    main()
