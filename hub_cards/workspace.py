"""What a workspace holds: finished datasets, adapters and scores, checked against their manifests. IO."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lrldata.dataset import open_dataset
from lrldata.errors import StorageError
from lrldata.manifest import ADAPTER, DATASET, MANIFEST, SCORES, damaged, read_manifest, sha256_of

SAMPLES = 8
FOLDERS = {DATASET: "datasets/*/*", ADAPTER: "adapters/*/*/*", SCORES: "scores/*/*/*/*"}


@dataclass(frozen=True)
class Dataset:
    """A dataset folder: one source of a language. `samples` are its first sentences, whose order is by hash."""

    folder: Path
    manifest: Mapping[str, Any]
    manifest_sha256: str
    samples: tuple[str, ...]

    @property
    def source(self) -> str:
        """Return the name of the source, which is that of the configuration on the Hub."""
        return str(self.manifest["source"])


@dataclass(frozen=True)
class Adapter:
    """An adapter's folder; `run` says how long it took and on what."""

    folder: Path
    manifest: Mapping[str, Any]
    manifest_sha256: str
    run: Mapping[str, Any]

    @property
    def source(self) -> str:
        """Return the name of the source of its text."""
        return self.folder.name.removesuffix(f"-{self.manifest['method']}")

    @property
    def method(self) -> str:
        """Return the method."""
        return str(self.manifest["method"])


@dataclass(frozen=True)
class Score:
    """A folder of scores: `result` is what was measured, `manifest` on what."""

    folder: Path
    manifest: Mapping[str, Any]
    result: Mapping[str, Any]


@dataclass(frozen=True)
class Workspace:
    """The finished artifacts of a workspace by language, and the folders that are not finished."""

    root: Path
    datasets: Mapping[str, tuple[Dataset, ...]]
    adapters: Mapping[str, tuple[Adapter, ...]]
    scores: tuple[Score, ...] = ()
    unfinished: tuple[Path, ...] = field(default=())

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the codes of the languages of which there is anything."""
        return tuple(sorted({*self.datasets, *self.adapters}))

    def scores_of(self, adapter: Adapter) -> list[Score]:
        """Return what was measured of exactly these weights."""
        return [
            score
            for score in self.scores
            if (score.manifest["adapter"] or {}).get("manifest_sha256") == adapter.manifest_sha256
        ]

    def dataset_of(self, manifest_sha256: str) -> Dataset | None:
        """Return the dataset with this manifest."""
        held = (each for several in self.datasets.values() for each in several)
        return next((each for each in held if each.manifest_sha256 == manifest_sha256), None)

    def adapter_of(self, manifest_sha256: str) -> Adapter | None:
        """Return the adapter with this manifest."""
        held = (each for several in self.adapters.values() for each in several)
        return next((each for each in held if each.manifest_sha256 == manifest_sha256), None)


def open_workspace(root: Path, languages: Collection[str] | None = None) -> Workspace:
    """Find what a workspace holds of these languages (None: of all), with every file checked by its hash.

    Raises StorageError for what is damaged.
    """
    if not root.is_dir():
        raise StorageError(f"{root}: no such workspace.", "Name it with --out, or make one with `lrldata build`.")
    datasets: dict[str, list[Dataset]] = {}
    adapters: dict[str, list[Adapter]] = {}
    for folder in _folders(root, DATASET, languages):
        dataset = read_dataset(folder)
        datasets.setdefault(dataset.manifest["language"]["code"], []).append(dataset)
    for folder in _folders(root, ADAPTER, languages):
        adapter = read_adapter(folder)
        adapters.setdefault(adapter.manifest["language"]["code"], []).append(adapter)
    finished = {path.parent for pattern in FOLDERS.values() for path in root.glob(f"{pattern}/{MANIFEST}")}
    begun = {path for pattern in FOLDERS.values() for path in root.glob(pattern) if path.is_dir()}
    return Workspace(
        root,
        {code: tuple(several) for code, several in datasets.items()},
        {code: tuple(several) for code, several in adapters.items()},
        tuple(_scores(root, languages)),
        tuple(sorted(path for path in begun - finished if _concerns(path, root, languages))),
    )


def _folders(root: Path, kind: str, languages: Collection[str] | None) -> Iterator[Path]:
    for folder in sorted(root.glob(FOLDERS[kind])):
        if _concerns(folder, root, languages) and read_manifest(folder, kind) is not None:
            yield folder


def _concerns(folder: Path, root: Path, languages: Collection[str] | None) -> bool:
    """Return whether a folder is of these languages, and none of locks, runs under way or interrupted exchanges."""
    parts = folder.relative_to(root).parts
    return not any(part.startswith(".") for part in parts) and (languages is None or parts[1] in languages)


def read_dataset(folder: Path) -> Dataset:
    """Read a dataset folder. Raises StorageError where it is not finished, or its bytes are not those it says."""
    manifest, rows = open_dataset(folder)
    samples = rows.select("text").head(SAMPLES).collect()["text"].to_list()
    return Dataset(folder, manifest, sha256_of(folder / MANIFEST), tuple(samples))


def read_adapter(folder: Path) -> Adapter:
    """Read an adapter's folder. Raises StorageError where it is not finished, or its bytes are not those it says."""
    manifest = read_manifest(folder, ADAPTER)
    if manifest is None:
        raise StorageError(f"{folder}: no finished adapter in this folder.", "Make one with `lrltrain fit`.")
    for fault in damaged(folder, manifest):
        raise StorageError(f"{folder}: {fault}.", "Make it again with `lrltrain fit --overwrite`.")
    try:
        run = json.loads((folder / "run.json").read_text("utf-8"))
    except (OSError, ValueError):  # it is the one file that no manifest vouches for
        run = {}
    return Adapter(folder, manifest, sha256_of(folder / MANIFEST), run if isinstance(run, dict) else {})


def _scores(root: Path, languages: Collection[str] | None) -> Iterator[Score]:
    for folder in _folders(root, SCORES, languages):
        manifest = read_manifest(folder, SCORES)
        try:
            result = json.loads((folder / "scores.json").read_text("utf-8"))
        except (OSError, ValueError):
            continue  # of a base model alone, or interrupted: the likelihoods are there, `eval` writes the rest
        if manifest is not None:
            yield Score(folder, manifest, result)
