"""The command `lrltrain`: its commands, each a module beside this one. What needs torch is imported when one runs."""

from lrldata.cli.run import new_app, run
from lrltrain.cli.evaluate import eval_command
from lrltrain.cli.fit import fit_command
from lrltrain.cli.grid import grid_command, status_command
from lrltrain.cli.prompt import prompt_command
from lrltrain.cli.report import report_command

app = new_app("lrltrain", "Language adapters: train them, and measure what they did.")
app.command("fit")(fit_command)
app.command("eval")(eval_command)
app.command("prompt")(prompt_command)
app.command("report")(report_command)
app.command("grid")(grid_command)
app.command("status")(status_command)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 bad usage; a traceback only with --debug."""
    run(app, "lrltrain")
