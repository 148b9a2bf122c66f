"""Cards: what the repositories of the Hub say of datasets and adapters."""
