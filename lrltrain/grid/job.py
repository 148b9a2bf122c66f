"""A job of a study: its kind, its settings and the jobs it needs. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lrltrain.names import base_name

Kind = Literal["shard", "build", "fit", "eval", "report", "push"]
KINDS: tuple[Kind, ...] = ("shard", "build", "fit", "eval", "push", "report")
BASE_FOLDER = "base_folder"  # the label of jobs whose model has a folder other than its name


@dataclass(frozen=True)
class Job:
    """One step of a study: `settings` are options of its command, `labels` say which part of the study it is.

    `needs` are the ids of the jobs that must be done first, and `after` those that must have ended, whether or not they
    succeeded: what is published and reported covers all scores there are. `given` has the datasets that the job reads
    from the workspace but no job makes, with their hashes.
    """

    kind: Kind
    labels: Mapping[str, str]
    settings: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    id: str = field(default="")
    given: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()

    @property
    def before(self) -> tuple[str, ...]:
        """Return the ids of all jobs that must have ended first."""
        return self.needs + self.after

    @property
    def name(self) -> str:
        """Return the name that people read: fit ug glotcc xlm-roberta-base lora."""
        return " ".join([self.kind, *(called(self, label) for label in self.labels if label != BASE_FOLDER)])

    def as_json(self) -> dict[str, Any]:
        """Return the job as JSON-like values."""
        return {
            "kind": self.kind,
            "labels": dict(self.labels),
            "settings": dict(self.settings),
            "needs": list(self.needs),
            "id": self.id,
            "given": dict(self.given),
            "after": list(self.after),
        }


def task_of(job: Job) -> str | None:
    """Return a key that is the same for all seeds of a task; None for other jobs."""
    if job.kind != "eval" or job.labels["task"] == "pppl":
        return None
    settings = {key: value for key, value in job.settings.items() if key != "seeds"}
    return json.dumps([settings, sorted(job.needs)], sort_keys=True)


def called(job: Job, label: str) -> str:
    """Return the value of a label as people read it; a model is called by the folder of its adapters."""
    return base_folder(job) if label == "model" else base_name(job.labels[label])


def job_of(value: Mapping[str, Any]) -> Job:
    """Return the job that `as_json` turned into JSON-like values."""
    return Job(**{**value, "needs": tuple(value["needs"]), "after": tuple(value.get("after", ()))})


def base_folder(job: Job) -> str:
    """Return the folder of a job's base model below `adapters/LANG`: its name, or a name that makes it distinct."""
    labels = job.labels
    return labels.get(BASE_FOLDER) or base_name(labels["model"])
