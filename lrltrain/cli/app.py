"""The subcommands of `lrltrain`. Modules that need torch are imported only when a command runs."""

from lrldata.cli.run import new_app, run
from lrltrain.cli.evaluate import eval_command
from lrltrain.cli.fit import fit_command
from lrltrain.cli.grid import grid_command, status_command
from lrltrain.cli.prompt import prompt_command
from lrltrain.cli.report import report_command

app = new_app("lrltrain", "Train language adapters and measure their effect.")
app.command("fit")(fit_command)
app.command("eval")(eval_command)
app.command("prompt")(prompt_command)
app.command("report")(report_command)
app.command("grid")(grid_command)
app.command("status")(status_command)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 bad usage. Tracebacks appear only with --debug."""
    run(app, "lrltrain")
