"""The command `lrltrain`: one module per command, on top of the Python API."""


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 bad usage. Tracebacks appear only with --debug."""
    from lrldata.imports import run_program

    run_program("lrltrain")
