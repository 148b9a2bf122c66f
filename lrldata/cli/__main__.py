"""`python -m lrldata.cli`."""

from lrldata.cli import main

if __name__ == "__main__":
    main()
