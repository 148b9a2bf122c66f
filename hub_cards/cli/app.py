"""The command `lrl`: its commands, each a module beside this one."""

from hub_cards.cli.card import card_command
from hub_cards.cli.push import push_command
from hub_cards.cli.serve import serve_command
from lrldata.cli.run import new_app, run

app = new_app("lrl", "Cards, and publication to the Hugging Face Hub.")
app.command("push-hub")(push_command)
app.command("card")(card_command)
app.command("serve-hub")(serve_command)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 bad usage; a traceback only with --debug."""
    run(app, "lrl")
