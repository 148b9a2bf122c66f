"""Normalize text as it is read: NFC, uniform line ends, no control characters. Pure.

The same sentence may be written with composed letters or with letters and combining marks, with the line ends of three
systems, and with nulls and form feeds left over from extraction. Every source goes through here (files, datasets on the
Hub, ConceptNet, task data), so that a text gives the same numbers however it was stored.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import cache, partial
from itertools import filterfalse

import polars as pl

LAST_LETTER = 0x323B0  # as of Unicode 16, there is no letter from here on
_LINE_END = r"\r\n?|[\u2028\u2029]"
# These become spaces, because they separate words. Those from U+0080 stay: most are Windows-1252 characters that were
# read as Latin-1, which the repair of web text restores.
_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f]"
_SURROGATE = re.compile("[\ud800-\udfff]")
_CHANGES = re.compile(rf"{_LINE_END}|{_CONTROL}|{_SURROGATE.pattern}")


def normalize(text: str) -> str:
    r"""Return a text in NFC, with `\n` for each line end and a space for each ASCII control except tab and newline.

    A lone surrogate, which is not a character, becomes U+FFFD. Idempotent.
    """
    if text.isascii() and text.isprintable():
        return text
    if _CHANGES.search(text):
        text = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", re.sub(_CONTROL, " ", re.sub(_LINE_END, "\n", text)))
    return unicodedata.normalize("NFC", text)


def normalized(text: pl.Expr) -> pl.Expr:
    """Return a column of texts, normalized in the same way; null stays null."""
    return text.map_batches(_normalized, return_dtype=pl.String)


def _normalized(texts: pl.Series) -> pl.Series:
    """Normalize only the texts that need it; searching for them is ten times as fast."""
    return change_matching(
        texts,
        rf"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029]|{loose()}",
        lambda part: part.str.replace_all(_LINE_END, "\n").str.replace_all(_CONTROL, " ").str.normalize("NFC"),
    )


def composed(texts: pl.Series) -> pl.Series:
    """Return texts in NFC. Few need it, and searching for them is ten times as fast as composing all."""
    return change_matching(texts, loose(), lambda part: part.str.normalize("NFC"))


def lowered(texts: pl.Series) -> pl.Series:
    """Return texts in lower case. Most scripts have no case, and checking is four times as fast as lower-casing."""
    return change_matching(texts, r"\p{Changes_When_Lowercased}", lambda part: part.str.to_lowercase())


def change_matching(
    texts: pl.Series, pattern: str, change: Callable[[pl.Series], pl.Series], *, literal: bool = False
) -> pl.Series:
    """Return texts, changed where they match a pattern; `change` gets only those."""
    matches = texts.str.contains(pattern, literal=literal)
    return replaced_at(texts, matches.arg_true(), change(texts.filter(matches))) if matches.any() else texts


def change_each(texts: pl.Series, pattern: str, change: Callable[[str], str], *, literal: bool = False) -> pl.Series:
    """Return texts, each changed by a function if it matches a pattern."""
    return change_matching(
        texts, pattern, lambda part: pl.Series([change(text) for text in part], dtype=pl.String), literal=literal
    )


def replaced_at(texts: pl.Series, places: pl.Series, values: pl.Series) -> pl.Series:
    """Return texts with other values at some places. Polars' own `scatter` would also change the argument."""
    return texts.clone().scatter(places, values)


@cache
def loose() -> str:
    """Return a regex class of the characters that may not be in NFC: marks, jamo, and what NFC replaces."""
    replaced = filterfalse(partial(unicodedata.is_normalized, "NFC"), map(chr, range(0xA0, 0x30000)))
    return r"[\p{M}\u1160-\u11FF" + "".join(replaced) + "]"
