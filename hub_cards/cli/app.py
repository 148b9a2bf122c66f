"""The command `lrl`: registers its subcommands."""

from hub_cards.cli.card import card_command
from hub_cards.cli.push import push_command
from hub_cards.cli.serve import serve_command
from lrldata.cli.run import new_app, run

app = new_app("lrl", "Render cards and publish to the Hugging Face Hub.")
app.command("push-hub")(push_command)
app.command("card")(card_command)
app.command("serve-hub")(serve_command)


def main() -> None:
    """Run the command line. Exit codes: 0 success, 1 failure, 2 bad usage. Tracebacks are shown only with --debug."""
    run(app, "lrl")
