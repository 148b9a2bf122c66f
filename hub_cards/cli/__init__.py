"""The command `lrl`: one module per subcommand, on top of the Python API."""


def main() -> None:
    """Run the command line. Exit codes: 0 success, 1 failure, 2 bad usage. Tracebacks are shown only with --debug."""
    from lrldata.imports import run_program

    run_program("hub_cards")
