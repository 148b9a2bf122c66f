"""Options shared by the commands of all three packages, and their conversion to settings."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from lrldata.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Hide progress bars.")]
Config = Annotated[
    Path | None, typer.Option(help="TOML file with settings named like these options, which override it.")
]
Cache = Annotated[
    Path | None, typer.Option(help="Folder for downloads and intermediate files.", show_default="the user's cache")
]
_NOT_SETTINGS = {"config", "as_json", "quiet"}


def _parts(text: str) -> list[str]:
    """Return the parts of a comma-separated list; the name of a file may contain commas itself."""
    with suppress(OSError, ValueError):  # a long list is no valid path
        if "," in text and Path(text).exists():
            return [text]
    return [part for part in text.split(",") if part]


def typed_options(
    options: Mapping[str, Any], lists: tuple[str, ...] = (), renamed: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the settings that the user gave, from the `locals()` of a command.

    `lists` names options that are comma-separated lists; in these, the path of a file or folder is one value. `renamed`
    maps parameters to settings that have the name of a Python builtin. Raises UsageError for an empty list.
    """
    names = renamed or {}
    flags = {
        names.get(name, name): value
        for name, value in options.items()
        if name not in _NOT_SETTINGS and value is not None
    }
    for name in lists:
        if name in flags:
            flags[name] = _parts(flags[name])
            if not flags[name]:
                raise UsageError(f"--{name}: no value given.")
    return flags
