"""The contents of a workspace besides scores: datasets with samples, adapters with losses, card pages. IO."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from lrldata.dataset import SAMPLES, content_of, open_shards
from lrldata.errors import LanguageError
from lrldata.language import find
from lrldata.layout import CARDS, PATTERNS, is_hidden, source_of_adapter
from lrldata.ledger import Ledger, from_json, unit_of
from lrldata.manifest import ADAPTER, DATASET, MANIFEST, read_manifest
from lrldata.paths import OpenFolder, PathError
from lrldata.report.funnel import Step, funnel
from lrldata.report.page import sample_of
from lrldata.report.read import read_samples
from lrldata.report.samples import DisplayedSample, for_display

SHOWN = 8  # samples per dataset
_LONGEST_CARD = 1 << 16  # bytes of a card that are read
LOG, RUN = "log.json", "run.json"  # files of an adapter; lrltrain.artifact names them, but needs torch


@dataclass(frozen=True)
class Dataset:
    """A dataset: the ledger of its rows, the amount of training text, and some samples."""

    language: str
    source: str
    manifest: Mapping[str, Any]
    ledger: Ledger
    steps: tuple[Step, ...]
    samples: tuple[DisplayedSample, ...]
    train_rows: int
    train_bytes: int

    @property
    def unit(self) -> str:
        """Return the unit that its rows are made from."""
        return unit_of(self.manifest)


@dataclass(frozen=True)
class Adapter:
    """An adapter with the log of its training, and its time and machine if known."""

    language: str
    base: str
    name: str
    manifest: Mapping[str, Any]
    log: tuple[Mapping[str, Any], ...]
    run: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """Return the source of its text."""
        return source_of_adapter(self.name, self.manifest)


@dataclass(frozen=True)
class CardPage:
    """A page written by `lrl card`."""

    language: str
    name: str
    path: Path


@dataclass(frozen=True)
class WorkspaceContents:
    """The contents of a workspace besides scores, in the order of folders."""

    datasets: tuple[Dataset, ...]
    adapters: tuple[Adapter, ...]
    cards: tuple[CardPage, ...]

    def bytes_of(self, adapter: Adapter) -> int | None:
        """Return the bytes of the text that an adapter was trained on; None if the workspace does not have this text.

        The dataset may have been rebuilt with other text since then.
        """
        trained_on = {entry.get("content") for entry in adapter.manifest["inputs"]}
        datasets = [dataset for dataset in self.datasets if dataset.language == adapter.language]
        sizes = [dataset.train_bytes for dataset in datasets if content_of(dataset.manifest) in trained_on]
        return next(filter(None, sizes), None)

    def train_bytes(self, language: str, source: str | None) -> int | None:
        """Return `bytes_of` the adapters of a language and source; None if it is unknown or they differ."""
        sizes = self._sizes.get((language, source), set())
        return next(iter(sizes)) if len(sizes) == 1 else None

    @cached_property
    def _sizes(self) -> dict[tuple[str, str | None], set[int | None]]:
        sizes: dict[tuple[str, str | None], set[int | None]] = {}
        for adapter in self.adapters:
            sizes.setdefault((adapter.language, adapter.source), set()).add(self.bytes_of(adapter))
        return sizes


def read_material(workspace: Path) -> WorkspaceContents:
    """Read datasets, adapters and cards. Raises StorageError if a dataset is damaged."""
    return WorkspaceContents(tuple(_datasets(workspace)), tuple(_adapters(workspace)), tuple(_cards(workspace)))


def _datasets(workspace: Path) -> Iterator[Dataset]:
    for folder in sorted(workspace.glob(PATTERNS[DATASET])):
        if is_hidden(folder, workspace) or read_manifest(folder, DATASET) is None:
            continue
        opened = open_shards(folder, SAMPLES)
        manifest, rows = opened.manifest, opened.rows()
        samples = read_samples(opened, folder)
        kept = samples.kept[:SHOWN] if samples and samples.kept else sample_of(rows, SHOWN)
        train = rows.filter(pl.col("split") == "train").select(pl.len(), bytes=pl.col("text").str.len_bytes().sum())
        count, size = train.collect().row(0)
        ledger = from_json(manifest["ledger"])
        source = str(manifest["source"])
        yield Dataset(
            str(manifest["language"]["code"]),
            source,
            manifest,
            ledger,
            tuple(funnel(ledger, source)),
            for_display(kept, "kept"),
            count,
            size or 0,
        )


def _adapters(workspace: Path) -> Iterator[Adapter]:
    for path in sorted(workspace.glob(f"{PATTERNS[ADAPTER]}/{MANIFEST}")):
        manifest = read_manifest(path.parent, ADAPTER)
        if manifest is None or is_hidden(path, workspace):
            continue
        log, run = (_read_json(path.parent, name) for name in (LOG, RUN))
        log = log if isinstance(log, list) else []
        entries = tuple(entry for entry in log if isinstance(entry, dict) and "step" in entry)
        language, base = str(manifest["language"]["code"]), str(manifest["base"]["id"])
        yield Adapter(language, base, path.parent.name, manifest, entries, run if isinstance(run, dict) else {})


def _read_json(folder: Path, name: str) -> Any:
    """Read an optional file of an adapter; None if it cannot be read."""
    try:
        with OpenFolder(folder) as opened:
            return json.loads(opened.read(name))
    except (OSError, ValueError, RecursionError):
        return None


def _cards(workspace: Path) -> Iterator[CardPage]:
    for path in sorted(workspace.glob(f"{CARDS}/*/index.html")):
        language = _language_of(path.parent)
        if language:
            yield CardPage(language, path.parent.name, path)


def _first_string(text: str, key: str) -> str:
    """Return the string under a key of YAML, or the first string if it is a list, without constructing other values.

    Constructing them all is unsafe: nested aliases can grow without limit. Raises KeyError.
    """
    top = yaml.compose(text, Loader=yaml.SafeLoader)
    for name, value in top.value if isinstance(top, yaml.MappingNode) else ():
        node = value.value[0] if isinstance(value, yaml.SequenceNode) and value.value else value
        if name.value == key and isinstance(node, yaml.ScalarNode):
            return str(node.value)
    raise KeyError(key)


def _language_of(folder: Path) -> str | None:
    """Return the language that a card states; None if it cannot be read."""
    try:
        with OpenFolder(folder) as opened, opened.open("README.md") as stream:
            card = stream.read(_LONGEST_CARD).decode("utf-8", "replace").replace("\r\n", "\n")
        return find(_first_string(card.split("---\n")[1], "language")).code
    except (
        *(OSError, ValueError, IndexError, KeyError, TypeError, OverflowError, RecursionError),
        *(yaml.YAMLError, LanguageError, PathError),
    ):
        return None
