"""Character counts of lines: letters, marks, and letters of the language's own scripts. Pure.

A table with one entry per code point tells them apart; it is built from Unicode properties as Polars' regular
expressions define them. The three counts of a character share one number, so that lines are counted in one pass over an
array.
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
from lrldata.normalize import LAST_LETTER

SENTENCE_MARKS = ".!?؟۔।॥።፧፨៕។။།༎。！？։᱾᱿꯫᙮᠃߹"  # end a sentence, in any script  # noqa: RUF001
CLOSING = "\"'»«”“’‘›‹)\\]"  # what may follow them, escaped for a character class; also closes „…“ and »…«  # noqa: RUF001
LONGEST = (1 << 21) - 1  # characters of a line that are counted: three such counts fit into 64 bits
_SURROGATES = slice(0xD800, 0xE000)
_LETTERED, _OWN = 21, 42  # the bit at which each count begins; that of letters begins at bit 0
_AT_ONCE = 1 << 17  # characters per batch: few enough for the arrays to stay in the processor's cache

Counts = npt.NDArray[np.int64]


class LineCounts(NamedTuple):
    """The numbers of characters of lines, by kind: arrays with one number per line."""

    characters: Counts
    letters: Counts
    lettered: Counts  # letters and marks
    own: Counts  # letters in the language's own scripts


@cache
def _lengths() -> dict[str, float]:
    return tomllib.loads(files("lrldata.web").joinpath("lengths.toml").read_text("utf-8"))


def scale_of(scripts: Sequence[str]) -> float:
    """Return how many letters and marks of the first of these scripts say as much as one letter of Latin script.

    Measured on parallel text (FLORES-200, lengths.toml); 1 for scripts that it lacks.
    """
    lengths = _lengths()
    if not scripts or scripts[0] in lengths:
        return lengths[scripts[0]] if scripts else 1.0
    # FLORES-200 has Chinese characters in several composite scripts: use those that share most with `scripts`.
    fitting = {name: set(parts) for name, parts in COMPOSITE_SCRIPTS.items() if name in lengths}
    fitting = {name: parts for name, parts in fitting.items() if scripts[0] in parts and parts <= set(scripts)}
    most = max(map(len, fitting.values()), default=0)
    return fmean([lengths[name] for name, parts in fitting.items() if len(parts) == most] or [1.0])


def points_of(lines: pl.Series) -> npt.NDArray[np.uint32]:
    """Return the code points of all lines, concatenated."""
    text: str = lines.str.join("").item() if len(lines) else ""
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)


def batch_ranges(sizes: npt.NDArray[Any]) -> list[tuple[int, int]]:
    """Return the (begin, end) ranges of batches of lines, given the sizes of the lines."""
    batch = np.cumsum(sizes) // _AT_ONCE
    return list(pairwise([0, *(np.flatnonzero(np.diff(batch)) + 1).tolist(), len(sizes)]))


def points_in(kind: str) -> npt.NDArray[np.uint32]:
    """Return the code points in a character class, which is written as in Polars' regular expressions."""
    return points_of(_every_character().str.replace_all(f"[^{kind}]+", ""))


@cache
def _every_character() -> pl.Series:
    points = np.delete(np.arange(LAST_LETTER, dtype=np.uint32), _SURROGATES)
    return pl.Series([points.tobytes().decode("utf-32-le")])


@cache
def _table(scripts: tuple[str, ...]) -> npt.NDArray[np.uint64]:
    """Return what each code point adds to the three counts."""
    own_letters = r"[\p{L}&&[" + "".join(rf"\p{{{script}}}" for script in scripts) + "]]" if scripts else r"\p{L}"
    table = np.zeros(LAST_LETTER + 1, dtype=np.uint64)
    for bit, kind in ((0, r"\p{L}"), (_LETTERED, r"\p{L}\p{M}"), (_OWN, own_letters)):
        table[points_in(kind)] += np.uint64(1 << bit)
    return table


def count(lines: pl.Series, scripts: Sequence[str] = ()) -> LineCounts:
    """Count the characters of lines by kind; `scripts` (ISO 15924) are the language's own, empty for any.

    Characters of a line beyond LONGEST are not counted.
    """
    lines = lines.str.head(LONGEST)
    sizes = lines.str.len_chars().to_numpy().astype(np.int64)
    sums, table = np.zeros(len(lines), dtype=np.uint64), _table(tuple(scripts))
    for begin, end in batch_ranges(sizes):
        batch_sizes = sizes[begin:end]
        increments = table[np.minimum(points_of(lines[begin:end]), LAST_LETTER)]
        if len(increments):
            sums[begin:end][batch_sizes > 0] = np.add.reduceat(
                increments, (np.cumsum(batch_sizes) - batch_sizes)[batch_sizes > 0]
            )
    fields = ((sums >> np.uint64(bit)) & np.uint64(LONGEST) for bit in (0, _LETTERED, _OWN))
    return LineCounts(sizes, *(field.astype(np.int64) for field in fields))
