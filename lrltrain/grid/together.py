"""Which jobs one process does as a group on a GPU: fits that are alike, and the seeds of a task. Pure."""

from collections.abc import Sequence
from math import ceil

from lrltrain.config import load_fit_config
from lrltrain.grid.cost import gpu_memory_of, memory_of
from lrltrain.grid.job import Job, task_of


def group_of(job: Job, ready: Sequence[Job], memory: float, gpus: int) -> list[Job]:
    """Return a job and those of `ready` that are trained together with it.

    Of fits that are alike it is an equal part for each GPU, as large as `memory` allows, which is what may be used of
    one, in bytes; of a task it is all seeds. Other jobs, and fits of methods that are trained alone, are alone.
    """
    key = _group_key(job)
    if key is None:
        return [job]
    alike = [job, *(each for each in ready if each.id != job.id and _group_key(each) == key)]
    return alike if job.kind == "eval" else alike[: min(ceil(len(alike) / gpus), _most(job, memory))]


def _group_key(job: Job) -> str | None:
    return load_fit_config(None, dict(job.settings)).group_key() if job.kind == "fit" else task_of(job)


def _most(job: Job, memory: float) -> int:
    """Return how many adapters a group has at most: they share the model, and each has its own tokens in a step."""
    asked = load_fit_config(None, dict(job.settings)).group
    if isinstance(asked, int):
        return asked
    shared = memory_of(job)
    return max(1, int((memory - shared) // (gpu_memory_of(job) - shared)))
