"""Letters that need repair: those of other keyboards, look-alikes, invisible ones, and words split by hyphens.

Pure. The tables are in letters.toml. Only documents with a sign of such letters are processed outside Polars, by
Python's regular expressions.
"""

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from functools import cache, partial
from importlib.resources import files
from typing import Any

import polars as pl

from lrldata.normalize import change_each

# A joiner or non-joiner changes how letters are drawn only next to a sign that removes a vowel (a virama), and between
# Arabic letters. It is invisible anywhere else.
_VIRAMAS = "\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca\u1039\u17d2"
_ARABIC = "\u0620-\u064a\u066e-\u06d3\u06d5\u06ee\u06ef\u06fa-\u06ff\u0750-\u077f\u08a0-\u08c9"  # letters
_WITHOUT_JOINERS = {"ug", "ku"}  # languages in Arabic script with a letter for every vowel
# Arabic letters that never join to the left, so that a non-joiner after them has no effect.
_UNJOINED = "اأإآدذرزژڕڎڈڑوۆۇۈۋؤۅۊىةەءں"
_JOINERS = "[\u200c\u200d]"
_ALL_JOINERS = re.compile(f"{_JOINERS}+")
_VIRAMAS_SET = frozenset(_VIRAMAS)
_ARABIC_LETTER = re.compile(f"[{_ARABIC}]")
_WORD = re.compile(r"[^\W\d_]+")
_MIXED = {
    "Latn": (r"\p{Latin}", r"[\p{Cyrillic}\p{Greek}]"),
    "Cyrl": (r"\p{Cyrillic}", r"\p{Latin}"),
    "Grek": (r"\p{Greek}", r"[\p{Latin}\u00B5]"),
}
_NAMES = {"Latn": "LATIN", "Cyrl": "CYRILLIC", "Grek": "GREEK"}  # how Unicode names their letters
_WITH_CASE = {"Latn", "Cyrl", "Grek", "Armn"}
_SOFT = r"(\p{L}) ?\u00AD[ \n]*(\p{L})"  # a soft hyphen is inside a word, even if the page has a space next to it
_CUT = re.compile(r"(?<![^\W\d_])([^\W\d_]+)-\n([^\W\d_]+)")


@cache
def _tables() -> Mapping[str, Any]:
    return tomllib.loads(files("lrldata.web").joinpath("letters.toml").read_text("utf-8"))


def repair_letters(texts: pl.Series, script: str | None, language: str) -> pl.Series:
    """Return texts with the intended letters, if only one form is correct; `script` is the language's main script."""
    if language in _tables()["replacement"]:
        texts = change_each(texts, _signs(language), partial(_replaced, language=language))
    if script in _MIXED:
        native, foreign = _MIXED[script]
        texts = change_each(texts, f"{native}{foreign}|{foreign}{native}", partial(_unmixed, script=script))
    return texts


def without_joiners(texts: pl.Series, language: str) -> pl.Series:
    """Return texts without the joiners and non-joiners that have no effect.

    The adjacent letters decide, not the main script of the language: many languages have several scripts.
    """
    return change_each(texts, _JOINERS, partial(_ALL_JOINERS.sub, partial(_joiner, language=language)))


def _joiner(run: re.Match[str], language: str) -> str:
    """Return what is kept of a run of joiners: at most one."""
    text, begin, end = run.string, run.start(), run.end()
    before, after = text[begin - 1 : begin], text[end : end + 1]
    if before in _VIRAMAS_SET or after in _VIRAMAS_SET:
        return run[0][0]
    between = before not in _UNJOINED and _ARABIC_LETTER.match(before) and _ARABIC_LETTER.match(after)
    return "\u200c" if between and "\u200c" in run[0] and language not in _WITHOUT_JOINERS else ""


def join_hyphens(texts: pl.Series, script: str | None, language: str) -> pl.Series:
    """Return texts without the hyphens that split words in two, and without the line ends after them."""
    texts = texts.str.replace_all(_SOFT, "$1$2")
    if script not in _WITH_CASE:
        return texts
    kept = frozenset(_tables()["hyphens"].get(language, ()))
    return change_each(texts, r"\p{L}-\n\p{Ll}", partial(_CUT.sub, partial(_joined, kept=kept)))


@cache
def _signs(language: str) -> str:
    """Return a pattern that matches whatever the replacements of a language search for."""
    signs: list[str] = []
    for row in _tables()["replacement"][language]:
        signs += map(re.escape, row["letters"]) if "letters" in row else [re.sub(r"\(\?[^)]*\)", "", row["pattern"])]
    return "|".join(signs)


def _replaced(text: str, language: str) -> str:
    before = text
    for row in _tables()["replacement"][language]:
        if "unless" in row and row["unless"] in before:
            continue
        if "letters" in row:
            for old, new in row["letters"].items():
                text = text.replace(old, new)
        else:
            text = re.sub(row["pattern"], row["put"], text)
    return unicodedata.normalize("NFC", text)


def _unmixed(text: str, script: str) -> str:
    """Replace look-alikes in words that also have the script's letters, and then in words of look-alikes only."""
    table = str.maketrans(_tables()["look_alikes"][script])
    foreign = frozenset(map(chr, table))

    def repair_line(line: str) -> str:
        if foreign.isdisjoint(line):
            return line
        mixed = False

        def repair_word(word: re.Match[str]) -> str:
            nonlocal mixed
            foreign_letters = [letter for letter in word[0] if _is_foreign(letter, script)]
            if foreign_letters and len(foreign_letters) < len(word[0]) and foreign.issuperset(foreign_letters):
                mixed = True
                return word[0].translate(table)
            return word[0]

        line = _WORD.sub(repair_word, line)
        if not mixed:
            return line
        return _WORD.sub(lambda word: word[0].translate(table) if foreign.issuperset(word[0]) else word[0], line)

    return "\n".join(map(repair_line, text.split("\n")))


@cache
def _is_foreign(letter: str, script: str) -> bool:
    others = {name for code, name in _NAMES.items() if code != script}
    return unicodedata.name(letter, "").split(" ")[0] in others or letter == "\u00b5"


def _joined(cut: re.Match[str], kept: frozenset[str]) -> str:
    left, right = cut.groups()
    if not right[0].islower():
        return cut[0]
    return f"{left}-{right}" if left.lower() in kept else left + right
