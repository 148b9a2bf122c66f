"""The recipe of `lrltrain grid`: from a recipe file to a finished study."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from lrldata.engine import cores
from lrldata.remote import is_remote
from lrltrain.grid.config import GridConfig
from lrltrain.grid.cost import memory_of
from lrltrain.grid.jobs import Job, jobs_of, select
from lrltrain.grid.local import Local
from lrltrain.grid.records import Record, records_of
from lrltrain.grid.schedule import Engine, Schedule, run


class EngineName(StrEnum):
    """Where jobs run."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True)
class Options:
    """How a grid is run: none of it shapes what it makes."""

    engine: EngineName = EngineName.LOCAL
    workers: int | None = None
    address: str | None = None
    jobs_per_gpu: int = 1
    retries: int = 1
    verify: bool = False
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of a grid."""

    jobs: Sequence[Job]
    state: Schedule

    @property
    def is_whole(self) -> bool:
        """Return whether every job is done."""
        return len(self.state.done) == len(self.jobs)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-like values."""
        state = self.state
        counts = {"jobs": len(self.jobs), "done": len(state.done), "kept": len(state.kept)}
        failed = [{"id": each.id, "name": each.name, "error": each.error} for each in state.failed.values()]
        return {**counts, "failed": failed, "blocked": len(state.blocked)}


def planned(config: GridConfig, only: Iterable[str]) -> list[Job]:
    """Return the jobs of a recipe, all or those selected. Raises UsageError."""
    jobs = jobs_of(config)
    chosen = list(only)
    return select(jobs, chosen) if chosen else jobs


def grid(
    config: GridConfig, options: Options, tell: Callable[[Schedule, Record], None], jobs: Sequence[Job] | None = None
) -> Outcome:
    """Do all that a recipe asks for and that is not done, and write down what fails. Raises LrlError."""
    jobs = planned(config, options.only) if jobs is None else jobs
    records = records_of(config.out, config.cache)
    records.fetch(["grid/jobs"])
    with _engine(config, options, jobs) as engine:
        records.write_plan(jobs, engine.slots)
        schedule = run(jobs, records, engine, retries=options.retries, verify=options.verify, tell=tell)
    return Outcome(jobs, schedule)


def _engine(config: GridConfig, options: Options, jobs: Sequence[Job]) -> AbstractContextManager[Engine]:
    workspace = config.out if is_remote(config.out) else str(Path(config.out).resolve())
    where, found = (workspace, str(config.cache.resolve())), gpus()
    if options.engine is EngineName.RAY:
        from lrltrain.grid.on_ray import OnRay  # noqa: PLC0415 -- an extra

        share = 1 / options.jobs_per_gpu if found else 0.0
        return OnRay(options.address, *where, config.threads, share, options.retries)
    slots = options.workers or slots_for(jobs, config.threads, found, options.jobs_per_gpu)
    return Local(slots, config.threads, *where, found)


def slots_for(jobs: Iterable[Job], threads: int, found: Sequence[str], jobs_per_gpu: int) -> int:
    """Return how many jobs run at once: as many as there are cores, and as memory holds; with GPUs, so many on each."""
    if found:
        return len(found) * jobs_per_gpu
    largest = max((memory_of(job) for job in jobs), default=1)
    return max(1, min(cores() // threads, int(free_memory() // largest)))


def gpus() -> tuple[str, ...]:
    """Return the GPUs that may be used, as CUDA_VISIBLE_DEVICES names them; torch, which knows too, starts slowly."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return tuple(each for each in visible.split(",") if each)
    if (program := shutil.which("nvidia-smi")) is None:
        return ()
    told = subprocess.run([program, "--list-gpus"], capture_output=True, text=True, check=False).stdout
    return tuple(map(str, range(told.count("GPU "))))


def free_memory() -> int:
    """Return how many bytes of memory can be had, of the machine and of this process's group."""
    limits = [_number(Path("/sys/fs/cgroup/memory.max"))]
    try:
        told = Path("/proc/meminfo").read_text("ascii")
        limits.append(int(told.split("MemAvailable:")[1].split()[0]) * 1024)
    except (OSError, IndexError, ValueError):
        limits.append(8 << 30)  # not Linux: a usual laptop's
    return min(limit for limit in limits if limit)


def _number(file: Path) -> int:
    try:
        return int(file.read_text("ascii"))
    except (OSError, ValueError):  # no such file, or `max`
        return 0
