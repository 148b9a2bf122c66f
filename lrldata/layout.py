"""The layout of a workspace, defined only here. IO.

WORKSPACE/
datasets/LANG/SOURCE/                       `lrldata build`
adapters/LANG/BASE/SOURCE-METHOD/           `lrltrain fit`; with a variant SOURCE-METHOD-VARIANT
scores/LANG/BASE/ADAPTER/MEASURE/           `lrltrain eval` (perplexity)
scores/LANG/BASE/ADAPTER/MEASURE/seed-N/    `lrltrain eval` (a task), `lrltrain prompt`
runs/LANG/BASE-SOURCE-METHOD/               the logs of trackers
cards/REPOSITORY/                           `lrl card`
report/                                     `lrltrain report`
grid/                                       `lrltrain grid`
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from lrldata.errors import StorageError
from lrldata.manifest import ADAPTER, DATASET, MANIFEST, SCORES, kind_of
from lrldata.paths import safe_name

DATASETS, ADAPTERS, SCORES_FOLDER, CARDS, REPORT, RUNS = "datasets", "adapters", "scores", "cards", "report", "runs"
PATTERNS = {DATASET: f"{DATASETS}/*/*", ADAPTER: f"{ADAPTERS}/*/*/*", SCORES: f"{SCORES_FOLDER}/*/*/*/*"}
GRID = "grid"  # of `lrltrain grid`: its plan and records
TOPS = frozenset({DATASETS, ADAPTERS, SCORES_FOLDER, CARDS, REPORT, RUNS, GRID})
TASK_RUNS = f"{SCORES_FOLDER}/*/*/*/*/seed-*"


def dataset_path(lang: str, source: str) -> str:
    """Return the path of a dataset, relative to the workspace: datasets/ro/conceptnet."""
    return f"{DATASETS}/{lang}/{source}"


def adapter_path(lang: str, base: str, source: str, method: str, variant: str | None = None) -> str:
    """Return the path of an adapter or fine-tuned model: adapters/ro/xlm-roberta-base/conceptnet-lora."""
    return f"{ADAPTERS}/{lang}/{base}/" + "-".join(filter(None, [source, method, variant]))


def source_of_adapter(folder: str, manifest: Mapping[str, Any]) -> str:
    """Return the source of an adapter's text, from its manifest or else from the name of its folder.

    Manifests from before version 0.2 lack it.
    """
    return str(manifest.get("source") or folder.removesuffix(f"-{manifest['method']}"))


def score_path(lang: str, base: str, adapter: str = "", measure: str = "", seed: int | None = None) -> str:
    """Return the path of a base model's scores, or of those of one adapter, measure and seed."""
    parts = [SCORES_FOLDER, lang, base, adapter, measure, f"seed-{seed}" if seed is not None else ""]
    return "/".join(filter(None, parts))


def tracker_path(lang: str, base: str, name: str) -> str:
    """Return the path where trackers log the training of an adapter."""
    return f"{RUNS}/{lang}/{base}-{name}"


def card_path(repository: str) -> str:
    """Return the path where the card of a Hub repository is rendered."""
    return f"{CARDS}/{repository.rpartition('/')[2]}"


def artifact_of(name: str) -> str | None:
    """Return the folder of the artifact that a file would be in, by its path in the workspace; None for other files."""
    parents = PurePosixPath(name).parents
    patterns = (TASK_RUNS, *PATTERNS.values())  # the longest first: a run is inside the scores of its task
    return next((str(parent) for pattern in patterns for parent in parents if _fits(parent, pattern)), None)


def _fits(path: PurePosixPath, pattern: str) -> bool:
    """Return whether a relative path has a pattern as a whole."""
    return len(path.parts) == pattern.count("/") + 1 and path.match(pattern)


def is_hidden(path: Path, workspace: Path) -> bool:
    """Return whether a path is below a hidden folder of a workspace, e.g. one left by an exchange that was killed."""
    return any(part.startswith(".") for part in path.relative_to(workspace).parts)


def anchored(workspace: Path, name: str) -> tuple[Path, str]:
    """Return a folder and a path in it for a file of a workspace, whose top folders may be links to a larger disk."""
    top, _, rest = safe_name(name).partition("/")
    return (workspace / top, rest) if rest else (workspace, top)


def find_folders(workspace: Path, kind: str) -> list[Path]:
    """Return the folders of a kind of artifact (DATASET, ADAPTER, SCORES), finished or not, sorted by name."""
    return sorted(path for path in workspace.glob(PATTERNS[kind]) if path.is_dir() and not is_hidden(path, workspace))


def finished(workspace: Path, kind: str) -> list[Path]:
    """Return the folders of a kind of artifact that have a manifest, sorted by name."""
    return [folder for folder in find_folders(workspace, kind) if (folder / MANIFEST).is_file()]


def is_workspace(folder: Path) -> bool:
    """Return whether a folder holds a finished dataset, adapter or scores in the layout of a workspace."""
    return any(
        _is_kind(file.parent, kind)
        for kind, pattern in PATTERNS.items()
        for file in folder.glob(f"{pattern}/{MANIFEST}")
    )


def _is_kind(folder: Path, kind: str) -> bool:
    """Return whether the manifest of a folder states this kind. Other programs may have files of this name."""
    with suppress(OSError, StorageError):
        return kind_of(folder) == kind
    return False
