"""`lrldata langs`."""

from typing import Annotated

import typer

from lrldata.cli.options import Json
from lrldata.cli.run import show_or_dump
from lrldata.output import say


def langs_command(
    names: Annotated[list[str] | None, typer.Argument(help="Codes or names; all languages if none are given.")] = None,
    paper: Annotated[bool, typer.Option("--paper", help="Show only the paper's 30.")] = False,
    as_json: Json = False,
) -> None:
    """List languages with their codes in every system, scripts, sizes in the paper, and sources."""
    from lrldata.cli import tables
    from lrldata.language import find, languages

    rows = [find(name) for name in names] if names else [row for row in languages() if row.paper or not paper]
    records = [row.model_dump(exclude_none=True, mode="json") | {"sources": row.sources} for row in rows]
    show_or_dump(as_json, {"languages": records}, tables.languages(rows))
    if not as_json and names:
        for row in rows:
            if row.note:
                say(f"{row.name} ({row.code}): {row.note}")
