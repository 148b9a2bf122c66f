"""Rich tables of what the commands return, for people."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from lrldata.language import Language, find
from lrldata.ledger import Ledger, reasons_of, unit_of
from lrldata.output import size
from lrldata.review.wording import agreement, headline
from lrldata.steps import Step
from lrldata.web.inputs import describe_left_out
from lrldata.workspace import Dataset

if TYPE_CHECKING:  # what it needs is slow to import
    from lrldata.web.explain import Explained

FOLDERS_SHOWN = 5
LINES_SHOWN = 500  # of one table


def table(title: str, *columns: str, numbers: Sequence[str] = ()) -> Table:
    """Return an empty table; the columns named in `numbers` are set to the right."""
    made = Table(title=title, box=box.SIMPLE, title_justify="left", title_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return made


def built(results: Sequence[Dataset]) -> Group:
    """Show what a build made, and in which folders."""
    came_in = unit_of(results[0].manifest)
    numbers = ("train", "valid.", "test", "kept", came_in, "s")
    drawn = table("Datasets", "language", "", *numbers, numbers=numbers)
    drawn.columns[1].no_wrap = True
    for result in results:
        rows = [f"{count:,}" for count in result.rows.values()]
        kept = f"{result.ledger.share_kept:.0%}", f"{result.ledger.came_in.rows:,}"
        name = f"{result.language.code} {result.language.name}"
        drawn.add_row(name, f"{result.status} {result.version}", *rows, *kept, f"{result.seconds:.2f}")
    folders = [str(result.path) for result in results]
    if len(folders) > FOLDERS_SHOWN:
        source = results[0].path
        folders = [f"{source.parent.parent}/LANGUAGE/{source.name}"]
    return Group(drawn, *folders)


def plan(steps: Iterable[Step]) -> Table:
    """Show what a build would do."""
    drawn = table("Nothing is done yet; a build would", "action", "what", "size", "", numbers=("size",))
    for step in steps:
        drawn.add_row(step.action, step.what, size(step.bytes), step.note)
    return drawn


def ledger(account: Ledger, source: str, unit: str) -> Table:
    """Show where every edge of ConceptNet, or every line or sentence of other sources, went."""
    drawn = table("Ledger", unit, "rows", "share", "reason", numbers=("rows", "share"))
    total = account.came_in.rows or 1
    whole = "edges with an end in the language" if source == "conceptnet" else f"{unit} of all documents"
    drawn.add_row("in", f"{account.came_in.rows:,}", "100.0%", whole)
    for reason, tally in account.dropped.items():
        drawn.add_row(f"- {reason}", f"{tally.rows:,}", f"{tally.rows / total:.1%}", reasons_of(source)[reason])
        if reason == "relation_unsaid":
            for relation, count in account.unsaid.items():
                drawn.add_row(f"    {relation}", f"{count:,}", f"{count / total:.1%}", "")
    drawn.add_row("= kept", f"{account.kept.rows:,}", f"{account.share_kept:.1%}", "", style="bold")
    return drawn


def statistics(manifest: Mapping[str, Any], rows: pl.LazyFrame) -> dict[str, Any]:
    """Count relations, if there are any, and lengths of the rows of a dataset, as JSON-like values."""
    frame = rows.with_columns(length=pl.col("text").str.len_chars()).drop("text").collect()
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
    """Show a dataset folder: ledger, relations, lengths, samples."""
    rows = ", ".join(f"{split} {count:,}" for split, count in counted["rows"].items())
    rejected = sum(source["rejected_lines"] for source in counted["inputs"])
    head = f"{counted['language']} version {counted['version']}: {rows}; {rejected:,} lines rejected"
    drawn: list[RenderableType] = [head, ledger(account, counted["source"], counted["unit"])]
    if counted["relations"]:
        relations = table("Relations", "relation", "sentences", numbers=("sentences",))
        for relation, count in counted["relations"].items():
            relations.add_row(relation, f"{count:,}")
        drawn.append(relations)
    drawn += _inputs(counted)
    if speakers := counted.get("speakers"):
        drawn.append(judged(speakers, counted["language"]))
    lengths = table("Characters a row", *counted["characters"], numbers=list(counted["characters"]))
    lengths.add_row(*(f"{value:,}" for value in counted["characters"].values()))
    examples = table("Samples", "sentence")
    for sample in samples:
        examples.add_row(sample)
    return Group(*drawn, lengths, examples)


def judged(speakers: Mapping[str, Any], code: str) -> Group:
    """Show what speakers said of a dataset (review.summary.summarize)."""
    names = ("lines", "judged", "right", "share", "95 % interval")
    drawn = table(f"Speakers on version {speakers['version']}", *names, numbers=names[1:])
    kept = {"kept, and good": speakers["kept"]} if speakers["kept"] else {}
    dropped = {f"dropped, and rightly: {reason}": each for reason, each in speakers["dropped"].items()}
    for name, share in {**kept, **dropped}.items():
        interval = f"{share['low']:.1%} to {share['high']:.1%}"
        drawn.add_row(name, f"{share['judged']:,}", f"{share['right']:,}", f"{share['share']:.1%}", interval)
    return Group(drawn, *filter(None, (headline(speakers, find(code).name), agreement(speakers))))


def _inputs(counted: Mapping[str, Any]) -> list[RenderableType]:
    """Say which files were skipped or left out, and of which columns the text is, where it is more than one."""
    drawn: list[RenderableType] = [f"skipped: {name}: {why}" for name, why in counted.get("skipped", {}).items()]
    drawn += list(describe_left_out(counted.get("left_out", {})))
    if columns := counted.get("text_column"):
        drawn.append(text_columns(columns))
    return drawn


def text_columns(columns: Mapping[str, int]) -> str:
    """Say of how many documents the text is from which column."""
    return "text: " + ", ".join(f"of the column {name} in {count:,} documents" for name, count in columns.items())


def explained(told: Sequence["Explained"]) -> Iterator[Table]:
    """Show what would happen to each line of a text, in several tables: each is measured before it is drawn."""
    for begin in range(0, len(told), LINES_SHOWN):
        drawn = table("" if begin else "Lines", "", "line", "taken for", "why")
        drawn.show_header = not begin
        for line in told[begin : begin + LINES_SHOWN]:
            taken = f"{line.language} {line.probability:.2f}" if line.language else ""
            drawn.add_row("-" if line.reason else "+", line.text, taken, f"{line.reason or ''} {line.why}".strip())
        yield drawn


def languages(rows: Sequence[Language]) -> Table:
    """Show what is known of each language: a few side by side, more as a list."""
    if len(rows) <= FOLDERS_SHOWN:
        drawn = table("", "", *(row.code for row in rows))
        described = [_describe(row) for row in rows]
        for field in described[0]:
            drawn.add_row(field, *(record[field] for record in described))
        return drawn
    fields = list(_describe(rows[0]))
    drawn = table("Languages (sizes: as the paper has them)", *fields)
    for row in rows:
        drawn.add_row(*_describe(row).values())
    return drawn


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
