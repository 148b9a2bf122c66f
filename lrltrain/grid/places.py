"""The parts of a workspace that a job reads and writes, as paths relative to the workspace.

If a base model is a local folder, its configuration is read, because it may state another name.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lrldata.layout import (
    ADAPTERS,
    DATASETS,
    PATTERNS,
    SCORES_FOLDER,
    TASK_RUNS,
    adapter_path,
    dataset_path,
    score_path,
)
from lrldata.manifest import ADAPTER, MANIFEST, fingerprint, read_manifest
from lrltrain.grid.job import Job, base_folder
from lrltrain.names import base_name, public_id

SCRATCH = "parts"  # the output of jobs that clean one file of web text each, until the build
INPUT_SETTINGS = ("adapters", "adapter", "corpus", "data")  # settings that may name the output of other jobs


def _scores(job: Job) -> str:
    labels = job.labels
    return score_path(labels["lang"], base_name(job.settings.get("base_id") or public_id(labels["model"])))


def is_made(value: Any) -> bool:
    """Return whether the value of a setting names the output of a job."""
    return isinstance(value, str) and value.startswith((f"{DATASETS}/", f"{ADAPTERS}/"))


def listed(value: Any) -> list[Any]:
    """Return the value of a setting as a list."""
    return value if isinstance(value, list) else [value]


def home_of(job: Job) -> str | None:
    """Return the folder of the dataset or adapter that a job makes; None for other jobs."""
    labels = job.labels
    if job.kind == "build":
        return dataset_path(labels["lang"], labels["source"])
    if job.kind == "fit":
        return adapter_path(
            labels["lang"], base_folder(job), labels["source"], labels["method"], job.settings.get("variant", "")
        )
    return None


def made_by(job: Job) -> list[str]:
    """Return the folders that a job writes its files to."""
    home = home_of(job)
    if home is not None:
        return [home]
    return [_scores(job)] if job.kind == "eval" else []


def read_by(job: Job) -> list[str]:
    """Return what a job reads: the output of other jobs, and its own earlier output (a dataset keeps its versions).

    This leaves out what jobs fetch themselves: a report the whole workspace, a build the text that other jobs cleaned.
    """
    labels = job.labels
    if job.kind == "push":  # all scores, because p is corrected for all comparisons
        return [SCORES_FOLDER, *(f"{part}/{labels['lang']}" for part in (DATASETS, ADAPTERS))]
    if job.kind not in ("build", "fit", "eval"):
        return []
    paths = [value for key in INPUT_SETTINGS for value in listed(job.settings.get(key)) if is_made(value)]
    if job.kind == "fit" and not {"text", "dataset"} & job.settings.keys():
        paths.append(dataset_path(labels["lang"], labels["source"]))
    if job.kind == "eval":  # the base model may have been measured already
        paths.append(f"{_scores(job)}/base")
    home = home_of(job)
    return paths if home is None else [*paths, home]


def scores_of(job: Job, workspace: Path) -> list[str]:
    """Return the scores of the adapters that a job evaluates, which are there already if another job made the same."""
    adapters = job.settings.get("adapter", []) if job.kind == "eval" else []
    manifests = [read_manifest(workspace / name, ADAPTER) for name in listed(adapters) if is_made(name)]
    return [f"{_scores(job)}/{manifest['name']}" for manifest in manifests if manifest]


def contents_of(workspace: Path) -> str:
    """Return a hash of the names and sizes of the manifests that a report reads, whoever has written them."""
    patterns = (*PATTERNS.values(), TASK_RUNS)
    manifests = (path for pattern in patterns for path in workspace.glob(f"{pattern}/{MANIFEST}"))
    return fingerprint(sorted((path.relative_to(workspace).as_posix(), path.stat().st_size) for path in manifests))[:16]


def placed(job: Job, workspace: Path) -> dict[str, Any]:
    """Return a job's settings, with the outputs of other jobs as paths in the workspace."""

    def place(value: Any) -> Any:
        if isinstance(value, list):
            return [place(item) for item in value]
        return str(workspace / value) if is_made(value) else value

    return {key: place(value) if key in INPUT_SETTINGS else value for key, value in job.settings.items()}


def folders_of(files: Iterable[str]) -> list[str]:
    """Return the folders that hold files, none of them inside another."""
    parents = sorted({Path(name).parent for name in files})
    return [
        str(parent)
        for parent in parents
        if not any(parent != other and parent.is_relative_to(other) for other in parents)
    ]
