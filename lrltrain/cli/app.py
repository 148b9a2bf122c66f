"""The command `lrltrain`. What needs torch is imported when a command runs."""

from typing import Annotated

import typer

from lrldata import __version__
from lrldata.cli.run import DEBUG_HELP, run
from lrldata.output import say
from lrltrain.cli.evaluate import eval_command
from lrltrain.cli.fit import fit_command
from lrltrain.cli.grid import grid_command, status_command
from lrltrain.cli.prompt import prompt_command
from lrltrain.cli.report import report_command

app = typer.Typer(
    help="Language adapters: train them, and measure what they did.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    if version:
        say(f"lrltrain {__version__}")
        raise typer.Exit
    _ = debug  # read from the arguments by `run`


app.command("fit")(fit_command)
app.command("eval")(eval_command)
app.command("prompt")(prompt_command)
app.command("report")(report_command)
app.command("grid")(grid_command)
app.command("status")(status_command)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 bad usage; a traceback only with --debug."""
    run(app, "lrltrain")
