"""Run `lrltrain` as `python -m lrltrain.cli`."""

from lrltrain.cli import main

if __name__ == "__main__":
    main()
