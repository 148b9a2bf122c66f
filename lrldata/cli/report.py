"""`lrldata report`."""

from pathlib import Path
from typing import Annotated

import typer

from lrldata.cli.options import Json
from lrldata.cli.run import show_or_dump


def report_command(
    folder: Annotated[Path, typer.Argument(help="A dataset folder, e.g. lrl-workspace/datasets/mt/glotcc.")],
    out: Annotated[Path | None, typer.Option(help="The page to write.", show_default="FOLDER.report.html")] = None,
    as_json: Json = False,
) -> None:
    """Write a page that shows what was kept, what was dropped and why, for a speaker to judge."""
    from lrldata.report.page import write_report

    page = write_report(folder, out)
    show_or_dump(as_json, {"path": str(page)}, f"{page}: open it in a browser; it works offline.")
