"""Options that commands of all three packages share."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars.")]
Config = Annotated[
    Path | None, typer.Option(help="Settings in TOML, by the names of these options; flags stand above it.")
]
Cache = Annotated[Path | None, typer.Option(help="Where dumps and indexes are kept.", show_default="the user's cache")]
