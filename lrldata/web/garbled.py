"""Rules for lines that are not words: badly scanned text, keyboard mash. Pure.

How a language forms words is measured by how much more often one letter follows another than it would by chance: their
pointwise mutual information (Church and Hanks 1990) in the training text of SIB-200 (pairs.npz, by
tools/make/web_pairs.py). Its mean over the pairs of a line is above zero in text, and far below zero in random letters.
"""

import unicodedata
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from lrldata.normalize import LAST_LETTER, lowered
from lrldata.web.characters import Counts, points_in
from lrldata.web.pii import PLACEHOLDERS

PAIRS = "pairs.npz"
STEPS = 8  # of information per nat
# Signs that scanners put for what they cannot read: those that writers use count between letters only, the others
# anywhere. Commas and full stops do not count, because many writers leave out the space after them.
_WITHIN = r"[\p{L}\p{M}་][~^°`§¬|*!;:<>\\{}\[\]_=+#%&$@\"\p{Nd}]+[\p{L}\p{M}་]"
_ALIEN = r"[\p{L}\p{M}--\p{Latin}][A-Za-z]{1,2}[\p{L}\p{M}--\p{Latin}]"  # Latin letters in words of other scripts
_ODD = r"[~^`§¬|*\\{}<>=°]"
_LOST = r"[\p{L}\p{M}]\x{fffd}|\x{fffd}[\p{L}\p{M}]"  # a letter that was lost when text was read in another encoding
_SURELY_TEXT = {True: 0.78, False: 0.9}  # share of letters that only text has, in scripts with and without spaces
_ACRONYM = r"(\p{Hebrew})\""  # the Hebrew mark of acronyms, as it is typed
_QUOTED = r"<<|>>"  # quotation marks, as typed on keyboards that lack them
_LOOKED_AT = 100
_FEWEST = 15  # pairs, below which the mean says nothing
_ALPHABETS = {"LATIN", "CYRILLIC", "GREEK"}  # scripts of the foreign names and words in text
_ADDRESS = PLACEHOLDERS + r"|(?:https?://|www\.)\S+|\S+@\S+"
_HOST = r"[\w-]+(?:\.[\w-]+)+"  # not in _ADDRESS, where each search would scan its run of letters for an @


class _Pairs(NamedTuple):
    """The number of each code point among the letters of a language, and the information of each pair of numbers.

    0 stands for letters of other languages, 1 for what is between words; information is in STEPS per nat.
    """

    number: npt.NDArray[np.uint16]
    information: npt.NDArray[np.int8]


def is_garbled(
    texts: pl.Series, letters: Counts, share: npt.NDArray[np.float64], numbers: Mapping[str, float], *, spaced: bool
) -> pl.Series:
    """Return whether lines have so many signs within words that they must be badly scanned, or have lost letters.

    In: the number of letters and marks in each line, and their share of its characters. A line that consists almost
    entirely of them is not searched for signs.
    """
    lost = texts.str.contains(_LOST)
    places = pl.Series(np.flatnonzero(share < _SURELY_TEXT[spaced]))
    if not len(places):
        return lost
    plain = texts.gather(places)
    for pattern, replacement in ((_ADDRESS, " "), (f"{_HOST}|{_QUOTED}", " "), (_ACRONYM, "$1")):
        plain = plain.str.replace_all(pattern, replacement)
    signs = plain.str.count_matches(_WITHIN) + plain.str.count_matches(_ODD) + plain.str.count_matches(_ALIEN)
    many = (signs >= numbers["least_signs"]) & (signs * numbers["letters_per_sign"] >= pl.Series(letters[places]))
    return lost.scatter(places, many | lost.gather(places))


def is_gibberish(texts: pl.Series, long: npt.NDArray[np.bool_], language: str, least: float) -> pl.Series:
    """Return whether the pairs of letters in lines are unlike the language: a mean of less than `least` nats per pair.

    Only lines that are `long` are examined, and only their beginnings.
    """
    fits = pl.Series([False], dtype=pl.Boolean).new_from_index(0, len(texts))
    if not long.any() or _pairs(language) is None:
        return fits
    places = pl.Series(np.flatnonzero(long))
    return fits.scatter(places, pl.Series(information(texts.gather(places).str.head(_LOOKED_AT), language) < least))


def information(texts: pl.Series, language: str) -> npt.NDArray[np.float64]:
    """Return for each text the mean pointwise mutual information of its pairs of letters, in nats, (texts,).

    The beginning and the end of a word count as a letter; pairs with letters of other languages do not count. 0 if too
    few pairs count, or if the pairs of the language are not known.
    """
    pairs = _pairs(language)
    if pairs is None or not len(texts):
        return np.zeros(len(texts))
    lower = lowered(texts)
    sizes = lower.str.len_chars().to_numpy().astype(np.int64) + 1
    joined = "\n" + lower.str.join("\n").item() + "\n"  # so that each text has its own beginning and end
    points = np.frombuffer(joined.encode("utf-32-le"), dtype=np.uint32)
    number = pairs.number[np.minimum(points, LAST_LETTER)]
    first, second = number[:-1], number[1:]
    counted = (first > 0) & (second > 0) & ((first > 1) | (second > 1))  # 1 stands for what is between words
    begins = np.cumsum(sizes) - sizes
    scores = pairs.information[first, second] * counted
    sums, counts = (np.add.reduceat(values.astype(np.int64), begins) for values in (scores, counted))
    return np.asarray(np.where(counts >= _FEWEST, sums / (STEPS * np.maximum(counts, 1)), 0.0))


@cache
def _pairs(language: str) -> _Pairs | None:
    with np.load(Path(str(files("lrldata.web").joinpath(PAIRS)))) as archive:
        if f"{language}.letters" not in archive.files:
            return None
        letters, scores = archive[f"{language}.letters"], archive[f"{language}.information"]
    number = np.ones(LAST_LETTER + 1, dtype=np.uint16)
    number[points_in(r"\p{L}\p{M}")] = 0
    number[letters] = np.arange(2, len(letters) + 2)
    number[letters[_is_foreign(letters)]] = 0  # they come from names, and say nothing about text in that script
    table = np.zeros((len(letters) + 2, len(letters) + 2), dtype=np.int8)
    table[1:, 1:] = scores
    return _Pairs(number, table)


def _is_foreign(letters: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which letters are Latin, Cyrillic or Greek, although most are of another script."""
    scripts = [unicodedata.name(chr(point), "").partition(" ")[0] for point in letters]
    main = Counter(scripts).most_common(1)[0][0]
    return np.array([script in _ALPHABETS and script != main for script in scripts], dtype=np.bool_)
