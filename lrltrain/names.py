"""Names of models, as folders, tables and repositories write them. Pure."""


def base_name(identifier: str) -> str:
    """Return the last part of a model's id: xlm-roberta-base."""
    return identifier.rstrip("/").rsplit("/", maxsplit=1)[-1]
