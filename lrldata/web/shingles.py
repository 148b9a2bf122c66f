"""Shingles: so many words in a row, or characters where a script puts no spaces between words, each as a hash. Pure.

A shingle's hash is the polynomial of its characters (Karp and Rabin, 1987, "Efficient randomized pattern-matching
algorithms") modulo 2^64, taken from running sums over the whole batch, then mixed. It is the same in every version and
on every machine.
"""

from functools import cache

import numpy as np
import numpy.typing as npt
import polars as pl

from lrldata.web.characters import in_turns, points_of

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]

_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse; 2^64 by the golden ratio
_INVERSE = pow(_BASE, -1, 1 << 64)


def shingles(texts: pl.Series, size: int, *, spaced: bool) -> tuple[Hashes, Hashes]:
    """Return the hashes of the shingles of all texts in a row, and where those of each text begin and end (texts + 1).

    `size` is in tokens: words, or with `spaced` false characters other than spaces. Words must be parted by one space
    or newline, and none may be at an end of a text, as `gaps_closed` leaves them. A text shorter than a shingle is one
    shingle, an empty one none.
    """
    if not spaced:
        texts = texts.str.replace_all(r"[ \n]", "")
    sizes = texts.str.len_chars().to_numpy().astype(np.int64)
    parts = [_of_some(texts[begin:end], sizes[begin:end], size, spaced=spaced) for begin, end in in_turns(sizes)]
    counts = np.concatenate([[0], *(count for _, count in parts)])
    return np.concatenate([hashes for hashes, _ in parts]), np.cumsum(counts).astype(np.uint64)


def gaps_closed(texts: pl.Series) -> pl.Series:
    """Return texts with one space where there is any space, and none at their ends."""
    places = texts.str.contains(r"\s{2,}|[^\S \n]|^\s|\s$").arg_true()  # few texts have any
    closed = texts.gather(places).str.replace_all(r"\s{2,}|[^\S ]", " ").str.strip_chars()
    return texts.scatter(places, closed) if len(places) else texts


def _of_some(texts: pl.Series, sizes: Numbers, size: int, *, spaced: bool) -> tuple[Hashes, Numbers]:
    """Return the shingles' hashes, and how many each text has."""
    points = points_of(texts)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    if spaced:
        begins = np.zeros(len(points) + 1, dtype=np.bool_)
        np.less_equal(points, ord(" "), out=begins[1:])  # of all that low only spaces and newlines are in texts
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
    # A word's last character is the gap after it, but for the last word of a text.
    closed = (last < end) if spaced else np.zeros(len(last), dtype=np.bool_)
    return _between(points, starts[first], starts[last] - closed), counts


def _between(points: npt.NDArray[np.uint32], first: Numbers, last: Numbers) -> Hashes:
    """Hash the characters from `first` up to before `last`, each from a running sum of all of them."""
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
    """Return what each character adds; a space and a newline the same."""
    points = np.arange(1, 0x110001, dtype=np.uint64)
    with np.errstate(over="ignore"):
        terms = points * np.uint64(_BASE)
        terms = (terms ^ (terms >> np.uint64(32))) * np.uint64(_INVERSE)
    terms[ord("\n")] = terms[ord(" ")]
    return np.asarray(terms)


@cache
def _powers(size: int) -> tuple[Hashes, Hashes]:
    """Return the powers of the base, and of its inverse, from 0 on."""

    def rise(base: int) -> Hashes:
        steps = np.full(size, base, dtype=np.uint64)
        steps[0] = 1
        return np.cumprod(steps, dtype=np.uint64)

    return rise(_BASE), rise(_INVERSE)
