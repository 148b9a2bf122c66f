"""Rules for lines by phrases of web pages: boilerplate, menus, shops, spam, adult pages, captchas. Pure.

The phrases are those of the language and those of all languages (phrases.toml). Only short lines are examined, as a
long one that names a cookie is an article about cookies; lines that end like a sentence need more phrases. Few lines
contain a phrase at all, and only those are processed outside Polars.
"""

import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import numpy as np
import polars as pl

from lrldata.normalize import lowered
from lrldata.web.characters import CLOSING, SENTENCE_MARKS, points_in
from lrldata.web.repair import UNSPACED

# How a sentence ends: not with a colon, as headings have one.
SENTENCE_END = rf"[{SENTENCE_MARKS}][{CLOSING}]*$"
KINDS = ("boilerplate", "captcha", "shop", "spam", "adult", "menu", "byline")
_SPECIFIC = ("boilerplate", "captcha", "cart", "spam", "adult")  # few lines have their phrases; some are sentences
_EVERYDAY = ("button", "shop", "menu", "byline")  # many lines have their phrases, which say nothing in a sentence
_LIKE_A_SENTENCE = 80  # characters
_WITH_PREFIXES, _SHORT = {"Ethi", "Hebr"}, 3  # scripts that attach prepositions and articles to words
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bb\u02bc\u02b9\u0060\u00b4", "'"))
_HANDLE = r"@[\w.]{2,30}"
_TIME = r"\d+(?:[.:/\-\u066b]\d+)*"
_CLOCK = re.compile(r"\d{1,2}:\d\d|\d{1,4}([./-])\d{1,2}\1\d{2,4}")
_LETTER = re.compile(r"[^\W\d_]")


@cache
def _table() -> Mapping[str, Mapping[str, Sequence[str]]]:
    return tomllib.loads(files("lrldata.web").joinpath("phrases.toml").read_text("utf-8"))


def folded(texts: pl.Series) -> pl.Series:
    """Return texts in the form in which phrases are searched for: in lower case, with one kind of apostrophe."""
    return lowered(texts).str.replace_all("[\u2018\u2019\u02bb\u02bc\u02b9\u0060\u00b4]", "'")


def judge(texts: pl.Series, language: str, script: str | None, numbers: Mapping[str, float]) -> pl.Series:
    """Return for each short line which of KINDS it is, null if none.

    `language` is a code of `lrldata.language`, `script` its main script; `numbers` are the thresholds in rules.toml.
    """
    lower, ended = folded(texts), texts.str.contains(SENTENCE_END)
    if script in UNSPACED:  # few sentences have a visible end
        ended |= texts.str.len_chars() > _LIKE_A_SENTENCE
    # Whole words are searched for only in lines that contain a phrase of the kind anywhere, which few do. A line of a
    # shop also has a number; a byline has a number or the name of an account.
    names = [kind for kind in (*_SPECIFIC, *_EVERYDAY) if _needles(language, kind)]
    contains = {kind: lower.str.contains_any(list(_needles(language, kind))) for kind in names}
    numbered = lower.str.contains(r"\p{Nd}")
    contains["shop"] &= numbered
    contains["byline"] = (contains["byline"] & numbered) | lower.str.contains("@", literal=True)
    for kind in _EVERYDAY:
        if kind in contains:
            contains[kind] &= ~ended
    table = pl.DataFrame(contains)
    places = table.select(pl.any_horizontal(pl.all())).to_series().arg_true()
    line_kinds = [
        _kind(text, end, {kind: _words(language, kind, script) for kind in names if row[kind]}, numbers)
        for text, end, row in zip(
            lower.gather(places), ended.gather(places), table[places].iter_rows(named=True), strict=True
        )
    ]
    return pl.Series([None], dtype=pl.String).new_from_index(0, len(texts)).scatter(places, line_kinds)


def _kind(text: str, ended: bool, words: Mapping[str, re.Pattern[str]], numbers: Mapping[str, float]) -> str | None:
    """Return the kind of a folded line; `ended` tells whether it ends like a sentence.

    `words` has the patterns of only those kinds whose phrases the line may contain.
    """
    for kind in ("captcha", "boilerplate", "button"):
        if kind in words and (_begins(words[kind], text) if kind == "button" else words[kind].search(text)):
            return "boilerplate" if kind == "button" else kind
    least = int(numbers["least_words_of_a_kind"]) + ended
    for kind in ("adult", "spam"):
        if kind in words and len(_distinct(words[kind], text)) >= least:
            return kind
    if ended:
        return None
    if ("cart" in words and words["cart"].search(text)) or (
        "shop" in words and len(_distinct(words["shop"], text)) >= numbers["least_words_of_a_shop"]
    ):
        return "shop"
    letters = len(_LETTER.findall(text))
    if "menu" in words:
        entries = [match[0] for match in words["menu"].finditer(text)]
        if len(set(entries)) >= numbers["least_entries"] and _letters(entries) >= numbers["most_entries"] * letters:
            return "menu"
    return "byline" if "byline" in words and _is_byline(text, letters, words["byline"], numbers) else None


