"""The contents of a workspace: finished datasets, adapters and scores, checked against their manifests. IO."""

import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, FiniteFloat, NonNegativeInt, ValidationError

from hub_cards.task_scores import TaskScore, read_task_scores
from lrldata.dataset import content_of, open_shards
from lrldata.errors import StorageError
from lrldata.language import Language, find_recorded
from lrldata.layout import PATTERNS, TASK_RUNS, find_folders, finished, source_of_adapter
from lrldata.manifest import (
    ADAPTER,
    DATASET,
    MANIFEST,
    SCORES,
    DamagedError,
    damaged,
    faults_in,
    identity,
    load_manifest,
    manifest_in,
    read_beside,
    read_consistently,
    read_manifest,
    reporting_invalid_content,
)
from lrldata.paths import OpenFolder, walk
from lrldata.review.summary import summary_of
from lrldata.versions import versions_of
from lrldata.workspace import requested_codes
from lrltrain.evaluation.likelihoods import SCORES_FILE, read_likelihoods

RUN_FILE = "run.json"  # only time and machine, and may be missing from a copy of an adapter
SAMPLES = 8
ENOUGH_ROWS = 10_000  # normally, so many rows have as many documents as there are samples
LONGEST_SAMPLE = 300  # characters
TOLERANCE = 1e-6  # relative difference between a score and the value computed from its sentences


@dataclass(frozen=True)
class Dataset:
    """A dataset folder, with one source of a language.

    `samples` has its first rows, one per document, ordered by hash. `speakers` summarizes the verdicts of speakers.
    """

    folder: Path
    manifest: Mapping[str, Any]
    manifest_sha256: str
    manifest_bytes: bytes
    samples: tuple[str, ...]
    speakers: Mapping[str, Any] | None = None

    @property
    def source(self) -> str:
        """Return the name of the source, which is also the name of the configuration on the Hub."""
        return str(self.manifest["source"])


@dataclass(frozen=True)
class Adapter:
    """An adapter's folder; `run` has the duration and the hardware of the training."""

    folder: Path
    manifest: Mapping[str, Any]
    manifest_sha256: str
    manifest_bytes: bytes
    run: Mapping[str, Any]

    @property
    def source(self) -> str:
        """Return the name of the source of the adapter's text."""
        return source_of_adapter(self.folder.name, self.manifest)

    @property
    def method(self) -> str:
        """Return the name of the method."""
        return str(self.manifest["method"])


class RunInfo(BaseModel):
    """The contents of run.json: the duration and the hardware of the training."""

    seconds: FiniteFloat
    device: str
    processes: NonNegativeInt


@dataclass(frozen=True)
class Score:
    """A measured perplexity: `result` has the measurement, and `manifest` what was measured."""

    manifest: Mapping[str, Any]
    result: Mapping[str, Any]


