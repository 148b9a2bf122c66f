"""Comparison of all documents of a language: lines of many pages, duplicate documents, duplicate lines.

Every step reads only the columns that it needs from all parts, once. Lines are compared in buckets of hash values, with
so many buckets that memory does not grow with the corpus. Which of several copies is kept depends on content, not on
the order of files. IO: reads parts.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from lrldata.ledger import WEB_REASONS
from lrldata.web import minhash
from lrldata.web.buckets import buckets
from lrldata.web.chunks import DropCodes, Part
from lrldata.web.clean import rules

CODES = {reason: number for number, reason in enumerate(WEB_REASONS, start=1)}
BYTES_PER_LINE = 400  # of memory at the peak of a bucket

Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]


def repeated_lines(parts: Sequence[Part], memory: int, scratch: Path) -> Keys:
    """Return the sorted (folded) hashes of the lines that are in so many documents that they must be parts of pages.

    Exact copies of a document count as one: an article on many sites is no part of their pages. A bucket takes `memory`
    bytes; the others wait in `scratch`.
    """
    if not parts:
        return np.zeros(0, np.uint64)
    repeated = []
    count = _bucket_count(sum(part.summary()["left"] for part in parts), memory)
    with buckets(map(_contents, parts), "folded", count, scratch) as lines:
        for bucket in lines:
            documents = bucket.unique().group_by("folded").len()
            repeated.append(documents.filter(pl.col("len") >= rules()["repeated_in"])["folded"].to_numpy())
    return np.sort(np.concatenate(repeated))


def _contents(part: Part) -> pl.DataFrame:
    """Return the lines of a part, each with a hash of its document's content."""
    lines = part.read("lines", "doc", "folded").with_columns(content=pl.col("folded").sum().over("doc"))
    return lines.select("folded", "content").unique()


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
    parts: Sequence[Part], drop_codes: Sequence[DropCodes], orders: Iterable[Keys], memory: int, scratch: Path
) -> None:
    """Mark duplicate lines in the `drop_codes` of each part; the copy in the document with the lowest order is kept.

    `orders` holds the order of each line's document, for each part. A line that differs from the kept one only in case
    gets a reason of its own. A bucket takes `memory` bytes; the others wait in `scratch`.
    """
    remaining = (
        _remaining(number, part, drop_codes[number], order)
        for number, (part, order) in enumerate(zip(parts, orders, strict=True))
    )
    count = _bucket_count(sum(int((codes == 0).sum()) for codes in drop_codes), memory)
    with buckets(remaining, "folded", count, scratch) as lines:
        for bucket in lines:
            _mark_duplicates(bucket, drop_codes)


def _remaining(number: int, part: Part, drop_codes: DropCodes, order: Keys) -> pl.DataFrame:
    """Return the lines of a part that are not dropped."""
    lines = part.read("lines", "exact", "folded").with_row_index("line")
    lines = lines.with_columns(order=pl.Series(order), part=pl.lit(number, pl.UInt32))
    return lines.filter(pl.Series(drop_codes == 0))


def _mark_duplicates(lines: pl.DataFrame, drop_codes: Sequence[DropCodes]) -> None:
    repeated = lines.filter(pl.col("folded").is_duplicated()).sort("folded", "order", "line")
    is_later = ~repeated["folded"].is_first_distinct()
    is_exact = repeated.select(pl.col("exact") == pl.col("exact").first().over("folded"))["exact"]
    code = pl.when(is_exact).then(CODES["exact_duplicate"]).otherwise(CODES["normalised_duplicate"])
    dropped = repeated.with_columns(code=pl.select(code).to_series()).filter(is_later)
    for (number,), part_lines in dropped.group_by("part"):
        drop_codes[int(str(number))][part_lines["line"].to_numpy()] = part_lines["code"].to_numpy()


def _bucket_count(lines: int, memory: int) -> int:
    return lines * BYTES_PER_LINE // memory + 1
