"""Letters that are not what they should be: those of other keyboards, look-alikes, unseen ones, words cut by hyphens.

Pure. The tables are in letters.toml. Only documents with a sign of it leave Polars for Python's regular expressions.
"""

import re
import tomllib
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.resources import files
from typing import Any

import polars as pl

# Where a joiner or non-joiner shows in how letters are drawn: next to a sign that takes a vowel away, and between
# Arabic letters. Anywhere else nobody sees it.
_VIRAMAS = "\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca\u1039\u17d2"
_ARABIC = "\u0620-\u064a\u066e-\u06d3\u06d5\u06ee\u06ef\u06fa-\u06ff\u0750-\u077f\u08a0-\u08c9"  # letters
_WITHOUT_JOINERS = {"ug", "ku"}  # languages in Arabic script that have a letter for every vowel
# Arabic letters that never join to the left, so that a non-joiner behind them says nothing.
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
_NAMES = {"Latn": "LATIN", "Cyrl": "CYRILLIC", "Grek": "GREEK"}  # as Unicode names their letters
_WITH_CASE = {"Latn", "Cyrl", "Grek", "Armn"}
_SOFT = r"(\p{L}) ?\u00AD[ \n]*(\p{L})"  # a soft hyphen is within a word, whatever space a page has put there
_CUT = re.compile(r"(?<![^\W\d_])([^\W\d_]+)-\n([^\W\d_]+)")


@cache
def _tables() -> Mapping[str, Any]:
    return tomllib.loads(files("lrldata.web").joinpath("letters.toml").read_text("utf-8"))


def repair_letters(texts: pl.Series, script: str | None, language: str) -> pl.Series:
    """Return texts with the letters that are meant, as far as one form alone is right; `script` is the main one."""
    if language in _tables()["replacement"]:
        texts = _where(texts, _signs(language), partial(_replaced, language=language))
    if script in _MIXED:
        own, foreign = _MIXED[script]
        texts = _where(texts, f"{own}{foreign}|{foreign}{own}", partial(_unmixed, script=script))
    return texts


def without_joiners(texts: pl.Series, language: str) -> pl.Series:
    """Return texts without joiners and non-joiners where these change nothing.

    The letters beside them say so, whatever the language is mostly written in: many have several scripts.
    """
    return _where(texts, _JOINERS, partial(_ALL_JOINERS.sub, partial(_joiner, language=language)))


def _joiner(found: re.Match[str], language: str) -> str:
    """Return what stays of a run of joiners: one at most."""
    text, begin, end = found.string, found.start(), found.end()
    before, after = text[begin - 1 : begin], text[end : end + 1]
    if before in _VIRAMAS_SET or after in _VIRAMAS_SET:
        return found[0][0]
    between = before not in _UNJOINED and _ARABIC_LETTER.match(before) and _ARABIC_LETTER.match(after)
    return "\u200c" if between and "\u200c" in found[0] and language not in _WITHOUT_JOINERS else ""


def join_hyphens(texts: pl.Series, script: str | None, language: str) -> pl.Series:
    """Return texts without the hyphens, and the line ends behind them, that cut words in two."""
    texts = texts.str.replace_all(_SOFT, "$1$2")
    if script not in _WITH_CASE:
        return texts
    kept = frozenset(_tables()["hyphens"].get(language, ()))
    return _where(texts, r"\p{L}-\n\p{Ll}", partial(_CUT.sub, partial(_joined, kept=kept)))


def _where(texts: pl.Series, sign: str, change: Callable[[str], str]) -> pl.Series:
    """Change the texts in which a sign is found."""
    found = texts.str.contains(sign)
    if not found.any():
        return texts
    return texts.scatter(found.arg_true(), pl.Series([change(text) for text in texts.filter(found)], dtype=pl.String))


@cache
def _signs(language: str) -> str:
    """Return a pattern of what the replacements of a language look for."""
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
    """Put a script's own letters for look-alikes: in words that have both, and beside such in words of these alone."""
    table = str.maketrans(_tables()["look_alikes"][script])
    foreign = frozenset(map(chr, table))

    def whole(line: str) -> str:
        if foreign.isdisjoint(line):
            return line
        mixed = False

        def repaired(word: re.Match[str]) -> str:
            nonlocal mixed
            alien = [letter for letter in word[0] if _is_of_others(letter, script)]
            if alien and len(alien) < len(word[0]) and foreign.issuperset(alien):
                mixed = True
                return word[0].translate(table)
            return word[0]

        line = _WORD.sub(repaired, line)
        if not mixed:
            return line
        return _WORD.sub(lambda word: word[0].translate(table) if foreign.issuperset(word[0]) else word[0], line)

    return "\n".join(map(whole, text.split("\n")))


@cache
def _is_of_others(letter: str, script: str) -> bool:
    others = {name for code, name in _NAMES.items() if code != script}
    return unicodedata.name(letter, "").split(" ")[0] in others or letter == "\u00b5"


def _joined(cut: re.Match[str], kept: frozenset[str]) -> str:
    left, right = cut.groups()
    if not right[0].islower():
        return cut[0]
    return f"{left}-{right}" if left.lower() in kept else left + right
