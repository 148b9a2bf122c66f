"""Run `python -m lrldata.cli` as `lrldata`."""

from lrldata.cli import main

if __name__ == "__main__":
    main()
