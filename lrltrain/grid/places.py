"""Which parts of a workspace a job reads, and which it makes: paths below it.

Of a base model that is a folder, its configuration is read, which may know it by another name.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lrldata.language import languages
from lrldata.workspace import ADAPTERS, DATASETS, SCORES_FOLDER, adapter_path, dataset_path, score_path
from lrltrain.grid.job import Job, base_folder
from lrltrain.names import base_name, public_id

SCRATCH = "parts"  # of web text that is cleaned a file per job: what is between the files and the dataset
_NAMED = ("adapters", "adapter", "corpus", "data")  # settings that may name what other jobs make


def dataset(lang: str, source: str) -> str:
    """Return where a dataset is."""
    return dataset_path(lang, source)


def adapter(lang: str, base_folder: str, source: str, method: str, variant: str = "") -> str:
    """Return where an adapter is, or a model that was fine-tuned, in the folder of its base model."""
    return adapter_path(lang, base_folder, source, method, variant)


def _scores(job: Job) -> str:
    told = job.labels
    return score_path(told["lang"], base_name(job.settings.get("base_id") or public_id(told["model"])))


def is_made(value: Any) -> bool:
    """Return whether the value of a setting names what a job makes."""
    return isinstance(value, str) and value.startswith((f"{DATASETS}/", f"{ADAPTERS}/"))


def listed(value: Any) -> list[Any]:
    """Return the values of a setting that may be a list of them."""
    return value if isinstance(value, list) else [value]


def home_of(job: Job) -> str | None:
    """Return the folder that a job makes whatever its settings are: of a dataset or an adapter; None for others."""
    told = job.labels
    if job.kind == "build":
        return dataset(told["lang"], told["source"])
    if job.kind == "fit":
        return adapter(told["lang"], base_folder(job), told["source"], told["method"], job.settings.get("variant", ""))
    return None


def made_by(job: Job) -> list[str]:
    """Return the folders in which a job's files are."""
    home = home_of(job)
    if home is not None:
        return [home]
    return [_scores(job)] if job.kind == "eval" else []


def read_by(job: Job) -> list[str]:
    """Return what a job reads of what others made, and of what it makes again: the versions of a dataset go on.

    Reports, which read of all that is there, and builds of files that others cleaned fetch these themselves.
    """
    told = job.labels
    if job.kind == "push":
        return [f"{part}/{told['lang']}" for part in (DATASETS, ADAPTERS, SCORES_FOLDER)]
    if job.kind not in ("build", "fit", "eval"):
        return []
    named = [each for key in _NAMED for each in listed(job.settings.get(key)) if is_made(each)]
    if job.kind == "fit" and not {"text", "dataset"} & job.settings.keys():
        named.append(dataset(told["lang"], told["source"]))
    if job.kind == "eval":  # where the base model was measured already
        named.append(f"{_scores(job)}/base")
    home = home_of(job)
    return named if home is None else [*named, home]


def placed(job: Job, workspace: Path) -> dict[str, Any]:
    """Return a job's settings, with what other jobs make in its place in the workspace."""

    def place(value: Any) -> Any:
        if isinstance(value, list):
            return [place(each) for each in value]
        return str(workspace / value) if is_made(value) else value

    return {key: place(value) if key in _NAMED else value for key, value in job.settings.items()}


def folders_of(files: Iterable[str]) -> list[str]:
    """Return the folders that hold files, none inside another."""
    parents = sorted({Path(name).parent for name in files})
    return [str(each) for each in parents if not any(each != other and each.is_relative_to(other) for other in parents)]


def is_by_language(folder: Path) -> bool:
    """Return whether a folder has folders of languages, so that the one of another language is missing in it."""
    if not folder.is_dir():
        return False
    codes = {code for each in languages() for code in (each.code, each.flores, each.sib200)}
    return not codes.isdisjoint(each.name for each in folder.iterdir())
