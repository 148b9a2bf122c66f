"""What a workspace holds: finished datasets, adapters and scores, checked against their manifests. IO."""

import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, FiniteFloat, NonNegativeInt, ValidationError

from hub_cards.task_scores import TaskScore, read_task_scores
from lrldata.dataset import content_of, open_shards
from lrldata.errors import StorageError
from lrldata.language import Language, find_recorded
from lrldata.manifest import (
    ADAPTER,
    DATASET,
    MANIFEST,
    SCORES,
    DamagedError,
    damaged,
    entries,
    fault_in,
    from_held,
    identity,
    load_manifest,
    manifest_in,
    read_beside,
    read_manifest,
    understood,
)
from lrldata.paths import Held, walk
from lrldata.review.summary import summary_of
from lrldata.versions import versions_of
from lrldata.workspace import PATTERNS, codes_asked, source_of_adapter
from lrltrain.evaluation.likelihoods import SCORES_FILE, read_likelihoods

SAMPLES = 8
LONGEST_SAMPLE = 300  # characters
TOLERANCE = 1e-6  # relative, between a score and what its sentences give


@dataclass(frozen=True)
class Dataset:
    """A dataset folder: one source of a language.

    `samples` are its first rows, one a document; their order is by hash. `speakers` is what speakers said of it.
    """

    folder: Path
    manifest: Mapping[str, Any]
    manifest_sha256: str
    manifest_bytes: bytes
    samples: tuple[str, ...]
    speakers: Mapping[str, Any] | None = None

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
    manifest_bytes: bytes
    run: Mapping[str, Any]

    @property
    def source(self) -> str:
        """Return the name of the source of its text."""
        return source_of_adapter(self.folder.name, self.manifest)

    @property
    def method(self) -> str:
        """Return the method."""
        return str(self.manifest["method"])


class Ran(BaseModel):
    """What run.json says: how long training took, and on what."""

    seconds: FiniteFloat
    device: str
    processes: NonNegativeInt


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

    def language(self, code: str) -> Language:
        """Return a language of which there is something, as the table has it, or else as a manifest has it."""
        held: list[Dataset | Adapter] = [*self.datasets.get(code, ()), *self.adapters.get(code, ())]
        return find_recorded(held[0].manifest["language"])

    def scores_of(self, adapter: Adapter) -> list[Score]:
        """Return what was measured of exactly these weights."""
        return [
            score
            for score in self.scores
            if (score.manifest["adapter"] or {}).get("manifest_sha256") == adapter.manifest_sha256
        ]

    @cached_property
    def _task_scores(self) -> Mapping[str, tuple[TaskScore, ...]]:
        hashes = {adapter.manifest_sha256 for several in self.adapters.values() for adapter in several}
        return read_task_scores(self.root, hashes)

    def task_scores_of(self, adapter: Adapter) -> tuple[TaskScore, ...]:
        """Return what exactly these weights scored in tasks, counted when it is first asked for."""
        return self._task_scores.get(adapter.manifest_sha256, ())

    def dataset_of(self, manifest_sha256: str) -> Dataset | None:
        """Return the dataset with this manifest."""
        held = (each for several in self.datasets.values() for each in several)
        return next((each for each in held if each.manifest_sha256 == manifest_sha256), None)

    def adapter_of(self, manifest_sha256: str) -> Adapter | None:
        """Return the adapter with this manifest."""
        held = (each for several in self.adapters.values() for each in several)
        found = next((each for each in held if each.manifest_sha256 == manifest_sha256), None)
        return found or self._others.get(manifest_sha256)

    def fused_in(self, adapter: Adapter) -> list[Adapter]:
        """Return the adapters that a fusion is of, as far as they are here, in whichever language."""
        entries = (each for each in adapter.manifest["inputs"] if each["kind"] == ADAPTER)
        found = (self.adapter_of(entry["manifest_sha256"]) for entry in entries)
        return [each for each in found if each is not None]

    @cached_property
    def _others(self) -> Mapping[str, Adapter]:
        """Return the adapters of languages that were not asked for, by the hash of their manifests."""
        folders = (path for path in self.root.glob(PATTERNS[ADAPTER]) if _concerns(path, self.root, None))
        finished = ((path, read_manifest(path, ADAPTER)) for path in sorted(folders))
        others = (
            Adapter(path, manifest, identity(path, manifest), b"", {})
            for path, manifest in finished
            if manifest and manifest["language"]["code"] not in self.adapters
        )
        return {each.manifest_sha256: each for each in others}


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
        adapter = _linked(adapter, datasets.get(adapter.manifest["language"]["code"], ()))
        adapters.setdefault(adapter.manifest["language"]["code"], []).append(adapter)
    finished = {path.parent for pattern in PATTERNS.values() for path in root.glob(f"{pattern}/{MANIFEST}")}
    begun = {path for pattern in PATTERNS.values() for path in root.glob(pattern) if path.is_dir()}
    begun -= {path.parent for path in root.glob(f"{PATTERNS[SCORES]}/seed-*")}  # tasks have a folder per seed
    return Workspace(
        root,
        {code: tuple(several) for code, several in datasets.items()},
        {code: tuple(several) for code, several in adapters.items()},
        tuple(_scores(root, {adapter.manifest_sha256 for several in adapters.values() for adapter in several})),
        tuple(sorted(path for path in begun - finished if _concerns(path, root, languages))),
    )


