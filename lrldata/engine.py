"""Run independent tasks in this process or in several processes of this machine.

Processes that we start import nothing from the current folder, which may hold anything, such as a user's own `types.py`
or `requests.py`. Python would search it first for `-m` or `-c`, which multiprocessing uses.
"""

import errno
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import RLock, Thread
from types import ModuleType
from typing import Any, Self, TypeVar

from lrldata.errors import LrlError, StorageError
from lrldata.imports import many_imports
from lrldata.threads import cores

__all__ = ["AHEAD", "SAFE_PATH", "SOURCES", "WorkerPool", "cores", "environment_variables", "start_pool"]

Result = TypeVar("Result")
AHEAD = 2  # tasks submitted per process, so that the next one is waiting when one ends
SAFE_PATH = {"PYTHONSAFEPATH": "1"}  # keeps Python from importing from the current folder
SOURCES = Path(__file__).resolve().parents[1]  # the folder that this package was imported from
_NO_SEMAPHORES = {errno.ENOSYS, errno.EROFS, errno.ENOENT, errno.EACCES, errno.ENOSPC}  # errors without /dev/shm
_PROCESS_LOCK = RLock()  # for changes to state of the whole process
_VALUES: dict[str, list[str | None]] = {}  # temporary variables: the previous value, then each thread's


@contextmanager
def environment_variables(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for processes that are started meanwhile; they read them at startup."""
    with _PROCESS_LOCK:
        for name, value in values.items():
            _VALUES.setdefault(name, [os.environ.get(name)]).append(value)
            os.environ[name] = value
    try:
        yield
    finally:
        with _PROCESS_LOCK:
            for name, value in values.items():
                _unset(name, value)


def _unset(name: str, value: str) -> None:
    """Restore a variable to the value that another thread still needs, or else to its original value."""
    values = _VALUES[name]
    del values[len(values) - 1 - values[::-1].index(value)]
    if values[-1] is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = values[-1]
    if len(values) == 1:
        del _VALUES[name]


def start_pool(processes: int, *modules: str) -> ProcessPoolExecutor:
    """Return a pool of this many processes; each starts on demand and ends with this process, however this one ends.

    Each begins by importing these modules.
    """
    # multiprocessing starts its resource tracker here, which frees semaphores after a kill and would warn of them.
    filters = filter(None, (os.environ.get("PYTHONWARNINGS"), f"ignore::UserWarning:{resource_tracker.__name__}"))
    with environment_variables(SAFE_PATH | {"PYTHONWARNINGS": ",".join(filters)}):
        try:
            return ProcessPoolExecutor(processes, _IsolatedContext(), _initialize, modules)
        except OSError as error:
            if error.errno not in _NO_SEMAPHORES:
                raise
            raise StorageError(
                f"no semaphore can be created, so no worker can be started: {error.strerror or error}.",
                "Mount /dev/shm (in Docker, --shm-size 64m). A build also works without it, with --workers 1.",
            ) from error


class _Process(SpawnProcess):
    """A process of the pool. Polars has one thread in it unless the user says otherwise: others use the other cores."""

    def start(self) -> None:
        """Start without the current folder, and without rerunning the script that started this process."""
        with (
            _PROCESS_LOCK,
            environment_variables({"POLARS_MAX_THREADS": os.environ.get("POLARS_MAX_THREADS", "1")} | SAFE_PATH),
        ):
            path, script = sys.path, sys.modules["__main__"]
            sys.path, sys.modules["__main__"] = module_search_path(path), ModuleType("__main__")
            try:
                super().start()
            finally:
                sys.path, sys.modules["__main__"] = path, script


class _IsolatedContext(SpawnContext):
    Process = _Process


def module_search_path(path: list[str]) -> list[str]:
    """Return the module search path without the current folder, unless our own sources are in that folder."""
    current = Path.cwd()
    if current == SOURCES:
        return path
    remaining = [
        entry for position, entry in enumerate(path) if entry and (position or Path(entry).resolve() != current)
    ]
    return remaining if str(SOURCES) in remaining else [*remaining, str(SOURCES)]


class WorkerPool:
    """Processes that work on tasks; with one worker there are none, and all work is done in this process.

    They start when there is work, and end with the `with` block of the pool or with this process, however that ends.
    """

    def __init__(self, workers: int) -> None:
        # A daemonic process, as in a multiprocessing.Pool, may not start others.
        self.workers = 1 if multiprocessing.current_process().daemon else workers
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is None:
            return
        if kind is not None and not issubclass(kind, Exception):  # do not wait for what an interrupt was to end
            for process in (getattr(self._pool, "_processes", None) or {}).values():
                process.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def imap_unordered(self, task: Callable[..., Result], arguments: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
        """Call `task` with each tuple of arguments and yield the results in the order in which they arrive.

        With more than one worker, `task` and its arguments must be picklable. Arguments are taken from their iterable
        only as fast as they are processed. Exceptions raised by `task` are raised here.
        """
        if self.workers <= 1:
            yield from (task(*task_arguments) for task_arguments in arguments)
            return
        pending: set[Future[Result]] = set()
        try:
            for task_arguments in arguments:
                pending.add(self._start(task.__module__).submit(task, *task_arguments))
                if len(pending) >= self.workers * AHEAD:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BrokenProcessPool as error:
            raise LrlError(
                "A worker process was killed.", "If memory ran out, try again with fewer --workers."
            ) from error

    def _start(self, module: str) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = start_pool(self.workers, module)
        return self._pool


def _initialize(*modules: str) -> None:
    """Import what this worker needs, and let it exit once its parent process has ended, for whatever reason."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_exit_with, args=(parent,), daemon=True).start()
    with many_imports():
        for module in modules:
            import_module(module)


def _exit_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
