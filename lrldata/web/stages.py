"""The steps for one part of a corpus, from files to files, so that parts can be distributed to processes. IO."""

from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lrldata.langid import NO_MODEL, LanguageModel, load_model
from lrldata.language import Language, find, table_state
from lrldata.normalize import lowered
from lrldata.paths import state_of
from lrldata.review.decisions import Decisions, mark_wrong
from lrldata.schema import WEB
from lrldata.split import content_hash, site_of
from lrldata.web import document_filters, pii, restore, samples
from lrldata.web.chunks import DropCodes, Part, read_frame, write_atomically
from lrldata.web.clean import CleaningContext, clean
from lrldata.web.cross_dedup import CODES, Keys
from lrldata.web.decontaminate import open_protected
from lrldata.web.scripts import check_known, kin_of, restrict_scripts

LARGE_SITE = 0.05  # share of the documents from which on a site is divided among splits
PRIVATE_USE = r"[\u{E000}-\u{F8FF}\u{F0000}-\u{10FFFD}]"  # what such a character means depends on the font
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
    scripts: tuple[str, ...] | None = None  # if they are not all of the language's
    handles: bool = False
    decided: Decisions | None = None  # how speakers judged lines
    sentences: bool = False  # each document is one sentence, and rules for pages do not apply


def language_of(task: Task) -> Language:
    """Return the language, restricted to the requested scripts."""
    return restrict_scripts(find(task.language), task.scripts)


def context_of(task: Task) -> CleaningContext:
    """Load what documents are judged with, once per language, and again if one of its files has changed."""
    return _context(task, table_state(), *map(state_of, (*task.protect, Path(task.lid))))


@lru_cache(maxsize=4)
def _context(task: Task, *_state: object) -> CleaningContext:
    language = language_of(task)
    protected = open_protected(language, task.protect, benchmarks=task.benchmarks)
    if task.lid == NO_MODEL:
        return CleaningContext(language, None, protected, task.unit, task.handles, alone=task.sentences)
    model = _model(task.lid, task.cache, table_state(), state_of(Path(task.lid)))
    kin = kin_of(language, task.scripts, model.languages, model.name)
    check_known(language, model, kin)
    return CleaningContext(language, model, protected, task.unit, task.handles, kin, task.sentences)


@lru_cache(maxsize=2)
def _model(name: str, folder: Path, *_state: object) -> LanguageModel:
    """Load a model once for all languages: the largest takes almost 2 GB."""
    return load_model(name, folder)


def judge(task: Task, part: Part, read: pl.DataFrame) -> int:
    """Run the line-level steps and write what is left; return the bytes that came in. `read` is from read.py."""
    judged = clean(read, context_of(task))
    judged = mark_wrong(judged, task.decided)
    documents = read.select(pl.col("doc").alias("name"), "url").with_row_index("doc")
    left = judged.filter(pl.col("reason").is_null())
    part.write_frame(
        "lines", left.select("doc", "text", "bytes", exact=pl.col("text").hash(1), folded=lowered(left["text"]).hash(1))
    )
    part.write_frame("documents", documents.select("name", "url"))
    dropped = judged.filter(pl.col("reason").is_not_null()).join(documents, on="doc", maintain_order="left")
    if task.decided:
        right = restore.right_among(dropped, task.decided)
        part.write_frame("right", dropped.filter(right).select("doc", "text", "bytes", "reason"))
    rival = pl.when(pl.col("taken_for") != task.language).then("probability")
    summary = {
        "in": {"rows": len(judged), "bytes": int(judged["bytes"].sum())},
        "left": len(left),
        "dropped": tallies(dropped),
        "samples": samples.draw(dropped.drop("doc").rename({"name": "doc"}), CODES, samples.DROPPED),
        "measured": samples.measure(judged.with_columns(rival=rival), documents),
        "columns": _columns(read),
        "files": read["doc"].str.replace(r"#\d+$", "").unique(maintain_order=True).to_list(),
    }
    part.write_summary(summary)
    return int(judged["bytes"].sum())


def _columns(read: pl.DataFrame) -> dict[str, int]:
    """Return the number of documents per text column; empty for files without columns."""
    return dict(sorted(read["column"].drop_nulls().value_counts().iter_rows())) if "column" in read.columns else {}