@dataclass(frozen=True)
class Workspace:
    """The finished artifacts of a workspace by language, and its unfinished folders."""

    root: Path
    datasets: Mapping[str, tuple[Dataset, ...]]
    adapters: Mapping[str, tuple[Adapter, ...]]
    scores: tuple[Score, ...] = ()
    unfinished: tuple[Path, ...] = ()

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the codes of the languages that have datasets or adapters."""
        return tuple(sorted({*self.datasets, *self.adapters}))

    def language(self, code: str) -> Language:
        """Return a language of the workspace, from the table of languages or otherwise from a manifest."""
        artifacts: list[Dataset | Adapter] = [*self.datasets.get(code, ()), *self.adapters.get(code, ())]
        return find_recorded(artifacts[0].manifest["language"])

    def scores_of(self, adapter: Adapter) -> list[Score]:
        """Return the scores of exactly these weights."""
        return [
            score
            for score in self.scores
            if (score.manifest["adapter"] or {}).get("manifest_sha256") == adapter.manifest_sha256
        ]

    @cached_property
    def _task_scores(self) -> Mapping[str, tuple[TaskScore, ...]]:
        hashes = {adapter.manifest_sha256 for group in self.adapters.values() for adapter in group}
        return read_task_scores(self.root, hashes)

    def task_scores_of(self, adapter: Adapter) -> tuple[TaskScore, ...]:
        """Return the task scores of exactly these weights; they are computed on first use."""
        return self._task_scores.get(adapter.manifest_sha256, ())

    def dataset_of(self, manifest_sha256: str) -> Dataset | None:
        """Return the dataset with this manifest, or None."""
        datasets = (dataset for group in self.datasets.values() for dataset in group)
        return next((dataset for dataset in datasets if dataset.manifest_sha256 == manifest_sha256), None)

    def adapter_of(self, manifest_sha256: str) -> Adapter | None:
        """Return the adapter with this manifest, or None."""
        adapters = (adapter for group in self.adapters.values() for adapter in group)
        match = next((adapter for adapter in adapters if adapter.manifest_sha256 == manifest_sha256), None)
        return match or self._others.get(manifest_sha256)

    def fused_in(self, adapter: Adapter) -> list[Adapter]:
        """Return the adapters that a fusion combines, in any language, as far as the workspace has them."""
        entries = (item for item in adapter.manifest["inputs"] if item["kind"] == ADAPTER)
        adapters = (self.adapter_of(entry["manifest_sha256"]) for entry in entries)
        return [item for item in adapters if item is not None]

    @cached_property
    def _others(self) -> Mapping[str, Adapter]:
        """Return the adapters of languages that were not requested, by the hash of their manifests."""
        manifests = ((path, read_manifest(path, ADAPTER)) for path in finished(self.root, ADAPTER))
        others = (
            Adapter(path, manifest, identity(path, manifest), b"", {})
            for path, manifest in manifests
            if manifest and manifest["language"]["code"] not in self.adapters
        )
        return {adapter.manifest_sha256: adapter for adapter in others}


def open_workspace(root: Path, languages: Collection[str] | None = None) -> Workspace:
    """Find the artifacts of these languages (None: all) in a workspace, and check every file by its hash.

    Raises StorageError if a file is damaged.
    """
    if not root.is_dir():
        raise StorageError(f"{root}: no such workspace.", "Name it with --out, or create one with `lrldata build`.")
    datasets: dict[str, list[Dataset]] = {}
    adapters: dict[str, list[Adapter]] = {}
    for folder in _folders(root, DATASET, languages):
        dataset = read_dataset(folder)
        datasets.setdefault(dataset.manifest["language"]["code"], []).append(dataset)
    for folder in _folders(root, ADAPTER, languages):
        adapter = read_adapter(folder)
        adapter = _linked(adapter, datasets.get(adapter.manifest["language"]["code"], ()))
        adapters.setdefault(adapter.manifest["language"]["code"], []).append(adapter)
    tasks = {path.parent for path in root.glob(TASK_RUNS)}  # folders of a task have a manifest per seed
    begun = {path for kind in PATTERNS for path in _of(find_folders(root, kind), root, languages)} - tasks
    return Workspace(
        root,
        {code: tuple(group) for code, group in datasets.items()},
        {code: tuple(group) for code, group in adapters.items()},
        tuple(_scores(root, {adapter.manifest_sha256 for group in adapters.values() for adapter in group})),
        tuple(sorted(path for path in begun if not (path / MANIFEST).is_file())),
    )


def _linked(adapter: Adapter, datasets: Sequence[Dataset]) -> Adapter:
    """Return an adapter whose datasets were rebuilt with the same rows, linked to their current manifests."""
    current = {(dataset.source, content_of(dataset.manifest)): dataset.manifest_sha256 for dataset in datasets}

    def link(entry: Mapping[str, Any]) -> Mapping[str, Any]:
        digest = current.get((entry["name"], entry.get("content", ""))) if entry["kind"] == "dataset" else None
        return {**entry, "manifest_sha256": digest} if digest else entry

    inputs = [link(entry) for entry in adapter.manifest["inputs"]]
    return replace(adapter, manifest={**adapter.manifest, "inputs": inputs})


def read_datasets(root: Path, code: str) -> tuple[Dataset, ...]:
    """Read the finished datasets of one language. Raises StorageError if a file is damaged."""
    return tuple(map(read_dataset, _folders(root, DATASET, {code})))


def artifacts_of(root: Path, lang: str | None) -> list[Path]:
    """Return the folders of datasets and adapters of the languages that `lang` names, as --lang does (None: all)."""
    codes = set(requested_codes(lang, root)) if lang else None
    return [folder for kind in (DATASET, ADAPTER) for folder in _of(find_folders(root, kind), root, codes)]


def _folders(root: Path, kind: str, languages: Collection[str] | None) -> Iterator[Path]:
    """Yield the finished folders. Raises StorageError if a manifest cannot be read or belongs to another folder."""
    for folder in _of(finished(root, kind), root, languages):
        try:
            manifest = load_manifest(folder, kind)
        except DamagedError as error:
            raise DamagedError(error.message, "Build the folder again, or move it away.") from error
        with reporting_invalid_content(folder):
            code = folder.relative_to(root).parts[1] if kind == SCORES else manifest["language"]["code"]
        if code != folder.relative_to(root).parts[1] or (kind == DATASET and manifest["source"] != folder.name):
            raise StorageError(
                f"{folder}: according to its manifest, this folder belongs elsewhere.",
                "Move it back to its original place.",
            )
        yield folder


def _of(folders: Iterable[Path], root: Path, languages: Collection[str] | None) -> list[Path]:
    """Return the folders of these languages (None: all)."""
    return [path for path in folders if languages is None or path.relative_to(root).parts[1] in languages]


def read_dataset(folder: Path) -> Dataset:
    """Read a dataset folder. Raises StorageError if it is not finished or a file does not match the manifest."""
    opened = open_shards(folder, MANIFEST)
    manifest, rows = opened.manifest, opened.rows()
    samples = _first_texts(rows, by_document="doc" in manifest["columns"])
    short = tuple(textwrap.shorten(sample, LONGEST_SAMPLE, placeholder=" …") for sample in samples)
    speakers = summary_of(folder.resolve())
    return Dataset(folder, manifest, identity(folder, manifest), opened.files[MANIFEST], short, speakers)


def _first_texts(rows: pl.LazyFrame, *, by_document: bool) -> list[str]:
    """Return the first texts, of different documents if `by_document`. All rows are read only if that takes so many."""
    texts: list[str] = []
    for part in (rows.head(ENOUGH_ROWS), rows):
        first_rows = part.unique("doc", keep="first", maintain_order=True) if by_document else part
        texts = first_rows.select("text").head(SAMPLES).collect()["text"].to_list()
        if len(texts) == SAMPLES:
            break
    return texts


def read_adapter(folder: Path) -> Adapter:
    """Read an adapter's folder. Raises StorageError if it is not finished or a file does not match the manifest."""
    hint = "Copy it again from the original, or train it again with `lrltrain fit --overwrite`."
    try:
        return read_consistently(folder, _adapter_in)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StorageError(
            f"{folder}: no finished adapter in this folder.", "Train one with `lrltrain fit`."
        ) from error
    except DamagedError as error:
        raise DamagedError(error.message, hint) from error


