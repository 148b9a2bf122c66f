"""Serve a folder until interrupted: `python -m hub_cards.local_hub --root DIR [--port 0]`."""

import argparse
import json
import sys
from pathlib import Path

from hub_cards.local_hub.access import Accounts
from hub_cards.local_hub.faults import Faults, end_this_process
from hub_cards.local_hub.limits import FILE
from hub_cards.local_hub.run import PART, ROWS, alone, run_until_told
from hub_cards.local_hub.server import application
from lrldata.output import say, tell


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="local_hub", description="A stand-in for the Hugging Face Hub on this machine."
    )
    parser.add_argument("--root", type=Path, required=True, help="Folder of all that is kept; made where it is not.")
    parser.add_argument("--port", type=int, default=0, help="Port on 127.0.0.1; 0 takes a free one.")
    parser.add_argument("--accounts", type=Path, help="Users and tokens, TOML or JSON; see access.py.")
    parser.add_argument("--faults", type=Path, help="Rules, a JSON list; see faults.py.")
    parser.add_argument("--kill-pid-file", type=Path, help="Of the process that `kill` faults end, if not ours.")
    parser.add_argument("--page", type=_positive, default=ROWS, help="Rows a page of a list.")
    parser.add_argument("--part", type=_positive, default=PART, help="Bytes a part of a large file.")
    parser.add_argument(
        "--largest", type=_positive, default=FILE, help="Bytes of the largest file; half of the free disk at most."
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
    """Run the server. Exit codes: 0 told to end, 1 could not start."""
    asked = _arguments()
    try:
        faults = Faults(asked.kill_pid_file or end_this_process)
        faults.set(json.loads(asked.faults.read_text("utf-8")) if asked.faults else [])
        with alone(asked.root):
            accounts = Accounts.read(asked.accounts)
            app = application(asked.root, accounts, faults, page=asked.page, part=asked.part, largest=asked.largest)
            run_until_told(app, asked.port, _started)
    except BlockingIOError:
        tell(f"error: another server has {asked.root}. End it, or give another --root.")
        return 1
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        tell(f"error: {error!r}. Check --accounts, --faults, --root and --port.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
