"""Run `python -m lrldata` as `lrldata`."""

from lrldata.cli import main

if __name__ == "__main__":
    main()