def tallies(rows: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Return rows and bytes for each reason."""
    sums = rows.group_by("reason").agg(rows=pl.len(), bytes=pl.col("bytes").sum())
    return {reason: {"rows": count, "bytes": size} for reason, count, size in sums.iter_rows()}


def describe(task: Task, part: Part, repeated: Path) -> None:
    """Drop the lines that many documents have, run the document-level steps, and describe the kept documents."""
    lines = part.read("lines")
    is_repeated = np.isin(lines["folded"].to_numpy(), _keys(repeated))
    drop_codes = np.where(is_repeated, np.uint8(CODES["repeated_line"]), np.uint8(0))
    left = lines.filter(pl.Series(~is_repeated))
    judged, described = _describe(task, part, left)
    _drop_documents(drop_codes, lines["doc"], judged)
    sizes = left.group_by("doc", maintain_order=True).agg(pl.col("bytes").sum())
    part.write_array("drop_codes", drop_codes)
    part.write_array("signatures", described.signatures)
    part.write_array("bands", described.bands)
    part.write_summary(part.summary() | {"documents": samples.measure(judged.join(sizes, on="doc"))})
    part.write_frame("described", described.documents)


def _describe(task: Task, part: Part, lines: pl.DataFrame) -> tuple[pl.DataFrame, document_filters.DocumentData]:
    """Judge the documents of these lines, and describe the kept ones, with their sites."""
    judged, described = document_filters.describe(
        lines.select("doc", "text"), language_of(task), sentences=task.sentences
    )
    frame = described.documents.join(_documents_of(part), on="doc", maintain_order="left")
    site, tie = (content_hash(frame[column].fill_null("")) for column in ("site", "url"))
    return judged, described._replace(documents=frame.drop("name", "url").with_columns(site=site, tie=tie))


@cache
def _keys(path: Path) -> Keys:
    return np.asarray(np.load(path))


def _drop_documents(drop_codes: DropCodes, doc: pl.Series, judged: pl.DataFrame) -> None:
    """Give the lines of dropped documents the reason of their document."""
    dropped = judged.filter(pl.col("reason").is_not_null())
    codes = np.zeros(int(doc.max() or 0) + 1, dtype=np.uint8)  # type: ignore[arg-type]
    codes[dropped["doc"].to_numpy()] = dropped["reason"].replace_strict(CODES, return_dtype=pl.UInt8).to_numpy()
    line_codes = codes[doc.to_numpy()]
    np.copyto(drop_codes, line_codes, where=(drop_codes == 0) & (line_codes > 0))


def _documents_of(part: Part) -> pl.DataFrame:
    return part.read("documents").with_row_index("doc").with_columns(site=site_of(pl.col("url")))


def reassess_documents(task: Task, part: Part, drop_codes: DropCodes, before: DropCodes) -> DropCodes:
    """Judge and describe again the documents that lost lines since they were described; return the new drop codes.

    What is left of a document may be too little, or a near-duplicate of another one. All kept documents are described
    as `settled`, with their bytes and numbers of lines.
    """
    lines = part.read("lines", "doc", "text", "bytes")
    touched = lines.filter(pl.Series((drop_codes != before) & (drop_codes > 0)))["doc"].unique()
    is_kept = pl.Series(drop_codes == 0)
    judged, updated = _describe(task, part, lines.filter(is_kept & lines["doc"].is_in(touched.implode())))
    drop_codes = drop_codes.copy()
    _drop_documents(drop_codes, lines["doc"], judged)
    left = lines.filter(pl.Series(drop_codes == 0)).group_by("doc").agg(pl.col("bytes").sum(), rows=pl.len())
    described = part.read("described")
    same = described.select(pl.col("doc").is_in(left["doc"].implode()) & ~pl.col("doc").is_in(touched.implode()))["doc"]
    frame = pl.concat([described.filter(same), updated.documents])
    mask = same.to_numpy()
    part.write_frame("settled", frame.join(left, on="doc", maintain_order="left"))
    part.write_array("settled-signatures", np.concatenate([part.array("signatures")[mask], updated.signatures]))
    part.write_array("settled-bands", np.concatenate([part.array("bands")[:, mask], updated.bands], axis=1))
    return drop_codes


def write(task: Task, part: Part, drop_codes: DropCodes, places: pl.DataFrame, folder: Path) -> dict[str, Any]:
    """Write the kept rows of a part, one file per shard of the dataset, and count and sample the dropped ones.

    `places` has the columns doc, order, split and shard, for the kept documents.
    """
    documents = _documents_of(part).drop("site")
    lines = part.read("lines", "doc", "text", "bytes").with_row_index("line").with_columns(code=pl.Series(drop_codes))
    reason = pl.col("code").replace_strict(REASONS, default=None, return_dtype=pl.String)
    dropped = (
        lines.filter(pl.col("code") > 0).with_columns(reason=reason).join(documents, on="doc", maintain_order="left")
    )
    rows = lines.filter(pl.col("code") == 0).join(places, on="doc", maintain_order="left")
    kept = {"rows": len(rows), "bytes": int(rows["bytes"].sum())}
    if task.unit == "documents":
        rows = rows.group_by("doc", maintain_order=True).agg(
            pl.col("text").str.join("\n"), pl.col("order", "split", "shard", "line").first()
        )
    rows = rows.join(documents, on="doc", maintain_order="left").select(
        "text", pl.col("name").alias("doc"), "url", "order", "line", "split", "shard"
    )
    for (split, shard), group in rows.group_by("split", "shard"):
        target = folder / f"{split}-{shard}" / part.stem.name
        rows_of_shard = group.drop("split", "shard")
        write_atomically(target, partial(rows_of_shard.write_ipc, compression="lz4"))
    to_sample = dropped.drop("doc").rename({"name": "doc"})
    dropped_samples = samples.draw(to_sample, CODES, samples.DROPPED)
    kept_samples = samples.draw(rows.with_columns(reason=pl.lit(None, pl.String)), [None], samples.KEPT)
    return {
        "kept": kept, "dropped": tallies(dropped), "samples": dropped_samples, "shown": kept_samples.get(None, []),
        "replaced": pii.count(rows["text"]), "private": int(rows["text"].str.contains(PRIVATE_USE).sum()),
    }  # fmt: skip


def read_rows(folder: Path) -> pl.DataFrame:
    """Return the rows of a shard of the dataset, in the order of their documents' content hashes."""
    return pl.concat([read_frame(path) for path in sorted(folder.iterdir())]).sort("order", "line").select(WEB.names())
