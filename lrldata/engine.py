"""Run independent tasks: here, or on several processes of this machine."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any, Self, TypeVar

from lrldata.errors import LrlError

Result = TypeVar("Result")
AHEAD = 2  # tasks a process that are handed out before they can begin


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Crew:
    """Some processes that work on tasks; with one worker there are none, and all is done here.

    They are started when there is something to do, and end with the `with` that holds the crew, or with this process,
    however it ends. Each has a core to itself, so that Polars has one thread in it.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def spread(self, task: Callable[..., Result], arguments: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
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
                waiting.add(self._start().submit(task, *each))
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

    def _start(self) -> ProcessPoolExecutor:
        if self._pool is None:
            os.environ.setdefault(
                "POLARS_MAX_THREADS", "1"
            )  # read by the processes that begin; this one has its threads
            self._pool = ProcessPoolExecutor(self.workers, multiprocessing.get_context("spawn"), leave_with_parent)
        return self._pool


def leave_with_parent() -> None:
    """Let this worker end when the process that began it is gone, however that went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
