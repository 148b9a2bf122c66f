"""Map the labels of a model to the rows of the language table. Pure."""

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files

from lrldata.language import Language, languages

_ANY = "*"  # script in the labels of a language that is in the table without scripts


def codes_of(labels: Iterable[str]) -> dict[str, str | None]:
    """Return for each label of one model its code in `lrldata.language`, or None if the table has no row for it.

    Labels come without `__label__`: `ron_Latn`, `ron-Latn`, `ron` or `ro`. They are read together, because the same
    three letters mean one language in Wikipedia's codes (which include two-letter ones) and another in ISO 639-3.
    """
    all_labels, known = list(labels), _by_label(languages())
    wikipedia = _exceptions()["wikipedia"] if any(len(label) == 2 for label in all_labels) else {}
    return {label: wikipedia.get(label) or _find(label.replace("-", "_"), known) for label in all_labels}


def _find(label: str, known: Mapping[str, str]) -> str | None:
    return known.get(label) or known.get(f"{label.partition('_')[0]}_{_ANY}")


@cache
def _exceptions() -> dict[str, dict[str, str]]:
    return tomllib.loads(files("lrldata.langid").joinpath("labels.toml").read_text("utf-8"))


@cache
def _by_label(table: tuple[Language, ...]) -> dict[str, str]:
    """Return the code for every known label: exact columns first, then codes with each script of the row."""
    code_of = dict(_exceptions()["script"])
    # A row for a second script (`kas_Deva`) shares its ISO codes with the main row, which wins.
    rows = sorted(table, key=lambda row: "_" in row.code)
    for row in rows:
        for label in (row.sib200, row.flores, row.glotcc):
            if label:
                code_of.setdefault(label.replace("-", "_"), row.code)
    for row in rows:
        codes = [code for code in (row.code, row.iso639_1, row.iso639_3, *row.aliases) if code and code.islower()]
        for code in codes:
            if len(code) in (2, 3):
                code_of.setdefault(code, row.code)
                for script in row.scripts or (_ANY,):
                    code_of.setdefault(f"{code}_{script}", row.code)
    return code_of
