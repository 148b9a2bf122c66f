"""Detect processes that were forked after Polars had started threads, which the child lacks and would wait for forever.

`multiprocessing` forks by default on Linux up to Python 3.13. Forking is fine as long as Polars has not been used.
"""

import os
import sys
from pathlib import Path

from lrldata.errors import UsageError

_state = {"threads": False, "forked": False}


def refuse_forked() -> None:
    """Raise UsageError in a process that was forked from one in which Polars had been used: it would hang."""
    if _state["forked"]:
        raise UsageError(
            "this process was forked from one in which Polars had already been used, and would hang.",
            'Use multiprocessing.get_context("spawn"), joblib or threads, or give a list of languages in one call.',
        )


def allow_forked() -> None:
    """Let this process continue even if it was forked: a command uses nothing from its parent's memory."""
    _state["forked"] = False


def _record_threads() -> None:
    threads = Path("/proc/self/task")  # on Linux; elsewhere, Polars counts as used once it is imported
    _state["threads"] = "polars" in sys.modules and (
        not threads.is_dir() or any("polars" in name.read_text() for name in threads.glob("*/comm"))
    )


def _record_fork() -> None:
    _state["forked"] = _state["forked"] or _state["threads"]


os.register_at_fork(before=_record_threads, after_in_child=_record_fork)
