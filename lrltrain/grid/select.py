"""Which jobs of a study `--only` chooses. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from lrldata.errors import UsageError
from lrltrain.grid.job import BASE_FOLDER, Job, called
from lrltrain.grid.jobs import identity


def select(jobs: Iterable[Job], only: Iterable[str]) -> list[Job]:
    """Return the jobs with these labels (`lang=ug`; of one label several are either-or), and what they need.

    Of a label that a job does not have, nothing is asked. Raises UsageError.
    """
    everything = list(jobs)
    known = {label for job in everything for label in job.labels} - {BASE_FOLDER}
    wanted: dict[str, set[str]] = {}
    for each in (part for text in only for part in text.split(",")):
        label, equals, value = each.partition("=")
        if not equals or label not in known:
            raise UsageError(f"--only {each!r}: not LABEL=VALUE.", f"Labels are {', '.join(sorted(known))}.")
        wanted.setdefault(label, set()).add(value)
    for label, values in wanted.items():
        held = {name for job in everything if label in job.labels for name in _names(job, label)}
        if strange := values - held:
            raise UsageError(f"--only {label}={strange.pop()}: no job has it.", f"There are {', '.join(sorted(held))}.")

    def chosen(job: Job) -> bool:
        return all(label not in job.labels or _names(job, label) & values for label, values in wanted.items())

    by_id = {job.id: job for job in everything}
    kept: set[str] = set()
    todo = [job.id for job in everything if job.kind != "report" and chosen(job) and _says(job, wanted)]
    while todo:
        if (each := todo.pop()) not in kept:
            kept.add(each)
            todo += by_id[each].needs
    selected = [job for job in everything if job.id in kept]
    for job in everything:
        if job.kind == "report":
            partial = replace(job, needs=tuple(need for need in job.needs if need in kept))
            selected.append(replace(partial, id=identity(partial)))
    return selected


def _names(job: Job, label: str) -> set[str]:
    return {job.labels[label], called(job, label)}


def _says(job: Job, wanted: Mapping[str, set[str]]) -> bool:
    """Return whether a job is chosen for itself: a dataset is not for a method, unless an adapter needs it."""
    return job.kind != "build" or all(label in job.labels for label in wanted)
