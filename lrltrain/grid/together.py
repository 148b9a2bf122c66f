"""Which fits one process trains as a group on a GPU: those that are alike, as many as there is memory for. Pure."""

from collections.abc import Sequence
from math import ceil

from lrltrain.config import load_fit_config
from lrltrain.grid.cost import gpu_memory_of, memory_of
from lrltrain.grid.job import Job


def group_of(job: Job, ready: Sequence[Job], memory: float, gpus: int) -> list[Job]:
    """Return a fit and those of `ready` that are trained together with it: an equal part of them for each GPU.

    `memory` is what may be used of a GPU, in bytes. Other jobs, and fits of methods that are trained alone, are alone.
    """
    key = _group_key(job)
    if key is None:
        return [job]
    alike = [job, *(each for each in ready if each.id != job.id and _group_key(each) == key)]
    return alike[: min(ceil(len(alike) / gpus), _most(job, memory))]


def _group_key(job: Job) -> str | None:
    return load_fit_config(None, dict(job.settings)).group_key() if job.kind == "fit" else None


def _most(job: Job, memory: float) -> int:
    """Return how many adapters a group has at most: they share the model, and each has its own tokens in a step."""
    asked = load_fit_config(None, dict(job.settings)).group
    if isinstance(asked, int):
        return asked
    shared = memory_of(job)
    return max(1, int((memory - shared) // (gpu_memory_of(job) - shared)))
