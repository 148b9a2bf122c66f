"""Rich tables that show the results of commands."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from lrldata.language import Language, language_name
from lrldata.ledger import Ledger, reasons_of, unit_of
from lrldata.manifest import DATASET, read_manifest
from lrldata.output import size
from lrldata.review.wording import agreement, headline
from lrldata.steps import Step
from lrldata.web.inputs import describe_left_out
from lrldata.workspace import Dataset

if TYPE_CHECKING:  # slow to import
    from lrldata.web.explain import ExplainedLine

FOLDERS_SHOWN = 5
LINES_SHOWN = 500  # per table


def table(title: str, *columns: str, numbers: Sequence[str] = ()) -> Table:
    """Return an empty table; the columns named in `numbers` are right-aligned."""
    result = Table(title=title, box=box.SIMPLE, title_justify="left", title_style="bold")
    for column in columns:
        result.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return result


def built(results: Sequence[Dataset]) -> Group:
    """Show the datasets that a build made, and their folders."""
    # `results[0].manifest` would read the whole dataset to check it.
    came_in = unit_of(read_manifest(results[0].path, DATASET) or {"source": results[0].source})
    numbers = ("train", "valid.", "test", "kept", came_in, "s")
    output = table("Datasets", "language", "", *numbers, numbers=numbers)
    output.columns[1].no_wrap = True
    for result in results:
        rows = [f"{count:,}" for count in result.rows.values()]
        kept = f"{result.ledger.share_kept:.0%}", f"{result.ledger.came_in.rows:,}"
        name = f"{result.language.code} {result.language.name}"
        output.add_row(name, f"{result.status} {result.version}", *rows, *kept, f"{result.seconds:.2f}")
    folders = [str(result.path) for result in results]
    if len(folders) > FOLDERS_SHOWN:
        source = results[0].path
        folders = [f"{source.parent.parent}/LANGUAGE/{source.name}"]
    return Group(output, *folders)


def plan(steps: Iterable[Step]) -> Table:
    """Show the steps that a build would take."""
    output = table("Nothing is done yet; a build would", "action", "what", "size", "", numbers=("size",))
    for step in steps:
        output.add_row(step.action, step.what, size(step.bytes), step.note)
    return output


def ledger(account: Ledger, source: str, unit: str) -> Table:
    """Show what happened to every edge of ConceptNet, or to every line or sentence of other sources."""
    output = table("Ledger", unit, "rows", "share", "reason", numbers=("rows", "share"))
    total = account.came_in.rows or 1
    whole = "edges with an end in the language" if source == "conceptnet" else f"{unit} of all documents"
    output.add_row("in", f"{account.came_in.rows:,}", "100.0%", whole)
    for reason, tally in account.dropped.items():
        output.add_row(f"- {reason}", f"{tally.rows:,}", f"{tally.rows / total:.1%}", reasons_of(source)[reason])
        if reason == "relation_unsaid":
            for relation, count in account.unsaid.items():
                output.add_row(f"    {relation}", f"{count:,}", f"{count / total:.1%}", "")
    output.add_row("= kept", f"{account.kept.rows:,}", f"{account.share_kept:.1%}", "", style="bold")
    return output


def statistics(manifest: Mapping[str, Any], rows: pl.LazyFrame) -> dict[str, Any]:
    """Count the relations, if any, and the lengths of a dataset's rows, as JSON-like values."""
    relation = [name for name in manifest["columns"] if name == "relation"]
    frame = rows.select(*relation, length=pl.col("text").str.len_chars()).collect()
    lengths = frame["length"]
    counts = frame["relation"].value_counts() if "relation" in frame.columns else None
    quantiles = {f"p{share}": int(lengths.quantile(share / 100, "nearest") or 0) for share in (5, 25, 50, 75, 95)}
    return {
        "language": manifest["language"]["code"],
        "source": manifest["source"],
        "unit": unit_of(manifest),
        "version": manifest["version"],
        "rows": manifest["rows"],
        "relations": dict(counts.sort("count", "relation", descending=[True, False]).iter_rows())
        if counts is not None
        else {},
        "characters": {"min": lengths.min(), **quantiles, "max": lengths.max()},
        "ledger": manifest["ledger"],
        "inputs": manifest["inputs"],
        **{key: manifest[key] for key in ("skipped", "left_out", "text_column") if manifest.get(key)},
    }


