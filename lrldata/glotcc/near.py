"""Near-duplicates: MinHash over shingles, candidates by bands, verified by their signatures. Pure.

Broder (1997), "On the resemblance and containment of documents"; bands as in Leskovec, Rajaraman and Ullman, "Mining of
Massive Datasets", chapter 3. The digests are rensa's.
"""

import numpy as np
import numpy.typing as npt
import polars as pl
from rensa import RMinHash

from lrldata.glotcc.shingles import SEED, shingles

BANDS, ROWS = 14, 8  # pairs of a similarity of 0.72 are candidates half of the time, of 0.85 nearly always
PERMUTATIONS = BANDS * ROWS
SIMILAR = 0.75  # share of equal values from which two signatures are of near-duplicates
SHINGLE = 5  # words, or characters where a script puts no spaces between words

Signatures = npt.NDArray[np.uint32]


def signatures(texts: pl.Series, *, spaced: bool) -> Signatures:
    """Return the MinHash signatures of texts, (texts, PERMUTATIONS).

    A text shorter than a shingle is one shingle. `spaced` tells whether words are set apart by spaces.
    """
    hashes, offsets = shingles(texts.str.to_lowercase(), SHINGLE, spaced=spaced)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, PERMUTATIONS, SEED)
    return np.array(matrix.to_rows(), dtype=np.uint32).reshape(len(texts), PERMUTATIONS)


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
