"""`python -m lrldata` is `lrldata`."""

from lrldata.cli import main

if __name__ == "__main__":
    main()
