"""`python -m hub_cards` is `lrl`."""

from hub_cards.cli import main

if __name__ == "__main__":
    main()
