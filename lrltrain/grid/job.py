"""A job of a study: what it does, with which settings, and which jobs it needs. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lrltrain.names import base_name

Kind = Literal["shard", "build", "fit", "eval", "report", "push"]
KINDS: tuple[Kind, ...] = ("shard", "build", "fit", "eval", "push", "report")
BASE_FOLDER = "base_folder"  # the label of jobs whose model has another folder than its name says


@dataclass(frozen=True)
class Job:
    """One thing to do: `settings` are options of the command, `labels` say which part of the study it is.

    `needs` are the ids of jobs that have to be done before; of a report they are those that it waits for, done or not.
    """

    kind: Kind
    labels: Mapping[str, str]
    settings: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    id: str = field(default="")

    @property
    def name(self) -> str:
        """Return it in words: fit ug glotcc xlm-roberta-base lora."""
        return " ".join([self.kind, *(called(self, label) for label in self.labels if label != BASE_FOLDER)])

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-like values."""
        return {
            "kind": self.kind,
            "labels": dict(self.labels),
            "settings": dict(self.settings),
            "needs": list(self.needs),
            "id": self.id,
        }


def task_of(job: Job) -> str | None:
    """Return what jobs have in common that are the seeds of one task; None of other jobs."""
    if job.kind != "eval" or job.labels["task"] == "pppl":
        return None
    settings = {key: value for key, value in job.settings.items() if key != "seeds"}
    return json.dumps([settings, sorted(job.needs)], sort_keys=True)


def called(job: Job, label: str) -> str:
    """Return the value of a label as people see it: of a model, the folder of its adapters."""
    return base_folder(job) if label == "model" else base_name(job.labels[label])


def job_of(value: Mapping[str, Any]) -> Job:
    """Read a job from what `as_json` made of it."""
    return Job(**{**value, "needs": tuple(value["needs"])})


def base_folder(job: Job) -> str:
    """Return the folder of a job's base model below `adapters/LANG`: its name, or what tells it apart."""
    told = job.labels
    return told.get(BASE_FOLDER) or base_name(told["model"])
