"""Run `lrl` with `python -m hub_cards`."""

from hub_cards.cli import main

if __name__ == "__main__":
    main()
