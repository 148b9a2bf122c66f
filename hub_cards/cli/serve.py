"""The command `lrl serve-hub`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from hub_cards.cli.needs import libraries
from lrldata.cli.options import Json
from lrldata.cli.run import show_or_dump
from lrldata.errors import StorageError, UsageError
from lrldata.output import tell


def serve_command(
    root: Annotated[Path, typer.Option(help="Folder that stores everything; created if missing.")],
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port on 127.0.0.1; 0 picks a free one.")] = 0,
    accounts: Annotated[
        Path | None, typer.Option(help="File with users and tokens, TOML or JSON.", show_default="tester, of my-org")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print one line per request.")] = False,
    as_json: Json = False,
) -> None:
    """Serve a Hub on this machine. You can load what you push to it, and nothing leaves the machine.

    Prints the environment variables to export. Ctrl-C stops the server; pushed repositories stay in the folder.
    """
    with libraries():
        from hub_cards.local_hub.access import DEFAULTS, Accounts
        from hub_cards.local_hub.faults import Faults
        from hub_cards.local_hub.limits import FILE
        from hub_cards.local_hub.run import PART, ROWS, alone, run_until_signal
        from hub_cards.local_hub.server import application

    def print_request(entry: Mapping[str, Any]) -> None:
        if verbose:
            tell(f"{entry['status']} {entry['method']} {entry['path']}")

    def started(endpoint: str) -> None:
        exports = {"HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1"}  # this Hub does not support the Xet protocol
        if accounts is None:  # the default token is not a secret: it is in the source code
            exports["HF_TOKEN"] = DEFAULTS["tokens"][0]["token"]
        show_or_dump(as_json, exports, *(f"export {name}={value}" for name, value in exports.items()))
        sys.stdout.flush()

    try:
        users = Accounts.read(accounts)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        problem = f"has no {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"{accounts}: {problem}.", "docs/how-to/publish.md shows an example of this file.") from error
    try:
        with alone(root):
            app = application(root, users, Faults(), page=ROWS, part=PART, largest=FILE, on_request=print_request)
            run_until_signal(app, port, started)
    except BlockingIOError as error:
        raise StorageError(
            f"{root}: another server is using this folder.", "Stop it, or give another --root."
        ) from error
