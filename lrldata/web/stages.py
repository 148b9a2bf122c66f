"""What is done to one part of a corpus, from files to files, so that parts can be shared out to processes. IO."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lrldata.langid import NO_MODEL, load_model
from lrldata.language import Language, find
from lrldata.normalize import lowered
from lrldata.paths import state_of
from lrldata.review.decisions import Decisions
from lrldata.schema import WEB
from lrldata.split import content_hash
from lrldata.web import document_filters, pii, samples, spoken
from lrldata.web.chunks import DropCodes, Part, read_frame, whole
from lrldata.web.clean import CleaningContext, clean
from lrldata.web.cross_dedup import CODES, Keys
from lrldata.web.decontaminate import open_protected
from lrldata.web.scripts import check_known, kin_of, written_in

LARGE_SITE = 0.05  # share of the documents from which on a site is parted, or one split would have most of them
PRIVATE_USE = r"[\u{E000}-\u{F8FF}\u{F0000}-\u{10FFFD}]"  # what a letter is there depends on the font
REASONS = {number: reason for reason, number in CODES.items()}


@dataclass(frozen=True)
class Task:
    """What a process needs to know to work on parts of a corpus."""

    language: str
    lid: str
    cache: Path
    protect: tuple[Path, ...]
    benchmarks: bool
    unit: str
    scripts: tuple[str, ...] | None = None  # other ones than the language's
    handles: bool = False
    decided: Decisions | None = None  # what speakers said of lines
    sentences: bool = False  # each document is one, and rules for pages do not hold


def language_of(task: Task) -> Language:
    """Return the language, as it is written in the scripts that are asked for."""
    return written_in(find(task.language), task.scripts)


def context_of(task: Task) -> CleaningContext:
    """Load, once a process, what documents are judged with; again where a file of it is another one now."""
    return _context(task, *map(state_of, (*task.protect, Path(task.lid))))


@cache
def _context(task: Task, *_state: object) -> CleaningContext:
    language = language_of(task)
    protected = open_protected(language, task.protect, benchmarks=task.benchmarks)
    if task.lid == NO_MODEL:
        return CleaningContext(language, None, protected, task.unit, task.handles, alone=task.sentences)
    model = load_model(task.lid, task.cache)
    kin = kin_of(language, task.scripts, model.languages, model.name)
    check_known(language, model, kin)
    return CleaningContext(language, model, protected, task.unit, task.handles, kin, task.sentences)


def judge(task: Task, part: Part, read: pl.DataFrame) -> int:
    """Do the steps for lines, and keep what is left; returns the bytes that came in. `read` is as read.py gives it."""
    judged = clean(read, context_of(task))
    if task.decided:
        judged = spoken.mark_wrong(judged, task.decided)
    named = read.select(pl.col("doc").alias("name"), "url").with_row_index("doc")
    left = judged.filter(pl.col("reason").is_null())
    part.write_frame(
        "lines", left.select("doc", "text", "bytes", exact=pl.col("text").hash(1), folded=lowered(left["text"]).hash(1))
    )
    part.write_frame("documents", named.select("name", "url"))
    dropped = judged.filter(pl.col("reason").is_not_null()).join(named, on="doc", maintain_order="left")
    if task.decided:
        right = spoken.right_among(dropped, task.decided)
        part.write_frame("right", dropped.filter(right).select("doc", "text", "bytes", "reason"))
    rival = pl.when(pl.col("taken_for") != task.language).then("probability")
    summary = {
        "in": {"rows": len(judged), "bytes": int(judged["bytes"].sum())},
        "left": len(left),
        "dropped": tallies(dropped),
        "samples": samples.draw(dropped.drop("doc").rename({"name": "doc"}), CODES, samples.DROPPED),
        "measured": samples.measure(judged.with_columns(rival=rival), named),
        "columns": _columns(read),
    }
    part.write_summary(summary)
    return int(judged["bytes"].sum())


def _columns(read: pl.DataFrame) -> dict[str, int]:
    """Return of how many documents the text is from which column; empty for files without columns."""
    return dict(sorted(read["column"].drop_nulls().value_counts().iter_rows())) if "column" in read.columns else {}


def tallies(rows: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Return rows and bytes for each reason."""
    sums = rows.group_by("reason").agg(rows=pl.len(), bytes=pl.col("bytes").sum())
    return {reason: {"rows": count, "bytes": size} for reason, count, size in sums.iter_rows()}


def describe(task: Task, part: Part, repeated: Path) -> None:
    """Take out lines that many documents have, do the steps for documents, and describe those that stay."""
    lines = part.read("lines")
    again = np.isin(lines["folded"].to_numpy(), _keys(repeated))
    drop_codes = np.where(again, np.uint8(CODES["repeated_line"]), np.uint8(0))
    left = lines.filter(pl.Series(~again))
    judged, described = _describe(task, part, left)
    _put(drop_codes, lines["doc"], judged)
    sizes = left.group_by("doc", maintain_order=True).agg(pl.col("bytes").sum())
    part.write_array("drop_codes", drop_codes)
    part.write_array("signatures", described.signatures)
    part.write_array("bands", described.bands)
    part.write_summary(part.summary() | {"documents": samples.measure(judged.join(sizes, on="doc"))})
    part.write_frame("described", described.documents)


