"""`lrl serve-hub`."""

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
    root: Annotated[Path, typer.Option(help="Folder that everything is stored in; created if missing.")],
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    accounts: Annotated[
        Path | None, typer.Option(help="Users and tokens, TOML or JSON.", show_default="tester, of my-org")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print a line for each request.")] = False,
    as_json: Json = False,
) -> None:
    """Serve a Hub on this machine: what you push to it can be loaded from it, and nothing leaves the machine.

    Prints the variables to export; Ctrl-C ends it, and what was pushed stays in the folder.
    """
    with libraries():
        from hub_cards.local_hub.access import DEFAULTS, Accounts
        from hub_cards.local_hub.faults import Faults
        from hub_cards.local_hub.limits import FILE
        from hub_cards.local_hub.run import PART, ROWS, alone, run_until_told
        from hub_cards.local_hub.server import application

    def print_request(entry: Mapping[str, Any]) -> None:
        if verbose:
            tell(f"{entry['status']} {entry['method']} {entry['path']}")

    def started(endpoint: str) -> None:
        known = {"HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1"}  # a protocol that this Hub does not speak
        if accounts is None:  # its token is no secret: whoever reads this program knows it
            known["HF_TOKEN"] = DEFAULTS["tokens"][0]["token"]
        show_or_dump(as_json, known, *(f"export {name}={value}" for name, value in known.items()))
        sys.stdout.flush()

    try:
        with alone(root):
            app = application(
                root, Accounts.read(accounts), Faults(), page=ROWS, part=PART, largest=FILE, on_request=print_request
            )
            run_until_told(app, port, started)
    except BlockingIOError as error:
        raise StorageError(f"{root}: another server has this folder.", "End it, or give another --root.") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        told = f"has no {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"{accounts}: {told}.", "docs/how-to/publish.md shows a file of accounts.") from error
