"""The command `lrltrain`, whose subcommands run the same pipelines as the Python API."""


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 bad usage. Tracebacks appear only with --debug."""
    from lrldata.imports import run_program

    run_program("lrltrain")