def _describe(task: Task, part: Part, lines: pl.DataFrame) -> tuple[pl.DataFrame, document_filters.Described]:
    """Judge the documents that these lines are of, and describe those that stay: with the site that they are of."""
    judged, described = document_filters.describe(
        lines.select("doc", "text"), language_of(task), sentences=task.sentences
    )
    frame = described.documents.join(_named(part), on="doc", maintain_order="left")
    site, tie = (content_hash(frame[column].fill_null("")) for column in ("site", "url"))
    return judged, described._replace(documents=frame.drop("name", "url").with_columns(site=site, tie=tie))


@cache
def _keys(path: Path) -> Keys:
    return np.asarray(np.load(path))


def _put(drop_codes: DropCodes, doc: pl.Series, judged: pl.DataFrame) -> None:
    """Give the lines of documents that go the reason for which their document does."""
    gone = judged.filter(pl.col("reason").is_not_null())
    codes = np.zeros(int(doc.max() or 0) + 1, dtype=np.uint8)  # type: ignore[arg-type]
    codes[gone["doc"].to_numpy()] = gone["reason"].replace_strict(CODES, return_dtype=pl.UInt8).to_numpy()
    of_line = codes[doc.to_numpy()]
    np.copyto(drop_codes, of_line, where=(drop_codes == 0) & (of_line > 0))


def _named(part: Part) -> pl.DataFrame:
    host = pl.col("url").str.extract(r"^\w+://(?:www\.)?([^/:?#]+)", 1)
    return part.read("documents").with_row_index("doc").with_columns(site=host)


def reassess_documents(task: Task, part: Part, drop_codes: DropCodes, before: DropCodes) -> DropCodes:
    """Judge and describe once more the documents that lost lines since they were described; returns the drop_codes.

    What is left of a document may be too little, or nearly the same as another's. All that stay are described as
    `settled`, with their bytes and lines.
    """
    lines = part.read("lines", "doc", "text", "bytes")
    touched = lines.filter(pl.Series((drop_codes != before) & (drop_codes > 0)))["doc"].unique()
    alive = pl.Series(drop_codes == 0)
    judged, again = _describe(task, part, lines.filter(alive & lines["doc"].is_in(touched.implode())))
    drop_codes = drop_codes.copy()
    _put(drop_codes, lines["doc"], judged)
    left = lines.filter(pl.Series(drop_codes == 0)).group_by("doc").agg(pl.col("bytes").sum(), rows=pl.len())
    described = part.read("described")
    same = described.select(pl.col("doc").is_in(left["doc"].implode()) & ~pl.col("doc").is_in(touched.implode()))["doc"]
    frame = pl.concat([described.filter(same), again.documents])
    chosen = same.to_numpy()
    part.write_frame("settled", frame.join(left, on="doc", maintain_order="left"))
    part.write_array("settled-signatures", np.concatenate([part.array("signatures")[chosen], again.signatures]))
    part.write_array("settled-bands", np.concatenate([part.array("bands")[:, chosen], again.bands], axis=1))
    return drop_codes


def write(task: Task, part: Part, drop_codes: DropCodes, places: pl.DataFrame, folder: Path) -> dict[str, Any]:
    """Write what stays of a part as rows, a file for each shard of the dataset, and count and sample what goes.

    `places` has for the documents that stay: doc, order, split, shard.
    """
    named = _named(part).drop("site")
    lines = part.read("lines", "doc", "text", "bytes").with_row_index("line").with_columns(code=pl.Series(drop_codes))
    reason = pl.col("code").replace_strict(REASONS, default=None, return_dtype=pl.String)
    gone = lines.filter(pl.col("code") > 0).with_columns(reason=reason).join(named, on="doc", maintain_order="left")
    rows = lines.filter(pl.col("code") == 0).join(places, on="doc", maintain_order="left")
    kept = {"rows": len(rows), "bytes": int(rows["bytes"].sum())}
    if task.unit == "documents":
        rows = rows.group_by("doc", maintain_order=True).agg(
            pl.col("text").str.join("\n"), pl.col("order", "split", "shard", "line").first()
        )
    rows = rows.join(named, on="doc", maintain_order="left").select(
        "text", pl.col("name").alias("doc"), "url", "order", "line", "split", "shard"
    )
    for (split, shard), some in rows.group_by("split", "shard"):
        target = folder / f"{split}-{shard}" / part.stem.name
        whole(target, lambda path, some=some: some.drop("split", "shard").write_ipc(path, compression="lz4"))  # type: ignore[misc]
    drawn = gone.drop("doc").rename({"name": "doc"})
    shown = samples.draw(drawn, CODES, samples.DROPPED)
    here = samples.draw(rows.with_columns(reason=pl.lit(None, pl.String)), [None], samples.KEPT)
    return {
        "kept": kept, "dropped": tallies(gone), "samples": shown, "shown": here.get(None, []),
        "replaced": pii.count(rows["text"]), "private": int(rows["text"].str.contains(PRIVATE_USE).sum()),
    }  # fmt: skip


def read_rows(folder: Path) -> pl.DataFrame:
    """Return the rows of a shard of the dataset, in the order of their documents' content."""
    return pl.concat([read_frame(path) for path in sorted(folder.iterdir())]).sort("order", "line").select(WEB.names())
