"""Run independent tasks: here, or on several processes of this machine.

Processes that we start import nothing from the current folder, where anything may lie, as a `types.py` or `requests.py`
of somebody's own. Python would look there first, for what it is given by `-m` or `-c`, as multiprocessing does.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib import import_module
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import RLock, Thread
from types import ModuleType
from typing import Any, Self, TypeVar

from lrldata.errors import LrlError
from lrldata.imports import many_imports
from lrldata.threads import cores

__all__ = ["AHEAD", "APART", "SOURCES", "WorkerPool", "cores", "start_pool", "variables"]

Result = TypeVar("Result")
AHEAD = 2  # tasks a process that are handed out before they can begin
APART = {"PYTHONSAFEPATH": "1"}  # the variable that keeps Python from looking in the current folder
SOURCES = Path(__file__).resolve().parents[1]  # the folder that this package was imported from
_OF_PROCESS = RLock()  # what belongs to the whole process is changed by one thread at a time
_VALUES: dict[str, list[str | None]] = {}  # of variables that are set for a while: from before, and of each thread


@contextmanager
def variables(wanted: dict[str, str]) -> Iterator[None]:
    """Set variables of the environment for what is started meanwhile: it reads them as it begins, ahead of any call."""
    with _OF_PROCESS:
        for name, value in wanted.items():
            _VALUES.setdefault(name, [os.environ.get(name)]).append(value)
            os.environ[name] = value
    try:
        yield
    finally:
        with _OF_PROCESS:
            for name, value in wanted.items():
                _unset(name, value)


def _unset(name: str, value: str) -> None:
    """Let a variable be what another thread still wants it to be, or what it was before them all."""
    held = _VALUES[name]
    del held[len(held) - 1 - held[::-1].index(value)]
    if held[-1] is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = held[-1]
    if len(held) == 1:
        del _VALUES[name]


def start_pool(processes: int, *modules: str) -> ProcessPoolExecutor:
    """Return a pool of so many processes; each starts when it is needed, and ends with this one, however it ends.

    They begin by importing these modules.
    """
    with variables(APART):  # multiprocessing starts one of its own here, which watches over locks
        return ProcessPoolExecutor(processes, _Apart(), _begin, modules)


class _Process(SpawnProcess):
    """A process of the pool. Polars has one thread in it, if nobody says otherwise, as others have the other cores."""

    def start(self) -> None:
        """Start it, without the current folder, and without running the script again that started this one."""
        with _OF_PROCESS, variables({"POLARS_MAX_THREADS": os.environ.get("POLARS_MAX_THREADS", "1")} | APART):
            path, script = sys.path, sys.modules["__main__"]
            sys.path, sys.modules["__main__"] = searched(path), ModuleType("__main__")
            try:
                super().start()
            finally:
                sys.path, sys.modules["__main__"] = path, script


class _Apart(SpawnContext):
    Process = _Process


def searched(path: list[str]) -> list[str]:
    """Return where modules are looked for, without the current folder, unless our own sources are in it."""
    here = Path.cwd()
    if here == SOURCES:
        return path
    kept = [each for place, each in enumerate(path) if each and (place or Path(each).resolve() != here)]
    return kept if str(SOURCES) in kept else [*kept, str(SOURCES)]


class WorkerPool:
    """Some processes that work on tasks; with one worker there are none, and all is done here.

    They are started when there is something to do, and end with the `with` that holds the pool, or with this process,
    however it ends.
    """

    def __init__(self, workers: int) -> None:
        # A process of multiprocessing.Pool may not start others.
        self.workers = 1 if multiprocessing.current_process().daemon else workers
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def imap_unordered(self, task: Callable[..., Result], arguments: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
        """Call `task` with each of the arguments and yield what comes back, as it comes: in any order.

        With more than one worker `task` and its arguments must be picklable. The arguments are taken from their
        iterable only as fast as they are worked on. What a task raises is raised here.
        """
        if self.workers <= 1:
            yield from (task(*each) for each in arguments)
            return
        waiting: set[Future[Result]] = set()
        try:
            for each in arguments:
                waiting.add(self._start(task.__module__).submit(task, *each))
                if len(waiting) >= self.workers * AHEAD:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BrokenProcessPool as error:
            raise LrlError(
                "A worker process was ended from outside.", "Too little memory? Try again with fewer --workers."
            ) from error

    def _start(self, module: str) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = start_pool(self.workers, module)
        return self._pool


def _begin(*modules: str) -> None:
    """Import what this worker needs, and let it end when the process that began it is gone, however that went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_leave_with, args=(parent,), daemon=True).start()
    with many_imports():
        for module in modules:
            import_module(module)


def _leave_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