def _adapter_in(held: OpenFolder) -> Adapter:
    folder, manifest = held.folder, manifest_in(held, ADAPTER)
    for _ in walk(folder):  # raises an error for links, which are not allowed
        pass
    for fault in faults_in(held, manifest, (RUN_FILE,)):
        raise DamagedError(f"{folder}: {fault}.")
    return Adapter(folder, manifest, identity(folder, manifest), held.read(MANIFEST), _run_in(held))


def _run_in(held: OpenFolder) -> Mapping[str, Any]:
    """Return the duration and the hardware of the training from run.json; empty if it cannot be read."""
    try:
        return RunInfo.model_validate_json(held.read(RUN_FILE)).model_dump()
    except (FileNotFoundError, ValidationError):
        return {}


def _scores(root: Path, adapters: Collection[str]) -> Iterator[Score]:
    """Yield the perplexities of adapters, in any language, those measured by newer versions last."""
    measured = [(folder, read_manifest(folder, SCORES) or {}) for folder in _folders(root, SCORES, None)]
    for folder, manifest in sorted(measured, key=lambda pair: versions_of(pair[1].get("made_with", {}))):
        if (manifest.get("adapter") or {}).get("manifest_sha256") not in adapters:
            continue
        for fault in damaged(folder, manifest):
            raise DamagedError(f"{folder}: {fault}.", "Measure it again with `lrltrain eval --overwrite`.")
        file = folder / SCORES_FILE
        result = read_beside(folder, file.name)
        if result is None:
            continue  # only a base model, or interrupted: the likelihoods exist, and `eval` writes the rest
        with reporting_invalid_content(folder):
            computed = read_likelihoods(folder).perplexity(manifest["settings"]["formula"])
            if abs(result["after"]["value"] / computed - 1) > TOLERANCE:
                raise StorageError(
                    f"{file}: does not match the sentences in the same folder.", "Write it again with `lrltrain eval`."
                )
        yield Score(manifest, result)
