"""What the characters of lines are: letters, marks, letters of the language's own scripts. Pure.

A table with an entry a code point says it, made from Unicode's properties as Polars' regular expressions know them. The
three counts of a character share one number, so that lines are counted in one pass over an array.
"""

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import pairwise
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from lrldata.language import COMPOSITE_SCRIPTS

SENTENCE_MARKS = ".!?؟۔।॥።፧፨៕។။།༎。！？։᱾᱿꯫᙮᠃߹"  # that end a sentence, in any script  # noqa: RUF001
CLOSING = "\"'»«”“’‘›‹)\\]"  # what may follow them, in a class of a regular expression: „…“ and »…« close so too  # noqa: RUF001
LONGEST = (1 << 21) - 1  # characters of a line that can be counted: three such counts are in 64 bits
_LAST, _SURROGATES = 0x323B0, slice(0xD800, 0xE000)  # no script has letters beyond, up to Unicode 16
_LETTERED, _OWN = 21, 42  # the bit at which a count begins; that of letters begins at 0
_AT_ONCE = 1 << 17  # characters, so that the arrays stay in the processor's cache

Counts = npt.NDArray[np.int64]


class LineCounts(NamedTuple):
    """How many characters a line has, and of what kind; arrays of a number per line."""

    characters: Counts
    letters: Counts
    lettered: Counts  # letters and marks
    own: Counts  # letters in a script of the language


@cache
def _lengths() -> dict[str, float]:
    return tomllib.loads(files("lrldata.web").joinpath("lengths.toml").read_text("utf-8"))


def scale_of(scripts: Sequence[str]) -> float:
    """Return how many letters and marks the first of these scripts takes for what Latin script says in one.

    From parallel text (FLORES-200, lengths.toml); 1 for scripts that it lacks.
    """
    lengths = _lengths()
    if not scripts or scripts[0] in lengths:
        return lengths[scripts[0]] if scripts else 1.0
    # Of Chinese characters FLORES-200 has texts of several scripts: the nearest are those with the most in common.
    fitting = {name: set(parts) for name, parts in COMPOSITE_SCRIPTS.items() if name in lengths}
    fitting = {name: parts for name, parts in fitting.items() if scripts[0] in parts and parts <= set(scripts)}
    most = max(map(len, fitting.values()), default=0)
    return fmean([lengths[name] for name, parts in fitting.items() if len(parts) == most] or [1.0])


def points_of(lines: pl.Series) -> npt.NDArray[np.uint32]:
    """Return the code points of lines, one after the other."""
    text: str = lines.str.join("").item() if len(lines) else ""
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)


def in_turns(sizes: npt.NDArray[Any]) -> list[tuple[int, int]]:
    """Return where to begin and end so that lines of these sizes are looked at some at a time."""
    turn = np.cumsum(sizes) // _AT_ONCE
    return list(pairwise([0, *(np.flatnonzero(np.diff(turn)) + 1).tolist(), len(sizes)]))


def points_in(kind: str) -> npt.NDArray[np.uint32]:
    """Return the code points of a class of characters, as Polars' regular expressions write it."""
    return points_of(_every_character().str.replace_all(f"[^{kind}]+", ""))


@cache
def _every_character() -> pl.Series:
    points = np.delete(np.arange(_LAST, dtype=np.uint32), _SURROGATES)
    return pl.Series([points.tobytes().decode("utf-32-le")])


@cache
def _table(scripts: tuple[str, ...]) -> npt.NDArray[np.uint64]:
    """Return for each code point what it adds to the counts."""
    own = r"[\p{L}&&[" + "".join(rf"\p{{{script}}}" for script in scripts) + "]]" if scripts else r"\p{L}"
    table = np.zeros(_LAST + 1, dtype=np.uint64)
    for bit, kind in ((0, r"\p{L}"), (_LETTERED, r"\p{L}\p{M}"), (_OWN, own)):
        table[points_in(kind)] += np.uint64(1 << bit)
    return table


def count(lines: pl.Series, scripts: Sequence[str] = ()) -> LineCounts:
    """Count the characters of lines by kind; `scripts` (ISO 15924) are the language's own, none means any.

    Of a line longer than LONGEST the characters beyond are not counted.
    """
    lines = lines.str.head(LONGEST)
    sizes = lines.str.len_chars().to_numpy().astype(np.int64)
    sums, table = np.zeros(len(lines), dtype=np.uint64), _table(tuple(scripts))
    for begin, end in in_turns(sizes):
        some = sizes[begin:end]
        adds = table[np.minimum(points_of(lines[begin:end]), _LAST)]
        if len(adds):
            sums[begin:end][some > 0] = np.add.reduceat(adds, (np.cumsum(some) - some)[some > 0])
    fields = ((sums >> np.uint64(bit)) & np.uint64(LONGEST) for bit in (0, _LETTERED, _OWN))
    return LineCounts(sizes, *(field.astype(np.int64) for field in fields))
