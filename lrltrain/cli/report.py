"""The command `lrltrain report`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.text import Text

from lrldata.cli.options import Json
from lrldata.cli.run import show_or_dump
from lrldata.output import UNLIMITED, Screen, note
from lrldata.output import shown as printable
from lrldata.progress import Progress
from lrltrain.cli.options import Quiet, libraries


def report_command(
    workspace: Annotated[str, typer.Argument(help="The workspace: a folder, or s3://BUCKET/FOLDER.")] = "lrl-workspace",
    out: Annotated[Path | None, typer.Option(help="Folder to write to.", show_default="WORKSPACE/report")] = None,
    against: Annotated[
        str,
        typer.Option(
            help="Reference to compare scores with: a method (lora), a model (gpt-4), or both (gpt-4:prompt-0).",
            show_default="the base model without an adapter",
        ),
    ] = "none",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write tables, plots and a page of all scores with confidence intervals, marking changes that exceed chance."""
    from rich.markdown import Markdown

    from lrldata.remote import opened

    progress = Progress(quiet)
    with libraries(progress):
        from lrltrain.grid.show import unfinished
        from lrltrain.reporting.reference import Reference
        from lrltrain.reporting.report import MADE_OF, is_read, report
    with (
        opened(
            workspace, [*MADE_OF, "grid/plan.json", "grid/jobs"], [] if out else ["report"], wanted=is_read
        ) as folder,
        progress.waiting("Writing the report"),
    ):
        reported = report(folder, out, against=Reference(against))
    if warning := unfinished(folder):
        note(f"{warning}, so tables may lack scores; `lrltrain status {workspace}` lists them.")
    gains, losses = f"{reported.gains:,} gain{'s' * (reported.gains != 1)}", f"{reported.losses:,} loss"
    summary = f"{reported.scores:,} scores, {reported.compared:,} comparisons; more than chance: {gains} and {losses}"
    summary += f"{'es' * (reported.losses != 1)}.\n"
    summary += f"{reported.page}: open it in a browser; it works offline."
    written = printable((reported.page.parent / "results.md").read_text("utf-8").rstrip())
    tables = Text(written) if Screen().width == UNLIMITED else Markdown(written)  # Markdown centres titles
    show_or_dump(as_json, reported.as_json(), Group(tables, "", summary))
