"""Prompted language models on the tasks of the adapters: local ones by likelihood, others through an endpoint."""
