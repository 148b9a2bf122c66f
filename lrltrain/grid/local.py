"""Jobs in processes on this machine. Each slot is a process of its own, so a crash ends only the jobs of one slot."""

import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Self

from lrldata.engine import environment_variables, start_pool
from lrldata.errors import one_line
from lrldata.threads import cores
from lrltrain.grid.act import run_jobs
from lrltrain.grid.cost import memory_of
from lrltrain.grid.job import Job
from lrltrain.grid.machine import MAX_JOBS_PER_GPU, Gpu, share_of
from lrltrain.grid.records import Record
from lrltrain.grid.together import group_of

GRACE = 5.0  # seconds
_ROUNDING = 1e-6  # three thirds must add up to one
TOKENIZING = "RAYON_NUM_THREADS"
THREADS = ("OMP_NUM_THREADS", "POLARS_MAX_THREADS", TOKENIZING, "MKL_NUM_THREADS")


@dataclass
class Slot:
    """A process that runs jobs one after the other (None until the first), and its GPU, if there are any."""

    gpu: Gpu | None
    pool: ProcessPoolExecutor | None = None


@dataclass
class LocalEngine:
    """An engine with a number of slots, which share this machine's cores and take its GPUs in turn.

    On a GPU, similar fits are trained as a group by one process, and so are the seeds of a task. A GPU runs as many
    other jobs, and groups of seeds, at once as it has memory for. With `jobs_per_gpu` it runs that many jobs, and there
    are no groups.
    """

    workspace: str
    cache: str
    threads: int
    jobs_per_gpu: int | None
    slots: int
    gpus: tuple[Gpu, ...] = ()
    memory: float = inf  # bytes of the machine's memory that all jobs may use together
    _free: list[Slot] = field(default_factory=list)
    _busy: dict[Future[list[Record]], tuple[Slot, Sequence[Job], float]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        count = len(self.gpus)
        self._free = [Slot(self.gpus[number % count] if count else None) for number in range(self.slots)]
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:  # the study is stopped: its jobs can be killed at any time, and resume
            self._stop()
        for slot in self._free:
            if slot.pool is not None:  # wait: a process that exits may close files that its threads still write to
                slot.pool.shutdown(wait=True, cancel_futures=True)
        for slot in [entry[0] for entry in self._busy.values()]:
            if slot.pool is not None:
                slot.pool.shutdown(wait=False, cancel_futures=True)

    def _stop(self) -> None:
        """End the processes of running jobs, with some seconds to release leases and end processes of their own."""
        pools = [slot.pool for slot, _jobs, _began in self._busy.values()]
        processes = [process for pool in pools for process in (getattr(pool, "_processes", None) or {}).values()]
        try:
            for process in processes:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGINT)  # ignored if Ctrl-C has interrupted it already
            wait(self._busy, timeout=GRACE)
        finally:
            for process in processes:
                process.kill()

    def takes(self, job: Job) -> bool:
        """Return whether there is a slot and memory for the job, and room on a GPU if there are GPUs."""
        return self._slot_for(job) is not None

    def group(self, job: Job, ready: Sequence[Job]) -> list[Job]:
        """Return the job, followed by the jobs that run together with it on its GPU."""
        slot = self._slot_for(job)
        if slot is None or slot.gpu is None or self.jobs_per_gpu is not None:
            return [job]
        return group_of(job, ready, slot.gpu.memory * (1 - self._used(slot.gpu)), len(self.gpus))

    def submit(self, jobs: Sequence[Job]) -> None:
        """Start jobs in a free slot."""
        slot = self._slot_for(jobs[0])
        assert slot is not None, "call `takes` first"  # noqa: S101 -- for the type checker
        self._free.remove(slot)
        if slot.pool is None:
            slot.pool = process_of(self.threads, slot.gpu.name if slot.gpu else None, self._tokenizer_threads())
        future = slot.pool.submit(run_jobs, [job.as_json() for job in jobs], self.workspace, self.cache)
        self._busy[future] = (slot, jobs, time.perf_counter())

    def _tokenizer_threads(self) -> int:
        """Return how many threads of a job tokenize: with GPUs more than it computes with, so that GPUs do not wait."""
        return max(self.threads, cores() // (len(self.gpus) * MAX_JOBS_PER_GPU)) if self.gpus else self.threads

    def _slot_for(self, job: Job) -> Slot | None:
        used = sum(memory_of(jobs[0]) for _, jobs, _ in self._busy.values())
        if used and used + memory_of(job) > self.memory:
            return None
        return next((slot for slot in self._free if slot.gpu is None or self._has_room(slot.gpu, job)), None)

    def _has_room(self, gpu: Gpu, job: Job) -> bool:
        return self._used(gpu) + share_of(job, gpu.memory, self.jobs_per_gpu) < 1 + _ROUNDING

    def _used(self, gpu: Gpu) -> float:
        """Return the fraction of a GPU that its jobs take; the seeds of a task count as one job."""
        groups = [
            jobs if jobs[0].kind == "fit" else jobs[:1] for slot, jobs, _ in self._busy.values() if slot.gpu == gpu
        ]
        sharing = [job for jobs in groups for job in jobs]
        return sum(share_of(job, gpu.memory, self.jobs_per_gpu) for job in sharing)

    def finished(self, seconds: float) -> list[Record]:
        """Return the records of jobs that ended; their status is `lost` if the process was killed."""
        if not self._busy:
            time.sleep(seconds)
            return []
        ended, _ = wait(self._busy, timeout=seconds, return_when=FIRST_COMPLETED)
        records = []
        for future in ended:
            slot, jobs, began = self._busy.pop(future)
            try:
                records += future.result()
            except BrokenProcessPool:
                slot.pool = None
                error = "its process was killed, perhaps because memory ran out. Try again with fewer --workers."
                records += _lost(jobs, began, error)
            except Exception as error:  # noqa: BLE001 -- of the process, not of a job; the other jobs go on
                records += _lost(jobs, began, one_line(error, 200))
            self._free.insert(0, slot)
        return records


def _lost(jobs: Sequence[Job], began: float, error: str) -> list[Record]:
    return [Record(job.id, job.name, "lost", time.perf_counter() - began, error=error) for job in jobs]


def process_of(threads: int, gpu: str | None, reading: int) -> ProcessPoolExecutor:
    """Start a process that computes with `threads` threads and tokenizes with `reading`, on the given GPU if any.

    The process inherits environment variables that say so, because libraries read them when they are imported.
    """
    environment = dict.fromkeys(THREADS, str(threads)) | {"TOKENIZERS_PARALLELISM": "true", TOKENIZING: str(reading)}
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    with environment_variables(environment):
        pool = start_pool(1)
        pool.submit(os.getpid)  # a pool starts its process with the first call
    return pool
