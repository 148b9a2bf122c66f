"""Near-duplicates: MinHash over shingles, candidates from bands, verified by signatures. Pure.

Broder (1997), "On the resemblance and containment of documents"; bands as in Leskovec, Rajaraman and Ullman, "Mining of
Massive Datasets", chapter 3. The digests are rensa's.
"""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import polars as pl
from rensa import RMinHash

from lrldata.normalize import lowered
from lrldata.web.shingles import Hashes, collapse_spaces, shingles

BANDS, ROWS = 14, 8  # pairs with a similarity of 0.72 are candidates half of the time, with 0.85 nearly always
PERMUTATIONS = BANDS * ROWS
SIMILAR = 0.75  # share of equal values from which on two signatures belong to near-duplicates
SHINGLE = 5  # words, or characters if a script puts no spaces between words
_SEED = 42
_FACTOR = np.uint64(0x9E3779B97F4A7C15)

Signatures = npt.NDArray[np.uint32]
Numbers = npt.NDArray[np.int64]


def signatures(texts: pl.Series, *, spaced: bool) -> Signatures:
    """Return the MinHash signatures of texts, (texts, PERMUTATIONS).

    A text shorter than a shingle is one shingle. `spaced` tells whether spaces separate words.
    """
    return sign(*shingles(collapse_spaces(lowered(texts)), SHINGLE, spaced=spaced))


def sign(hashes: Hashes, offsets: Hashes) -> Signatures:
    """Return the MinHash signatures of the texts that have these shingles (see `shingles`)."""
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, PERMUTATIONS, _SEED)
    return np.array(matrix.to_rows(), dtype=np.uint32).reshape(len(offsets) - 1, PERMUTATIONS)


def bands(digests: Signatures) -> Hashes:
    """Return a hash for each band of each signature, (BANDS, texts); candidates share at least one."""
    keys = np.zeros((BANDS, len(digests)), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for place in range(ROWS):
            keys = (keys ^ digests[:, place::ROWS].T) * _FACTOR
            keys ^= keys >> np.uint64(32)
    return keys


def clusters(digests: Signatures) -> Numbers:
    """Return for each text the number of the first text in its cluster of near-duplicates, by default its own."""
    return join(len(digests), bands(digests), lambda numbers: digests[numbers])


def join(count: int, keys: Iterable[Hashes], signatures_of: Callable[[Numbers], Signatures]) -> Numbers:
    """Return the clusters of `count` texts, as `clusters` does; `keys` yields their bands one by one.

    `signatures_of` returns the signatures of the texts with these numbers; it is only called for candidates.
    """
    pairs = np.unique(np.concatenate([_candidates(band) for band in keys]), axis=0)
    candidates, places = np.unique(pairs, return_inverse=True)
    digests, places = signatures_of(candidates), places.reshape(-1, 2)
    alike = np.zeros(len(pairs), dtype=np.bool_)
    for begin in range(0, len(pairs), _PAIRS):  # in batches, to hold few of them at a time
        left, right = places[begin : begin + _PAIRS].T
        alike[begin : begin + _PAIRS] = (digests[left] == digests[right]).mean(axis=1) >= SIMILAR
    return _united(count, pairs[alike])


_PAIRS = 100_000
_COMPARED = 16  # each text is compared with up to this many before it that share a key


def _candidates(keys: Hashes) -> Numbers:
    """Return pairs of texts that share a key, smaller number first: each with some before it, and with the first."""
    order = np.argsort(keys, kind="stable")
    new = np.concatenate([[True], keys[order[1:]] != keys[order[:-1]]]) if len(order) else np.zeros(0, dtype=np.bool_)
    begins = np.flatnonzero(new)
    first = np.repeat(begins, np.diff(np.append(begins, len(order))))
    again = np.flatnonzero(~new)
    pairs = [np.stack([order[first[again]], order[again]], axis=1)]
    for lag in range(1, _COMPARED):
        again = again[again - lag >= first[again]]
        pairs.append(np.stack([order[again - lag], order[again]], axis=1))
    return np.concatenate(pairs)


def _united(count: int, pairs: Numbers) -> Numbers:
    parent = np.arange(count)

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = int(parent[node])
        return node

    for left, right in pairs.tolist():
        one, other = root(left), root(right)
        parent[max(one, other)] = min(one, other)
    for node in np.unique(pairs[:, 1]) if len(pairs) else ():
        parent[node] = root(int(node))
    return parent
