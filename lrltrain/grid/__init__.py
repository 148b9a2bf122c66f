"""The grid: languages x sources x base models x methods x tasks x seeds, split into jobs that an engine runs."""
