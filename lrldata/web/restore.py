"""Restore lines of web text that the rules dropped but speakers judged right. IO: parts.

A restored line becomes a row with its document's name and address, in the split of its document or site. It is not
restored if the dataset already has the same text, in whatever case, or if it contains text of a benchmark.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lrldata.ledger import Tally
from lrldata.normalize import lowered
from lrldata.review.decisions import JUDGED_WRONG, Decisions, lines_among
from lrldata.schema import WEB
from lrldata.split import SPLITS, by_pair, content_hash, site_of
from lrldata.web.chunks import DropCodes, Part
from lrldata.web.cross_dedup import CODES

NEVER_RESTORED = ("no_text", "contaminated")  # whatever speakers say about them
# In addition, reasons that do not contradict speakers: another copy is kept, or the dataset is full.
_NOT_RESTORED = [*NEVER_RESTORED, "exact_duplicate", "normalised_duplicate", "above_max_bytes", JUDGED_WRONG]
_RESTORED = pl.Schema(
    {
        **dict.fromkeys(("text", "doc", "url", "site"), pl.String()), "bytes": pl.UInt32(), "reason": pl.String(),
        "part": pl.UInt32(), "number": pl.UInt32(),  # of the document within its part
        "folded": pl.UInt64(),
    }
)  # fmt: skip


@dataclass(frozen=True)
class RestoredRows:
    """The rows that are restored, and what to subtract from the counts of each reason for them."""

    rows: pl.DataFrame

    @property
    def texts(self) -> frozenset[str]:
        """Return their texts."""
        return frozenset(self.rows["text"])

    @property
    def tally(self) -> Tally:
        """Return their number and bytes."""
        return Tally(len(self.rows), int(self.rows["bytes"].sum()))

    def less(self, dropped: Mapping[str, Tally]) -> dict[str, Tally]:
        """Return what was dropped for each reason, without these rows."""
        left = dict(dropped)
        for reason, rows, size in self.rows.group_by("reason").agg(pl.len(), pl.col("bytes").sum()).iter_rows():
            left[reason] = Tally(left[reason].rows - rows, left[reason].bytes - size)
        return {reason: tally for reason, tally in left.items() if tally.rows}


def right_among(dropped: pl.DataFrame, decisions: Decisions) -> pl.Series:
    """Return which of the dropped lines speakers judged right."""
    return lines_among(dropped["text"], decisions.right) & ~dropped["reason"].is_in(_NOT_RESTORED)


def restored_rows(parts: Sequence[Part], drop_codes: Sequence[DropCodes], decisions: Decisions | None) -> RestoredRows:
    """Return the lines that are right but dropped, each once in whatever case, from the first document by address."""
    if decisions is None:
        return RestoredRows(pl.DataFrame(schema=_RESTORED))
    reasons = {number: reason for reason, number in CODES.items()}
    frames = []
    for number, (part, codes) in enumerate(zip(parts, drop_codes, strict=True)):
        dropped = (
            part.read("lines", "doc", "text", "bytes").with_columns(code=pl.Series(codes)).filter(pl.col("code") > 0)
        )
        reason = pl.col("code").replace_strict(reasons, return_dtype=pl.String)
        dropped = dropped.with_columns(reason=reason).drop("code")
        right = dropped.filter(right_among(dropped, decisions))
        documents = part.read("documents").with_row_index("doc")
        lines = pl.concat([part.read("right"), right], how="vertical_relaxed").join(documents, on="doc")
        lines = lines.rename({"doc": "number", "name": "doc"}).with_columns(
            site=site_of(pl.col("url")), part=pl.lit(number), folded=lowered(lines["text"]).hash(1)
        )
        frames.append(lines.select(_RESTORED.names()).cast(_RESTORED))
    # Names of files only break ties: the rows must not depend on how the text is divided among files.
    rows = pl.concat([pl.DataFrame(schema=_RESTORED), *frames]).sort("text", "url", "doc", "reason", nulls_last=True)
    rows = rows.unique("folded", keep="first", maintain_order=True)
    existing = [
        part.read("lines", "folded").filter(pl.Series(codes == 0) & pl.col("folded").is_in(rows["folded"].implode()))
        for part, codes in zip(parts, drop_codes, strict=True)
    ]
    return RestoredRows(rows.join(pl.concat([rows.select("folded").clear(), *existing]), on="folded", how="anti"))


def write_restored(restored: RestoredRows, places: pl.DataFrame, rows: Path) -> None:
    """Write the restored rows, ordered by content hash, into the last shard of their splits below the folder `rows`.

    `places` has the splits of the kept documents, by part and doc. Other documents are placed by their site or, without
    one, by the smallest hash of their lines here.
    """
    hashes = {
        "order": content_hash(restored.rows["text"]),
        "of_site": content_hash(restored.rows["site"].fill_null("")),
    }
    key = pl.when(pl.col("site").is_null()).then(pl.col("order").min().over("part", "number")).otherwise("of_site")
    kept = places.select("part", pl.col("doc").alias("number"), pl.col("split").alias("of_document"))
    placed = (
        restored.rows.with_columns(**hashes)
        .with_columns(split=by_pair(key))
        .join(kept, on=["part", "number"], how="left", maintain_order="left")
        .with_columns(split=pl.coalesce("of_document", "split"), line=pl.lit(0, pl.UInt32))
    )
    for split in SPLITS:
        split_rows = placed.filter(pl.col("split") == split)
        shards = sorted(int(path.name.split("-")[1]) for path in rows.glob(f"{split}-*"))
        folder = rows / f"{split}-{shards[-1] if shards else 0}"
        if len(split_rows):
            folder.mkdir(parents=True, exist_ok=True)
            split_rows.select(*WEB.names(), "order", "line").write_ipc(folder / "restored", compression="lz4")
