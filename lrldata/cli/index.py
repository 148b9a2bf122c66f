"""`lrldata index`."""

from typing import Annotated

import typer

from lrldata.cli.options import Cache, Json, Quiet
from lrldata.cli.run import show_or_dump
from lrldata.progress import Progress


def index_command(
    dump: Annotated[str, typer.Option(help="Dump (path or URL) or conceptnet-lite database.")],
    cache: Cache = None,
    max_rejected: Annotated[float, typer.Option(help="Share of bad lines at which to stop.")] = 0.001,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build the index of a dump, which all builds share, and print its folder."""
    from lrldata.conceptnet.config import load_config
    from lrldata.conceptnet.source import find_index

    flags = {"lang": "all", "dump": dump, "max_rejected": max_rejected} | ({"cache": cache} if cache else {})
    index = find_index(load_config(None, flags), Progress(quiet))
    show_or_dump(as_json, {"path": str(index.folder), **index.manifest}, str(index.folder))
