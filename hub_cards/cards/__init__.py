"""Cards: the README files that describe datasets and adapters on the Hub."""