def _linked(adapter: Adapter, datasets: Sequence[Dataset]) -> Adapter:
    """Return an adapter that names datasets which have been built again since, to the same rows, as they are now."""
    now = {(each.source, content_of(each.manifest)): each.manifest_sha256 for each in datasets}

    def link(entry: Mapping[str, Any]) -> Mapping[str, Any]:
        known = now.get((entry["name"], entry.get("content", ""))) if entry["kind"] == "dataset" else None
        return {**entry, "manifest_sha256": known} if known else entry

    inputs = [link(entry) for entry in adapter.manifest["inputs"]]
    return replace(adapter, manifest={**adapter.manifest, "inputs": inputs})


def read_datasets(root: Path, code: str) -> tuple[Dataset, ...]:
    """Read the finished datasets of one language. Raises StorageError for what is damaged."""
    return tuple(map(read_dataset, _folders(root, DATASET, {code})))


def artifacts_of(root: Path, lang: str | None) -> list[Path]:
    """Return the folders of datasets and adapters of languages (as --lang names them; None: of all)."""
    codes = set(codes_asked(lang, root)) if lang else None
    folders = (folder for kind in (DATASET, ADAPTER) for folder in sorted(root.glob(PATTERNS[kind])))
    return [folder for folder in folders if folder.is_dir() and _concerns(folder, root, codes)]


def _folders(root: Path, kind: str, languages: Collection[str] | None) -> Iterator[Path]:
    """Yield the finished folders. Raises StorageError for one whose manifest cannot be read, or is another's."""
    for folder in sorted(root.glob(PATTERNS[kind])):
        if _concerns(folder, root, languages) and (folder / MANIFEST).exists():
            try:
                manifest = load_manifest(folder, kind)
            except DamagedError as error:
                raise DamagedError(error.message, "Make the folder again, or move it away.") from error
            with understood(folder):
                code = folder.relative_to(root).parts[1] if kind == SCORES else manifest["language"]["code"]
            if code != folder.relative_to(root).parts[1] or (kind == DATASET and manifest["source"] != folder.name):
                raise StorageError(
                    f"{folder}: by its manifest this belongs elsewhere.", "Move it back to where it was made."
                )
            yield folder


def _concerns(folder: Path, root: Path, languages: Collection[str] | None) -> bool:
    """Return whether a folder is of these languages, and none of locks, runs under way or interrupted exchanges."""
    parts = folder.relative_to(root).parts
    return not any(part.startswith(".") for part in parts) and (languages is None or parts[1] in languages)


def read_dataset(folder: Path) -> Dataset:
    """Read a dataset folder. Raises StorageError where it is not finished, or its bytes are not those it says."""
    opened = open_shards(folder, MANIFEST)
    manifest, rows = opened.manifest, opened.rows()
    first = rows.unique("doc", keep="first", maintain_order=True) if "doc" in manifest["columns"] else rows
    samples = first.select("text").head(SAMPLES).collect()["text"].to_list()
    short = tuple(textwrap.shorten(sample, LONGEST_SAMPLE, placeholder=" …") for sample in samples)
    speakers = summary_of(folder.resolve())
    return Dataset(folder, manifest, identity(folder, manifest), opened.files[MANIFEST], short, speakers)


def read_adapter(folder: Path) -> Adapter:
    """Read an adapter's folder. Raises StorageError where it is not finished, or its bytes are not those it says."""
    again = "Make it again with `lrltrain fit --overwrite`."
    try:
        return from_held(folder, _adapter_in)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StorageError(f"{folder}: no finished adapter in this folder.", "Make one with `lrltrain fit`.") from error
    except DamagedError as error:
        raise DamagedError(error.message, again) from error


def _adapter_in(held: Held) -> Adapter:
    folder, manifest = held.folder, manifest_in(held, ADAPTER)
    for _ in walk(folder):  # nothing in it may be a link
        pass
    for entry in entries(manifest):
        if fault := fault_in(held, entry):
            raise DamagedError(f"{folder}: {fault}.", "Copy it again from where it was made.")
    return Adapter(folder, manifest, identity(folder, manifest), held.read(MANIFEST), _run_in(held))


def _run_in(held: Held) -> Mapping[str, Any]:
    """Return what run.json says of how long training took, and on what; nothing where that cannot be read."""
    try:
        return Ran.model_validate_json(held.read("run.json")).model_dump()
    except (FileNotFoundError, ValidationError):
        return {}


def _scores(root: Path, adapters: Collection[str]) -> Iterator[Score]:
    """Yield the perplexities of adapters, in whichever language they were measured, by newer versions last."""
    found = [(folder, read_manifest(folder, SCORES) or {}) for folder in _folders(root, SCORES, None)]
    for folder, manifest in sorted(found, key=lambda each: versions_of(each[1].get("made_with", {}))):
        if (manifest.get("adapter") or {}).get("manifest_sha256") not in adapters:
            continue
        for fault in damaged(folder, manifest):
            raise DamagedError(f"{folder}: {fault}.", "Measure it again with `lrltrain eval --overwrite`.")
        file = folder / SCORES_FILE
        result = read_beside(folder, file.name)
        if result is None:
            continue  # of a base model alone, or interrupted: the likelihoods are there, `eval` writes the rest
        with understood(folder):
            computed = read_likelihoods(folder).perplexity(manifest["settings"]["formula"])
            if abs(result["after"]["value"] / computed - 1) > TOLERANCE:
                raise StorageError(
                    f"{file}: is not what the sentences beside it give.", "Write it again with `lrltrain eval`."
                )
        yield Score(folder, manifest, result)
