"""Processes that were forked while Polars had threads: they are not there in the child, which waits for them for good.

`multiprocessing` forks on Linux by default up to Python 3.13. A process that Polars has not worked in may be forked.
"""

import os
import sys
from pathlib import Path

from lrldata.errors import UsageError

_state = {"threads": False, "forked": False}


def refuse_forked() -> None:
    """Raise UsageError in a process that was forked from one in which Polars has worked: it would hang."""
    if _state["forked"]:
        raise UsageError(
            "this process was forked from one in which Polars has worked already, and would hang.",
            'Use multiprocessing.get_context("spawn"), joblib or threads, or give a list of languages in one call.',
        )


def allow_forked() -> None:
    """Let this process go on, however it came to be: it is a command, which goes on with nothing that was there."""
    _state["forked"] = False


def _look() -> None:
    _state["threads"] = "polars" in sys.modules and any(
        "polars" in name.read_text() for name in Path("/proc/self/task").glob("*/comm")
    )


def _remember() -> None:
    _state["forked"] = _state["forked"] or _state["threads"]


if Path("/proc/self/task").is_dir():
    os.register_at_fork(before=_look, after_in_child=_remember)
