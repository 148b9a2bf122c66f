"""Options that commands of all three packages share, and how what was typed becomes settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from lrldata.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars.")]
Config = Annotated[
    Path | None, typer.Option(help="Settings in TOML, by the names of these options, which override it.")
]
Cache = Annotated[Path | None, typer.Option(help="Where dumps and indexes are kept.", show_default="the user's cache")]
_NOT_SETTINGS = {"config", "as_json", "quiet"}


def given(
    options: Mapping[str, Any], lists: tuple[str, ...] = (), renamed: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the settings that were typed, from `locals()` of a command.

    `lists` names those that are parts between commas, `renamed` those whose name Python has for something else. Raises
    UsageError for a list of nothing.
    """
    names = renamed or {}
    flags = {
        names.get(name, name): value
        for name, value in options.items()
        if name not in _NOT_SETTINGS and value is not None
    }
    for name in lists:
        if name in flags:
            flags[name] = [part for part in flags[name].split(",") if part]
            if not flags[name]:
                raise UsageError(f"--{name}: nothing is named.")
    return flags
