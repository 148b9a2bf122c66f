"""From the labels of a model to the rows of the language table. Pure."""

import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from lrldata.language import languages


def codes_of(labels: Iterable[str]) -> dict[str, str | None]:
    """Return the code in `lrldata.language` that each label of one model means, or None where the table has no row.

    Labels come without `__label__`: `ron_Latn`, `ron-Latn`, `ron` or `ro`. They are read together, as the same three
    letters mean one language in Wikipedia's codes (with two letters among them) and another in ISO 639-3.
    """
    every = list(labels)
    wikipedia = _exceptions()["wikipedia"] if any(len(label) == 2 for label in every) else {}
    return {label: wikipedia.get(label) or _code(label.replace("-", "_")) for label in every}


@cache
def _exceptions() -> dict[str, dict[str, str]]:
    return tomllib.loads(files("lrldata.langid").joinpath("labels.toml").read_text("utf-8"))


@cache
def _by_label() -> dict[str, str]:
    """Return every label that means a row: exact columns first, then codes with each script of the row."""
    found = dict(_exceptions()["script"])
    # A row for a second script (`kas_Deva`) shares its ISO codes with the main row, which wins.
    rows = sorted(languages(), key=lambda row: "_" in row.code)
    for row in rows:
        for label in (row.sib200, row.flores, row.glotcc):
            if label:
                found.setdefault(label.replace("-", "_"), row.code)
    for row in rows:
        codes = [code for code in (row.code, row.iso639_1, row.iso639_3, *row.aliases) if code and code.islower()]
        for code in codes:
            if len(code) in (2, 3):
                found.setdefault(code, row.code)
                for script in row.scripts:
                    found.setdefault(f"{code}_{script}", row.code)
    return found


def _code(label: str) -> str | None:
    return _by_label().get(label)