def _begins(words: re.Pattern[str], text: str) -> bool:
    match = words.search(text)
    return match is not None and not _LETTER.search(text[: match.start()])


def _distinct(words: re.Pattern[str], text: str) -> set[str]:
    return {match[0] for match in words.finditer(text)}


def _letters(phrases: Sequence[str]) -> int:
    return sum(len(_LETTER.findall(phrase)) for phrase in phrases)


def _is_byline(text: str, letters: int, words: re.Pattern[str], numbers: Mapping[str, float]) -> bool:
    """Return whether a line says who wrote something, or when, and almost nothing else."""
    if letters > numbers["longest_byline"]:
        return False
    rest, handles = re.subn(_HANDLE, " ", text)
    rest, times = re.subn(_TIME, " ", rest)
    date_words = [match[0] for match in words.finditer(rest)]
    rest = words.sub(" ", rest)
    # A short word next to a number proves nothing: "5 de lei".
    dated = times and date_words and (_CLOCK.search(text) or any(len(word) > _SHORT for word in date_words))
    if not (handles or dated):
        return False
    return len(_LETTER.findall(rest)) < numbers["shortest_line"] or (
        bool(handles) and text.startswith("@") and len(_LETTER.findall(rest)) < 2 * numbers["shortest_line"]
    )


@cache
def _phrases(language: str, kind: str) -> tuple[str, ...]:
    """Return the phrases of a kind; in Latin script, also as they are typed without diacritics."""
    rows = [*_table()["any"].get(kind, ()), *_table().get(language, {}).get(kind, ())]
    forms: dict[str, None] = {}
    for row in rows:
        normalized = unicodedata.normalize("NFC", row.lower().translate(_APOSTROPHES))
        forms[normalized] = None
        bare = "".join(
            letter for letter in unicodedata.normalize("NFD", normalized) if unicodedata.category(letter) != "Mn"
        )
        bare = bare.replace("ə", "e").replace("ħ", "h").replace("\u0131", "i")
        if bare.rstrip("*").replace(" ", "").isascii() and len(bare) > 4:
            forms[bare] = None
    return tuple(forms)


@cache
def _needles(language: str, kind: str) -> tuple[str, ...]:
    return tuple(phrase.rstrip("*") for phrase in _phrases(language, kind))


@cache
def _words(language: str, kind: str, script: str | None) -> re.Pattern[str]:
    """Return a pattern of the phrases of a kind: whole words, except in scripts without spaces and at open ends."""
    letter = "[a-z]" if script in UNSPACED else rf"(?:[^\W\d_]|[{_marks()}])"
    before = "(?<![a-z])" if script in UNSPACED else rf"(?<![^\W\d_])(?<![{_marks()}])"
    groups: dict[tuple[str, str], list[str]] = {}
    for phrase in sorted(_phrases(language, kind), key=lambda phrase: (-len(phrase), phrase)):
        bare, is_open = phrase.rstrip("*"), phrase.endswith("*")
        lettered = bare.isascii() or script not in UNSPACED
        begin = before if lettered and unicodedata.category(bare[0])[0] in "LM" else ""
        begin = "" if script in _WITH_PREFIXES and len(bare) > _SHORT else begin
        closed = lettered and unicodedata.category(bare[-1])[0] in "LM"
        end = (f"{letter}*" if is_open else f"(?!{letter})") if closed else ""
        groups.setdefault((begin, end), []).append(re.escape(bare))
    return re.compile("|".join(f"{begin}(?:{'|'.join(forms)}){end}" for (begin, end), forms in groups.items()))


@cache
def _marks() -> str:
    """Return the ranges of marks: they are parts of words, but `re` does not count them as such."""
    points = points_in(r"\p{M}")
    runs = np.split(points, np.flatnonzero(np.diff(points) != 1) + 1)
    # Literal characters: parsing escapes would take most of the time of compiling a pattern.
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs)
