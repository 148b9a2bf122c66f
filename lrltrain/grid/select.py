"""Select the jobs of a study for `--only`. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from lrldata.errors import UsageError
from lrltrain.grid.identity import identity
from lrltrain.grid.job import BASE_FOLDER, Job, called


def select(jobs: Iterable[Job], only: Iterable[str]) -> list[Job]:
    """Return the jobs with these labels (`lang=ug`), and the jobs they need.

    Several values of one label are alternatives. A label that a job does not have is ignored for it. Raises UsageError.
    """
    everything = list(jobs)
    labels = {label for job in everything for label in job.labels} - {BASE_FOLDER}
    selected_values: dict[str, set[str]] = {}
    for choice in (part for text in only for part in text.split(",")):
        label, equals, value = choice.partition("=")
        if not equals or label not in labels:
            problem = f"no job has the label {label!r}" if equals else "not LABEL=VALUE"
            raise UsageError(f"--only {choice!r}: {problem}.", f"The labels are {', '.join(sorted(labels))}.")
        selected_values.setdefault(label, set()).add(value)
    for label, values in selected_values.items():
        names = {name for job in everything if label in job.labels for name in _names(job, label)}
        if unknown := values - names:
            raise UsageError(f"--only {label}={min(unknown)}: no job has it.", f"There are {', '.join(sorted(names))}.")

    def matches(job: Job) -> bool:
        return all(label not in job.labels or _names(job, label) & values for label, values in selected_values.items())

    by_id = {job.id: job for job in everything}
    ids: set[str] = set()
    queue = [
        job.id for job in everything if job.kind != "report" and matches(job) and _is_selectable(job, selected_values)
    ]
    while queue:
        if (job_id := queue.pop()) not in ids:
            ids.add(job_id)
            queue += by_id[job_id].needs
    selected = []
    for job in everything:
        if job.id in ids or job.kind == "report":
            partial = replace(job, after=tuple(other for other in job.after if other in ids))
            selected.append(replace(partial, id=identity(partial)) if job.after else job)
    return selected


def _names(job: Job, label: str) -> set[str]:
    return {job.labels[label], called(job, label)}


def _is_selectable(job: Job, selected_values: Mapping[str, set[str]]) -> bool:
    """Return whether labels alone select a job. A dataset that lacks one is selected only if an adapter needs it."""
    return job.kind != "build" or all(label in job.labels for label in selected_values)