def dataset(counted: Mapping[str, Any], account: Ledger, samples: Sequence[str]) -> Group:
    """Show a dataset folder: ledger, relations, lengths and samples."""
    rows = ", ".join(f"{split} {count:,}" for split, count in counted["rows"].items())
    rejected = sum(source["rejected_lines"] for source in counted["inputs"])
    head = f"{counted['language']} version {counted['version']}: {rows}; {rejected:,} lines rejected"
    parts: list[RenderableType] = [head, ledger(account, counted["source"], counted["unit"])]
    if counted["relations"]:
        relations = table("Relations", "relation", "sentences", numbers=("sentences",))
        for relation, count in counted["relations"].items():
            relations.add_row(relation, f"{count:,}")
        parts.append(relations)
    parts += _inputs(counted)
    if speakers := counted.get("speakers"):
        parts.append(judged(speakers, counted["language"], counted["unit"].replace("edges", "sentences")))
    lengths = table("Characters per row", *counted["characters"], numbers=list(counted["characters"]))
    lengths.add_row(*(f"{value:,}" for value in counted["characters"].values()))
    examples = table("Samples", "sentence")
    for sample in samples:
        examples.add_row(sample)
    return Group(*parts, lengths, examples)


def judged(speakers: Mapping[str, Any], code: str, unit: str) -> Group:
    """Show the verdicts of speakers on a dataset (review.summary.summarize)."""
    names = ("lines", "judged", "right", "share", "95 % interval")
    output = table(f"Speakers on version {speakers['version']}", *names, numbers=names[1:])
    kept = {"kept and good": speakers["kept"]} if speakers["kept"] else {}
    dropped = {f"rightly dropped: {reason}": share for reason, share in speakers["dropped"].items()}
    for name, share in {**kept, **dropped}.items():
        interval = f"{share['low']:.1%} to {share['high']:.1%}"
        output.add_row(name, f"{share['judged']:,}", f"{share['right']:,}", f"{share['share']:.1%}", interval)
    return Group(output, *filter(None, (headline(speakers, language_name(code), unit), agreement(speakers))))


def _inputs(counted: Mapping[str, Any]) -> list[RenderableType]:
    """List the files that were skipped or left out, and the text columns if there is more than one."""
    parts: list[RenderableType] = [f"skipped: {name}: {reason}" for name, reason in counted.get("skipped", {}).items()]
    parts += list(describe_left_out(counted.get("left_out", {})))
    if columns := counted.get("text_column"):
        parts.append(text_columns(columns))
    return parts


def text_columns(columns: Mapping[str, int]) -> str:
    """Say in how many documents the text comes from which column."""
    return "text: " + ", ".join(f"from the column {name} in {count:,} documents" for name, count in columns.items())


def explained(lines: Sequence["ExplainedLine"]) -> Iterator[Table]:
    """Show what would happen to each line of a text, in several tables, as Rich measures each before drawing it."""
    for start in range(0, len(lines), LINES_SHOWN):
        output = table("" if start else "Lines", "", "line", "identified as", "why")
        output.show_header = not start
        for line in lines[start : start + LINES_SHOWN]:
            identified = f"{line.language} {line.probability:.2f}" if line.language else ""
            output.add_row(
                "-" if line.reason else "+", line.text, identified, f"{line.reason or ''} {line.why}".strip()
            )
        yield output


def languages(rows: Sequence[Language]) -> Table:
    """Show the known facts about each language: a few languages side by side, more as a list."""
    if len(rows) <= FOLDERS_SHOWN:
        output = table("", "", *(row.code for row in rows))
        records = [_describe(row) for row in rows]
        for field in records[0]:
            output.add_row(field, *(record[field] for record in records))
        return output
    fields = list(_describe(rows[0]))
    output = table("Languages (sizes as in the paper)", *fields)
    for row in rows:
        output.add_row(*_describe(row).values())
    return output


def _describe(row: Language) -> dict[str, str]:
    test_sets = row.flores if row.flores == row.sib200 else f"{row.flores or '-'} {row.sib200 or '-'}"
    return {
        "code": row.code,
        "name": row.name,
        "ISO 639": " ".join(filter(None, (row.iso639_1, row.iso639_3, row.iso639_2b))),
        "scripts": " ".join(row.scripts),
        "ConceptNet": row.conceptnet or "",
        "GlotCC": row.glotcc or "",
        "FLORES, SIB-200": test_sets or "",
        "WikiANN": row.wikiann or "",
        "ConceptNet sentences": f"{row.paper.conceptnet_sentences:,}" if row.paper else "",
        "GlotCC MB": f"{row.paper.glotcc_mb:,.0f}" if row.paper else "",
    }
