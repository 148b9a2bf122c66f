"""Run `lrl` with `python -m hub_cards.cli`."""

from hub_cards.cli import main

if __name__ == "__main__":
    main()
