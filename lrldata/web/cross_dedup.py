"""Comparison of all documents of a language: lines of many pages, duplicate documents, duplicate lines.

Every step reads only the columns that it needs from all parts. Lines are compared in turns, each for a share of the
hash values, with so many turns that memory does not grow with the corpus. Which of several copies is kept depends on
content, not on the order of files. IO: reads parts.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from lrldata.ledger import WEB_REASONS
from lrldata.web import minhash
from lrldata.web.chunks import DropCodes, Part
from lrldata.web.clean import rules

CODES = {reason: number for number, reason in enumerate(WEB_REASONS, start=1)}
BYTES_PER_LINE = 400  # of memory at the peak of a turn

Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]


def repeated_lines(parts: Sequence[Part], memory: int) -> Keys:
    """Return the sorted (folded) hashes of the lines that are in so many documents that they must be parts of pages.

    Exact copies of a document count as one: an article on many sites is no part of their pages. A turn takes `memory`
    bytes.
    """
    counts = [part.summary()["left"] for part in parts]
    repeated = []
    for turn, turns in _turns(sum(counts), memory):
        keys = [pl.DataFrame(schema={"folded": pl.UInt64, "content": pl.UInt64})]
        for part in parts:
            lines = part.read("lines", "doc", "folded").with_columns(content=pl.col("folded").sum().over("doc"))
            keys.append(lines.filter(pl.col("folded") % turns == turn).select("folded", "content").unique())
        documents = pl.concat(keys).unique().group_by("folded").len()
        repeated.append(documents.filter(pl.col("len") >= rules()["repeated_in"])["folded"].to_numpy())
    return np.sort(np.concatenate(repeated))


def duplicate_documents(parts: Sequence[Part], documents: pl.DataFrame, kind: str = "") -> DropCodes:
    """Return the drop code of each document, 0 if it is kept: of duplicates or near-duplicates, the longest is kept.

    In: all described documents, in part order: columns part (its number), order, folded, size, tie. `kind` is the
    prefix of the names of their signatures and bands.
    """
    drop_codes = np.zeros(len(documents), dtype=np.uint8)
    ranked = documents.select("folded", "order", "size", "tie").with_row_index("number")
    ranked = ranked.sort("size", "order", "tie", "number", descending=[True, False, False, False])
    first = ranked["folded"].is_first_distinct()
    drop_codes[ranked.filter(~first)["number"].to_numpy()] = CODES["document_duplicate"]
    left = ranked.filter(first)["number"].to_numpy().astype(np.int64)  # longest first
    cluster = minhash.join(
        len(left),
        _bands(parts, left, f"{kind}bands"),
        lambda indices: _signatures(parts, documents["part"], left[indices], f"{kind}signatures"),
    )
    drop_codes[left[cluster != np.arange(len(left))]] = CODES["near_duplicate"]
    return drop_codes


def _bands(parts: Sequence[Part], chosen: Numbers, kind: str) -> Iterator[Keys]:
    for band in range(minhash.BANDS):
        # Copies, because each view would keep its file open, and a process may only open so many files.
        keys = np.concatenate([np.array(np.load(part.path(kind), mmap_mode="r")[band]) for part in parts])
        yield keys[chosen]


def _signatures(parts: Sequence[Part], part_of: pl.Series, chosen: Numbers, kind: str) -> minhash.Signatures:
    """Read the signatures of the documents with these numbers, part by part."""
    begins = np.searchsorted(part_of.to_numpy(), np.arange(len(parts) + 1))
    signatures = np.zeros((len(chosen), minhash.PERMUTATIONS), dtype=np.uint32)
    part_numbers = np.searchsorted(begins, chosen, side="right") - 1
    for number in np.unique(part_numbers):
        rows = np.flatnonzero(part_numbers == number)
        signatures[rows] = parts[number].array(kind)[chosen[rows] - begins[number]]
    return signatures


def duplicate_lines(
    parts: Sequence[Part], drop_codes: Sequence[DropCodes], orders: Sequence[Keys], memory: int
) -> None:
    """Mark duplicate lines in the `drop_codes` of each part; the copy in the document with the lowest order is kept.

    `orders` holds the order of each line's document. A line that differs from the kept one only in case gets a reason
    of its own. A turn takes `memory` bytes.
    """
    for turn, turns in _turns(sum(int((codes == 0).sum()) for codes in drop_codes), memory):
        frames = []
        for number, part in enumerate(parts):
            lines = part.read("lines", "exact", "folded").with_row_index("line")
            remaining = lines.filter(pl.Series(drop_codes[number] == 0) & (pl.col("folded") % turns == turn))
            order = pl.Series("order", orders[number][remaining["line"].to_numpy()])
            frames.append(remaining.select("exact", "folded", "line", order, part=pl.lit(number, pl.UInt32)))
        repeated = pl.concat(frames).filter(pl.col("folded").is_duplicated()).sort("folded", "order", "line")
        is_later = ~repeated["folded"].is_first_distinct()
        is_exact = repeated.select(pl.col("exact") == pl.col("exact").first().over("folded"))["exact"]
        code = pl.when(is_exact).then(CODES["exact_duplicate"]).otherwise(CODES["normalised_duplicate"])
        dropped = repeated.with_columns(code=pl.select(code).to_series()).filter(is_later)
        for (number,), lines in dropped.group_by("part"):
            drop_codes[int(str(number))][lines["line"].to_numpy()] = lines["code"].to_numpy()


def _turns(lines: int, memory: int) -> Iterator[tuple[int, int]]:
    turns = lines * BYTES_PER_LINE // memory + 1
    return ((turn, turns) for turn in range(turns))
