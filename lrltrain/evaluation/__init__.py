"""Evaluation of a model with and without an adapter."""
