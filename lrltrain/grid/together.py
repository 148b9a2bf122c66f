"""Groups of jobs that one process runs on a GPU: similar fits, and the seeds of a task. Pure."""

from collections.abc import Sequence
from math import ceil

from lrltrain.config import load_fit_config
from lrltrain.grid.cost import gpu_memory_of, memory_of
from lrltrain.grid.job import Job, task_of


def group_of(job: Job, ready: Sequence[Job], memory: float, gpus: int) -> list[Job]:
    """Return a job and those of `ready` that are trained together with it.

    Similar fits are split evenly among the GPUs, in groups as large as `memory` allows, the bytes that may be used of a
    GPU. The seeds of a task form one group. Other jobs, and fits of methods that are trained one by one, stay alone.
    """
    key = _group_key(job)
    if key is None:
        return [job]
    alike = [job, *(other for other in ready if other.id != job.id and _group_key(other) == key)]
    return alike if job.kind == "eval" else alike[: min(ceil(len(alike) / gpus), _max_members(job, memory))]


def _group_key(job: Job) -> str | None:
    return load_fit_config(None, dict(job.settings)).group_key() if job.kind == "fit" else task_of(job)


def _max_members(job: Job, memory: float) -> int:
    """Return the maximum number of adapters in a group: they share the model, but each adds its tokens to a step."""
    group = load_fit_config(None, dict(job.settings)).group
    if isinstance(group, int):
        return group
    shared = memory_of(job)
    return max(1, int((memory - shared) // (gpu_memory_of(job) - shared)))
