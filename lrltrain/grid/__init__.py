"""The grid: languages x sources x base models x methods x tasks x seeds, as jobs that an engine spreads."""
