"""Shingles: runs of words, or of characters if a script puts no spaces between words, each as a hash. Pure.

A shingle's hash is the polynomial of its characters (Karp and Rabin, 1987, "Efficient randomized pattern-matching
algorithms") modulo 2^64, computed from running sums over the whole batch, then mixed. It is the same in every version
and on every machine.
"""

from functools import cache

import numpy as np
import numpy.typing as npt
import polars as pl

from lrldata.normalize import replaced_at
from lrldata.web.characters import batch_ranges, points_of

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]

_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse; 2^64 divided by the golden ratio
_INVERSE = pow(_BASE, -1, 1 << 64)


def shingles(texts: pl.Series, size: int, *, spaced: bool) -> tuple[Hashes, Hashes]:
    """Return the hashes of the shingles of all texts, concatenated, and the offsets of each text in them (texts + 1).

    `size` is in tokens: words, or characters other than spaces if `spaced` is false. Words must be separated by one
    space or newline, with none at the ends of a text, as `collapse_spaces` leaves them. A text shorter than a shingle
    is one shingle; an empty text has none.
    """
    if not spaced:
        texts = texts.str.replace_all(r"[ \n]", "")
    sizes = texts.str.len_chars().to_numpy().astype(np.int64)
    parts = [_of_batch(texts[begin:end], sizes[begin:end], size, spaced=spaced) for begin, end in batch_ranges(sizes)]
    counts = np.concatenate([[0], *(counts_of_batch for _, counts_of_batch in parts)])
    return np.concatenate([hashes for hashes, _ in parts]), np.cumsum(counts).astype(np.uint64)


def collapse_spaces(texts: pl.Series) -> pl.Series:
    """Return texts with all whitespace reduced to single spaces, and none at their ends."""
    places = texts.str.contains(r"\s{2,}|[^\S \n]|^\s|\s$").arg_true()  # few texts need it
    closed = texts.gather(places).str.replace_all(r"\s{2,}|[^\S ]", " ").str.strip_chars()
    return replaced_at(texts, places, closed) if len(places) else texts


def _of_batch(texts: pl.Series, sizes: Numbers, size: int, *, spaced: bool) -> tuple[Hashes, Numbers]:
    """Return the hashes of the shingles, and the number of shingles of each text."""
    points = points_of(texts)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    if spaced:
        begins = np.zeros(len(points) + 1, dtype=np.bool_)
        np.less_equal(points, ord(" "), out=begins[1:])  # of such low code points, texts only have spaces and newlines
        begins[ends] = True
        starts = np.flatnonzero(begins)
    else:
        starts = np.arange(len(points) + 1)
    tokens = np.searchsorted(starts, ends)  # the first of each text
    lengths = np.diff(tokens)
    counts = np.where(lengths >= size, lengths - size + 1, np.minimum(lengths, 1))
    before = np.cumsum(counts) - counts
    first = np.repeat(tokens[:-1] - before, counts) + np.arange(counts.sum())
    end = np.repeat(tokens[1:], counts)
    last = np.minimum(first + size, end)
    # A word ends with the gap after it, except for the last word of a text.
    closed = (last < end) if spaced else np.zeros(len(last), dtype=np.bool_)
    return _between(points, starts[first], starts[last] - closed), counts


def _between(points: npt.NDArray[np.uint32], first: Numbers, last: Numbers) -> Hashes:
    """Hash the characters from each `first` up to, but not including, `last`, from a running sum of all characters."""
    rising, falling = _powers(1 << max(len(points), 1).bit_length())
    running = np.zeros(len(points) + 1, dtype=np.uint64)
    terms = _terms()[points]
    terms *= rising[: len(points)]
    np.cumsum(terms, out=running[1:])
    with np.errstate(over="ignore"):
        hashes = (running[last] - running[first]) * falling[first]
        hashes ^= hashes >> np.uint64(29)
        hashes *= np.uint64(_BASE)
        return np.asarray(hashes ^ (hashes >> np.uint64(32)))


@cache
def _terms() -> Hashes:
    """Return what each character adds; a space and a newline add the same."""
    points = np.arange(1, 0x110001, dtype=np.uint64)
    with np.errstate(over="ignore"):
        terms = points * np.uint64(_BASE)
        terms = (terms ^ (terms >> np.uint64(32))) * np.uint64(_INVERSE)
    terms[ord("\n")] = terms[ord(" ")]
    return np.asarray(terms)


@cache
def _powers(size: int) -> tuple[Hashes, Hashes]:
    """Return the powers of the base and of its inverse, from exponent 0 on."""

    def powers(base: int) -> Hashes:
        steps = np.full(size, base, dtype=np.uint64)
        steps[0] = 1
        return np.cumprod(steps, dtype=np.uint64)

    return powers(_BASE), powers(_INVERSE)
