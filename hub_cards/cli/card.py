"""The command `lrl card`."""

from pathlib import Path
from typing import Annotated

import typer

from hub_cards.cli.needs import libraries
from lrldata.cli.options import Json
from lrldata.cli.run import show_or_dump
from lrldata.errors import InputError
from lrldata.output import note, say


def card_command(
    path: Annotated[Path, typer.Argument(help="Folder of a dataset or an adapter; with --check, also a README.md.")],
    check: Annotated[
        bool, typer.Option("--check", help="Only check the card against the Hub's rules, offline.")
    ] = False,
    namespace: Annotated[str, typer.Option(help="User or organisation that the card names as the owner.")] = "my-org",
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to.", show_default="cards/ in the workspace")
    ] = None,
    as_json: Json = False,
) -> None:
    """Render the card of a local dataset or adapter as Markdown and as an HTML page, or check it."""
    from hub_cards.api import check_card, render_card

    if check:
        with libraries():
            faults = check_card(path, namespace=namespace)
        if as_json:
            show_or_dump(True, {"faults": faults}, "")
        elif not faults:
            say(f"{path}: the card follows the Hub's rules.")
        if faults:
            raise InputError(
                f"{path}: {len(faults)} {'fault' if len(faults) == 1 else 'faults'}:\n  " + "\n  ".join(faults)
            )
        return
    with libraries():
        rendered = render_card(path, namespace=namespace, out=out)
    show_or_dump(as_json, rendered.as_json(), f"{rendered.markdown}\n{rendered.page}")
    for fault in rendered.faults:
        note(fault)
