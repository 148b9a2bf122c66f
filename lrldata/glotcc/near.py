"""Near-duplicates: MinHash over shingles, candidates by bands, verified by their signatures. Pure.

Broder (1997), "On the resemblance and containment of documents"; bands as in Leskovec, Rajaraman and Ullman, "Mining of
Massive Datasets", chapter 3. The digests are rensa's.
"""

import numpy as np
import numpy.typing as npt
import polars as pl
from rensa import RMinHash

BANDS, ROWS = 14, 8  # pairs of a similarity of 0.72 are candidates half of the time, of 0.85 nearly always
PERMUTATIONS = BANDS * ROWS
SIMILAR = 0.75  # share of equal values from which two signatures are of near-duplicates
SHINGLE = 5  # words, or characters where a script puts no spaces between words
SEED = 42
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying loses nothing; 2^64 by the golden ratio

Signatures = npt.NDArray[np.uint32]


def signatures(texts: pl.Series, *, spaced: bool) -> Signatures:
    """Return the MinHash signatures of texts, (texts, PERMUTATIONS).

    A text shorter than a shingle is one shingle. `spaced` tells whether words are set apart by spaces.
    """
    folded = texts.str.to_lowercase()
    tokens = folded.str.split(" ") if spaced else folded.str.replace_all(r"\s", "").str.split("")
    frame = pl.DataFrame({"tokens": tokens.list.eval(pl.element().filter(pl.element() != ""))})
    lengths = frame["tokens"].list.len().to_numpy().astype(np.int64)
    flat = frame["tokens"].explode(empty_as_null=False).hash(SEED).to_numpy()
    hashes, offsets = _shingles(flat, lengths)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, PERMUTATIONS, SEED)
    return np.array(matrix.to_rows(), dtype=np.uint32).reshape(len(texts), PERMUTATIONS)


def _shingles(
    flat: npt.NDArray[np.uint64], lengths: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Combine the hashes of SHINGLE tokens in a row; return those of all texts, and where each text's begin and end."""
    counts = np.where(lengths >= SHINGLE, lengths - SHINGLE + 1, np.minimum(lengths, 1))
    ends = np.cumsum(lengths)
    begins = ends - lengths
    offsets = np.concatenate([[0], np.cumsum(counts)])
    first = np.repeat(begins - offsets[:-1], counts) + np.arange(offsets[-1])
    last = np.repeat(ends, counts) - 1
    hashes = np.zeros(offsets[-1], dtype=np.uint64)
    with np.errstate(over="ignore"):
        for place in range(SHINGLE):
            hashes = hashes * _FACTOR + flat[np.minimum(first + place, last)] if len(flat) else hashes
    return hashes, offsets.astype(np.uint64)


def clusters(digests: Signatures) -> npt.NDArray[np.int64]:
    """Return for each text the number of the first one of its cluster of near-duplicates; its own where it has none."""
    parent = np.arange(len(digests))

    def root(each: int) -> int:
        while parent[each] != each:
            parent[each] = parent[parent[each]]
            each = int(parent[each])
        return each

    for band in range(BANDS):
        rows = np.ascontiguousarray(digests[:, band * ROWS : (band + 1) * ROWS])
        keys = rows.view([("", rows.dtype)] * ROWS).ravel()
        order = np.argsort(keys, kind="stable")
        same = keys[order[1:]] == keys[order[:-1]]
        for left, right in zip(order[:-1][same], order[1:][same], strict=True):
            one, other = root(int(left)), root(int(right))
            if one != other and np.mean(digests[left] == digests[right]) >= SIMILAR:
                parent[max(one, other)] = min(one, other)
    return np.array([root(each) for each in range(len(digests))])
