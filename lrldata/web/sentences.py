"""Ends of sentences: at the marks of their script, but not after initials and abbreviations, nor before a small letter.

Pure.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import polars as pl

from lrldata.web.characters import CLOSING
from lrldata.web.repair import UNSPACED

_GOES_ON = "\x01"  # stands for a space at which no sentence ends
_CAPITAL = r"\p{Lu}\p{M}*"
_LETTER = r"[[\p{Lu}\p{Lo}\p{Georgian}]--[ය]]\p{M}*"  # except Sinhala's verb "is", which ends sentences
_BEGIN = r"([^\p{Ll} ]|\p{Georgian})"  # what a sentence begins with; Georgian only has small letters
# Full stops after which a sentence continues: after an initial, and after a letter before a number. A letter of a
# script without capitals may be a word that ends a sentence; two in a row are initials.
_PAIR = rf"\b({_LETTER}\.) +({_LETTER}\.)"
_WITHIN = (
    *(rf"\b({_CAPITAL}\.) +", _PAIR, _PAIR),
    rf"({_GOES_ON}{_LETTER}\.) +",
    r"\b([\p{Latin}\p{Cyrillic}]\p{M}*\.) +(\p{Nd})",
)
_ENDS = (
    (rf"([!?؟]+[{CLOSING}]+) +{_BEGIN}", "$1\n$2"),  # quoted speech may be part of a sentence
    (r"([!?؟]+) +", "$1\n"),
    (rf"([۔।॥።፧፨៕།༎։᱾᱿꯫᙮᠃߹]+[{CLOSING}]*) +", "$1\n"),  # noqa: RUF001
    (r"([。！？။។]+[」』”）]*) *", "$1\n"),  # noqa: RUF001
)
# Scripts without spaces use the full stop for abbreviations; after a name in Latin letters it ends a sentence.
_FOREIGN = rf"(\p{{Latin}}{{3,}}\.[{CLOSING}]*) +([\p{{Lo}}\"“])"
_STOPS = rf"([.…]+[{CLOSING}]*) +{_BEGIN}"
_GREEK = rf"(;[{CLOSING}]*) +{_BEGIN}"


def cut(texts: pl.Series, script: str | None, language: str) -> pl.Series:
    """Put a line end after each sentence of texts, instead of the space that most scripts have there."""
    if script not in UNSPACED:
        for within in (*_WITHIN, _abbreviated(language)):
            texts = texts.str.replace_all(within, f"${{1}}{_GOES_ON}${{2}}")
    texts = texts.str.replace_all(_FOREIGN if script in UNSPACED else _STOPS, "$1\n$2")
    if script == "Grek":
        texts = texts.str.replace_all(_GREEK, "$1\n$2")
    for end, parted in _ENDS:
        texts = texts.str.replace_all(end, parted)
    return texts.str.replace_all(_GOES_ON, " ", literal=True)


@cache
def _abbreviated(language: str) -> str:
    words = (*_table()["any"], *_table().get(language, ()))
    forms = "|".join(f"(?i:{re.escape(word[0])}){re.escape(word[1:])}" for word in words)  # "VS" is another word
    return rf"\b((?:{forms})\.) +"


@cache
def _table() -> Mapping[str, Sequence[str]]:
    return tomllib.loads(files("lrldata.web").joinpath("abbreviations.toml").read_text("utf-8"))
