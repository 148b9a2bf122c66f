"""The command `lrldata` with its commands, each from a module of this package."""

from lrldata.cli.build import build_command
from lrldata.cli.explain import explain_command
from lrldata.cli.index import index_command
from lrldata.cli.langs import langs_command
from lrldata.cli.report import report_command
from lrldata.cli.review import review_command, thresholds_app
from lrldata.cli.run import new_app, run
from lrldata.cli.stats import stats_command
from lrldata.cli.templates import templates_app

app = new_app("lrldata", "Clean, versioned datasets for low-resource languages.")
app.add_typer(templates_app, name="templates")
app.add_typer(thresholds_app, name="thresholds")
app.command("build")(build_command)
app.command("index")(index_command)
app.command("stats")(stats_command)
app.command("report")(report_command)
app.command("review")(review_command)
app.command("explain")(explain_command)
app.command("langs")(langs_command)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 bad usage; a traceback only with --debug."""
    run(app, "lrldata")
