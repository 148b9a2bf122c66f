"""What the documents of a language have in common: lines of pages, documents that are there again, lines again.

Every step reads what it needs of all parts, a column at a time, and lines in turns, each of those whose hashes fall to
it, so many at a time that memory does not grow with the corpus. Of what is the same, that which stays is chosen by
content: it does not depend on the order of files. IO: reads parts.
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
BYTES_A_LINE = 400  # that a turn takes in memory at its peak

Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]


def repeated_lines(parts: Sequence[Part], memory: int) -> Keys:
    """Return the (folded) hashes of the lines that so many documents have that they are parts of pages, in order.

    A turn takes `memory` bytes.
    """
    counts = [part.summary()["left"] for part in parts]
    found = []
    for turn, turns in _turns(sum(counts), memory):
        keys = []
        for part in parts:
            lines = part.read("lines", "doc", "folded").filter(pl.col("folded") % turns == turn)
            keys.append(lines.unique()["folded"].to_numpy())
        distinct, documents = np.unique(np.concatenate([*keys, np.zeros(0, np.uint64)]), return_counts=True)
        found.append(distinct[documents >= rules()["repeated_in"]])
    return np.sort(np.concatenate(found))


def duplicate_documents(parts: Sequence[Part], documents: pl.DataFrame, kind: str = "") -> DropCodes:
    """Return the fate of each document, 0 where it stays: of those that are the same, or nearly, the longest does.

    In: all described documents, in the order of the parts: columns part (its number), order, folded, size, tie. `kind`
    is what the names of their signatures and bands begin with.
    """
    drop_codes = np.zeros(len(documents), dtype=np.uint8)
    ranked = documents.select("folded", "order", "size", "tie").with_row_index("number")
    ranked = ranked.sort("size", "order", "tie", "number", descending=[True, False, False, False])
    first = ranked["folded"].is_first_distinct()
    drop_codes[ranked.filter(~first)["number"].to_numpy()] = CODES["document_duplicate"]
    left = ranked.filter(first)["number"].to_numpy().astype(np.int64)  # the longest first
    cluster = minhash.join(
        len(left),
        _bands(parts, left, f"{kind}bands"),
        lambda asked: _signatures(parts, documents["part"], left[asked], f"{kind}signatures"),
    )
    drop_codes[left[cluster != np.arange(len(left))]] = CODES["near_duplicate"]
    return drop_codes


def _bands(parts: Sequence[Part], chosen: Numbers, kind: str) -> Iterator[Keys]:
    for band in range(minhash.BANDS):
        # Copies, as each view would keep its file open, of which there may be more than a process may have.
        whole = np.concatenate([np.array(np.load(part.path(kind), mmap_mode="r")[band]) for part in parts])
        yield whole[chosen]


def _signatures(parts: Sequence[Part], part_of: pl.Series, chosen: Numbers, kind: str) -> minhash.Signatures:
    """Read the signatures of the documents of these numbers, from one part after the other."""
    begins = np.searchsorted(part_of.to_numpy(), np.arange(len(parts) + 1))
    made = np.zeros((len(chosen), minhash.PERMUTATIONS), dtype=np.uint32)
    home = np.searchsorted(begins, chosen, side="right") - 1
    for number in np.unique(home):
        here = np.flatnonzero(home == number)
        made[here] = parts[number].array(kind)[chosen[here] - begins[number]]
    return made


def duplicate_lines(
    parts: Sequence[Part], drop_codes: Sequence[DropCodes], orders: Sequence[Keys], memory: int
) -> None:
    """Put into `drop_codes`, of each part, which lines are there before: in a document that comes first by its `order`.

    `orders` has for each line the order of its document. A line that is the same but for case has a reason of its own.
    A turn takes `memory` bytes.
    """
    for turn, turns in _turns(sum(int((each == 0).sum()) for each in drop_codes), memory):
        frames = []
        for number, part in enumerate(parts):
            lines = part.read("lines", "exact", "folded").with_row_index("line")
            some = lines.filter(pl.Series(drop_codes[number] == 0) & (pl.col("folded") % turns == turn))
            order = pl.Series("order", orders[number][some["line"].to_numpy()])
            frames.append(some.select("exact", "folded", "line", order, part=pl.lit(number, pl.UInt32)))
        several = pl.concat(frames).filter(pl.col("folded").is_duplicated()).sort("folded", "order", "line")
        again = ~several["folded"].is_first_distinct()
        same = several.select(pl.col("exact") == pl.col("exact").first().over("folded"))["exact"]
        code = pl.when(same).then(CODES["exact_duplicate"]).otherwise(CODES["normalised_duplicate"])
        dropped = several.with_columns(code=pl.select(code).to_series()).filter(again)
        for (number,), lines in dropped.group_by("part"):
            drop_codes[int(str(number))][lines["line"].to_numpy()] = lines["code"].to_numpy()


def _turns(lines: int, memory: int) -> Iterator[tuple[int, int]]:
    turns = lines * BYTES_A_LINE // memory + 1
    return ((turn, turns) for turn in range(turns))
