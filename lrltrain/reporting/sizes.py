"""The amount of text of a language that a base model was trained on, if known (sizes.csv cites the sources). Pure."""

import csv
from functools import cache
from importlib.resources import files

CORPORA = {"cc100_mb": "CC100", "wikipedia_mb": "Wikipedia"}
_MODELS = {"xlm-roberta": "cc100_mb", "xlm-r-": "cc100_mb", "bert-base-multilingual": "wikipedia_mb"}


def corpus_of(base: str) -> str | None:
    """Return the column of sizes.csv for a base model, recognized by its name; None for other models."""
    name = base.rstrip("/").rsplit("/", maxsplit=1)[-1].lower()
    return next((corpus for model, corpus in _MODELS.items() if name.startswith(model)), None)


def size_of(base: str, language: str) -> float | None:
    """Return the MB (10**6 bytes) of a language in the training data of a base model: 0 for none, None if unknown."""
    corpus = corpus_of(base)
    return _sizes().get(language, {}).get(corpus) if corpus else None


@cache
def _sizes() -> dict[str, dict[str, float]]:
    lines = files("lrltrain.reporting").joinpath("sizes.csv").read_text("utf-8").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return {row["language"]: {corpus: float(row[corpus]) for corpus in CORPORA} for row in rows}
