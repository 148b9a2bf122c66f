"""`python -m lrltrain` is `lrltrain`."""

from lrltrain.cli import main

if __name__ == "__main__":
    main()
