"""Tables for the terminal: the plan and the results of a publication."""

from collections.abc import Iterable, Sequence

from rich.console import Group
from rich.syntax import Syntax
from rich.table import Table

from hub_cards.publish.plan import Plan
from hub_cards.publish.publish import Prepared, Published, UpdatedCollection
from lrldata.cli.tables import table
from lrldata.output import shown, size

MARKS = {"added": "+", "changed": "~", "removed": "-"}


def plan(prepared: Prepared) -> Group:
    """Return what a publication would do: repositories, files and changes in cards."""
    overview = table(
        "Dry run: planned actions", "repository", "action", "version", "files", "bytes", numbers=("bytes",)
    )
    overview.columns[0].no_wrap = True
    for item in prepared.plans:
        overview.add_row(item.repository.id, item.action, _versions(item), _counts(item), size(_bytes(item)))
    parts: list[object] = [overview]
    for item in prepared.plans:
        if item.action not in ("tag", "unchanged"):
            parts.append(_files(item))
            if item.action == "update" and item.card:
                parts.append(Syntax(shown(item.card), "diff", background_color="default", word_wrap=True))
    parts += [
        f"The collection “{planned.title}” would contain {len(planned.items)} of these."
        for planned in prepared.collections
    ]
    return Group(*parts)  # type: ignore[arg-type]  # rich can render all of them


def _versions(item: Plan) -> str:
    return f"{item.previous} → {item.version}" if item.previous not in (None, item.version) else item.version


def _counts(item: Plan) -> str:
    counts = {mark: sum(change.action == action for change in item.changes) for action, mark in MARKS.items()}
    same = sum(change.action == "unchanged" for change in item.changes)
    return " ".join([*(f"{mark}{count}" for mark, count in counts.items() if count), *([f"={same}"] if same else [])])


def _bytes(item: Plan) -> int:
    return sum(change.bytes for change in item.changes if change.action in ("added", "changed"))


def _files(item: Plan) -> Table:
    file_table = table(item.repository.id, "", "file", "size", numbers=("size",))
    for change in item.changes:
        file_table.add_row(MARKS.get(change.action, "="), change.path, size(change.bytes))
    return file_table


def published(results: Iterable[Published], collections: Sequence[UpdatedCollection]) -> str:
    """Return the actions taken, and the addresses of the results."""
    lines = [f"{item.action:9} v{item.version:7} {item.url}{' (private)' * item.private}" for item in results]
    lines += [f"{item.added} added   {item.url}" for item in collections]
    return "\n".join(lines)
