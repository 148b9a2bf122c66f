"""Prompting: evaluate language models on the same tasks as adapters, locally by likelihood or through an endpoint."""
