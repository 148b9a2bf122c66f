"""The probability from which a line counts as a language's: one threshold per model and language. Pure."""

import tomllib
from functools import cache
from importlib.resources import files

DEFAULT = 0.5  # for models and languages that were not measured


def threshold_of(model: str, language: str) -> float:
    """Return the threshold (a probability) of a model, by its name, for a language, by its code.

    Thresholds are measured by tools/make/lid_thresholds.py and stored in thresholds.toml, with the share of lines that
    they keep. Returns `DEFAULT` if the model or the language was not measured.
    """
    row = _table().get(model, {}).get(language)
    return DEFAULT if row is None else row["threshold"]


@cache
def _table() -> dict[str, dict[str, dict[str, float]]]:
    table: dict[str, dict[str, dict[str, float]]] = tomllib.loads(
        files("lrldata.langid").joinpath("thresholds.toml").read_text("utf-8")
    )
    return table
