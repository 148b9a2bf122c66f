"""Shingles: so many words in a row, or characters where a script puts no spaces between words, each as a hash. Pure."""

import numpy as np
import numpy.typing as npt
import polars as pl

SEED = 42
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying loses nothing; 2^64 by the golden ratio

Hashes = npt.NDArray[np.uint64]


def shingles(texts: pl.Series, size: int, *, spaced: bool) -> tuple[Hashes, Hashes]:
    """Return the hashes of the shingles of all texts in a row, and where those of each text begin and end (texts + 1).

    `size` is in tokens: words, or with `spaced` false characters. A text shorter than that is one shingle, an empty one
    none.
    """
    tokens = texts.str.split(" ") if spaced else texts.str.replace_all(r"\s", "").str.split("")
    frame = pl.DataFrame({"tokens": tokens.list.eval(pl.element().filter(pl.element() != ""))})
    lengths = frame["tokens"].list.len().to_numpy().astype(np.int64)
    flat = frame["tokens"].explode(empty_as_null=False).hash(SEED).to_numpy()
    counts = np.where(lengths >= size, lengths - size + 1, np.minimum(lengths, 1))
    ends = np.cumsum(lengths)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    first = np.repeat(ends - lengths - offsets[:-1], counts) + np.arange(offsets[-1])
    last = np.repeat(ends, counts) - 1
    hashes = np.zeros(offsets[-1], dtype=np.uint64)
    with np.errstate(over="ignore"):
        for place in range(size if len(flat) else 0):
            hashes = hashes * _FACTOR + flat[np.minimum(first + place, last)]
    return hashes, offsets.astype(np.uint64)
