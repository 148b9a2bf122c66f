"""Serve a folder until interrupted: `python -m hub_cards.local_hub --root DIR [--port 0]`."""

import argparse
import json
import sys
from pathlib import Path

from hub_cards.local_hub.access import Accounts
from hub_cards.local_hub.faults import Faults, end_this_process
from hub_cards.local_hub.limits import FILE
from hub_cards.local_hub.run import PART, ROWS, alone, run_until_signal
from hub_cards.local_hub.server import application
from lrldata.output import say, tell


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="local_hub", description="A local stand-in for the Hugging Face Hub.")
    parser.add_argument("--root", type=Path, required=True, help="Folder that stores everything; created if missing.")
    parser.add_argument("--port", type=int, default=0, help="Port on 127.0.0.1; 0 picks a free one.")
    parser.add_argument("--accounts", type=Path, help="File with users and tokens, TOML or JSON; see access.py.")
    parser.add_argument("--faults", type=Path, help="Rules for faults, a JSON list; see faults.py.")
    parser.add_argument(
        "--kill-pid-file",
        type=Path,
        help="File with the id of the process that `kill` faults end; by default, this server.",
    )
    parser.add_argument("--page", type=_positive, default=ROWS, help="Rows per page of a list.")
    parser.add_argument("--part", type=_positive, default=PART, help="Bytes per part of a large file.")
    parser.add_argument(
        "--largest",
        type=_positive,
        default=FILE,
        help="Maximum bytes of a file; never more than half of the free disk space.",
    )
    return parser.parse_args()


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise ValueError(text)
    return value


def _started(endpoint: str) -> None:
    say(f"export HF_ENDPOINT={endpoint}")
    sys.stdout.flush()


def main() -> int:
    """Run the server. Exit codes: 0 stopped by a signal, 1 could not start."""
    arguments = _arguments()
    try:
        faults = Faults(arguments.kill_pid_file or end_this_process)
        faults.set(json.loads(arguments.faults.read_text("utf-8")) if arguments.faults else [])
        with alone(arguments.root):
            accounts = Accounts.read(arguments.accounts)
            app = application(
                arguments.root, accounts, faults, page=arguments.page, part=arguments.part, largest=arguments.largest
            )
            run_until_signal(app, arguments.port, _started)
    except BlockingIOError:
        tell(f"error: another server is using {arguments.root}. Stop it, or give another --root.")
        return 1
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        tell(f"error: {error!r}. Check --accounts, --faults, --root and --port.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
