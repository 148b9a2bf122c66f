"""Tables for people: what is planned, and what was done."""

from collections.abc import Iterable, Sequence

from rich.console import Group
from rich.syntax import Syntax
from rich.table import Table

from hub_cards.publish.plan import Plan
from hub_cards.publish.publish import Collected, Prepared, Published
from lrldata.cli.tables import table
from lrldata.output import shown, size

MARKS = {"added": "+", "changed": "~", "removed": "-"}


def plan(prepared: Prepared) -> Group:
    """Show what a publication would do: repositories, files, and what changes in cards."""
    drawn = table(
        "A dry run: this would be done", "repository", "action", "version", "files", "bytes", numbers=("bytes",)
    )
    drawn.columns[0].no_wrap = True
    for each in prepared.plans:
        drawn.add_row(each.repository.id, each.action, _versions(each), _counts(each), size(_bytes(each)))
    parts: list[object] = [drawn]
    for each in prepared.plans:
        if each.action not in ("tag", "unchanged"):
            parts.append(_files(each))
            if each.action == "update" and each.card:
                parts.append(Syntax(shown(each.card), "diff", background_color="default", word_wrap=True))
    parts += [
        f"The collection “{wanted.title}” would hold {len(wanted.items)} of these." for wanted in prepared.collections
    ]
    return Group(*parts)  # type: ignore[arg-type]  # all of them are drawn by rich


def _versions(each: Plan) -> str:
    return f"{each.previous} → {each.version}" if each.previous not in (None, each.version) else each.version


def _counts(each: Plan) -> str:
    counted = {mark: sum(change.action == action for change in each.changes) for action, mark in MARKS.items()}
    same = sum(change.action == "unchanged" for change in each.changes)
    return " ".join([*(f"{mark}{count}" for mark, count in counted.items() if count), *([f"={same}"] if same else [])])


def _bytes(each: Plan) -> int:
    return sum(change.bytes for change in each.changes if change.action in ("added", "changed"))


def _files(each: Plan) -> Table:
    drawn = table(each.repository.id, "", "file", "size", numbers=("size",))
    for change in each.changes:
        drawn.add_row(MARKS.get(change.action, "="), change.path, size(change.bytes))
    return drawn


def published(results: Iterable[Published], collections: Sequence[Collected]) -> str:
    """Show what was done, and where it is."""
    lines = [f"{each.action:9} v{each.version:7} {each.url}" for each in results]
    lines += [f"{each.added} added   {each.url}" for each in collections]
    return "\n".join(lines)
