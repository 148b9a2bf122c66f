"""Near-duplicates: MinHash over shingles, candidates by bands, verified by their signatures. Pure.

Broder (1997), "On the resemblance and containment of documents"; bands as in Leskovec, Rajaraman and Ullman, "Mining of
Massive Datasets", chapter 3. The digests are rensa's.
"""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import polars as pl
from rensa import RMinHash

from lrldata.normalize import lowered
from lrldata.web.shingles import Hashes, gaps_closed, shingles

BANDS, ROWS = 14, 8  # pairs of a similarity of 0.72 are candidates half of the time, of 0.85 nearly always
PERMUTATIONS = BANDS * ROWS
SIMILAR = 0.75  # share of equal values from which two signatures are of near-duplicates
SHINGLE = 5  # words, or characters where a script puts no spaces between words
_SEED = 42
_FACTOR = np.uint64(0x9E3779B97F4A7C15)

Signatures = npt.NDArray[np.uint32]
Numbers = npt.NDArray[np.int64]


def signatures(texts: pl.Series, *, spaced: bool) -> Signatures:
    """Return the MinHash signatures of texts, (texts, PERMUTATIONS).

    A text shorter than a shingle is one shingle. `spaced` tells whether words are set apart by spaces.
    """
    return sign(*shingles(gaps_closed(lowered(texts)), SHINGLE, spaced=spaced))


def sign(hashes: Hashes, offsets: Hashes) -> Signatures:
    """Return the MinHash signatures of texts of which these are the shingles (see `shingles`)."""
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, PERMUTATIONS, _SEED)
    return np.array(matrix.to_rows(), dtype=np.uint32).reshape(len(offsets) - 1, PERMUTATIONS)


def bands(digests: Signatures) -> Hashes:
    """Return a hash for each band of each signature, (BANDS, texts): candidates share one."""
    keys = np.zeros((BANDS, len(digests)), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for place in range(ROWS):
            keys = (keys ^ digests[:, place::ROWS].T) * _FACTOR
            keys ^= keys >> np.uint64(32)
    return keys


def clusters(digests: Signatures) -> Numbers:
    """Return for each text the number of the first one of its cluster of near-duplicates; its own where it has none."""
    return join(len(digests), bands(digests), lambda numbers: digests[numbers])


def join(count: int, keys: Iterable[Hashes], signatures_of: Callable[[Numbers], Signatures]) -> Numbers:
    """Return the clusters of `count` texts, of which `keys` yields the bands one by one.

    `signatures_of` returns the signatures of the texts of these numbers, and is asked for candidates alone.
    """
    pairs = np.unique(np.concatenate([_candidates(band) for band in keys]), axis=0)
    asked, places = np.unique(pairs, return_inverse=True)
    digests, places = signatures_of(asked), places.reshape(-1, 2)
    alike = np.zeros(len(pairs), dtype=np.bool_)
    for begin in range(0, len(pairs), _PAIRS):  # so many at a time, to hold few of them at once
        left, right = places[begin : begin + _PAIRS].T
        alike[begin : begin + _PAIRS] = (digests[left] == digests[right]).mean(axis=1) >= SIMILAR
    return _united(count, pairs[alike])


_PAIRS = 100_000
_COMPARED = 16  # of those that share a key, each is compared with so many before it


def _candidates(keys: Hashes) -> Numbers:
    """Return pairs of numbers, smaller first, that share a key: each with some before it, and with the first."""
    order = np.argsort(keys, kind="stable")
    new = np.concatenate([[True], keys[order[1:]] != keys[order[:-1]]]) if len(order) else np.zeros(0, dtype=np.bool_)
    begins = np.flatnonzero(new)
    first = np.repeat(begins, np.diff(np.append(begins, len(order))))
    again = np.flatnonzero(~new)
    found = [np.stack([order[first[again]], order[again]], axis=1)]
    for lag in range(1, _COMPARED):
        again = again[again - lag >= first[again]]
        found.append(np.stack([order[again - lag], order[again]], axis=1))
    return np.concatenate(found)


def _united(count: int, pairs: Numbers) -> Numbers:
    parent = np.arange(count)

    def root(each: int) -> int:
        while parent[each] != each:
            parent[each] = parent[parent[each]]
            each = int(parent[each])
        return each

    for left, right in pairs.tolist():
        one, other = root(left), root(right)
        parent[max(one, other)] = min(one, other)
    for each in np.unique(pairs[:, 1]) if len(pairs) else ():
        parent[each] = root(int(each))
    return parent
