"""Pseudo-perplexities of a workspace as cells of the table: with an adapter, and of the base model alone. IO."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lrldata.errors import StorageError
from lrldata.manifest import (
    ADAPTER,
    MANIFEST,
    SCORES,
    DamagedError,
    damaged,
    fingerprint,
    identity,
    load_manifest,
    read_beside,
    read_manifest,
)
from lrldata.workspace import PATTERNS, score_path, source_of_adapter
from lrltrain.evaluation import statistics
from lrltrain.evaluation.record import is_hidden
from lrltrain.evaluation.statistics import Interval
from lrltrain.reporting.data_names import key_of, names_of
from lrltrain.reporting.tables import NONE, PPPL, Cell, Column, Comparison, Row, variant_of

_AGAIN = "Measure it again with `lrltrain eval --overwrite`."


def read_perplexities(workspace: Path, times: int) -> list[Cell]:
    """Return the perplexities of a workspace, each adapter's against its base model's. Raises StorageError.

    Values and intervals are those of scores.json; p is of sign flips of the differences of sentences, as log-likelihood
    or, by the paper's formula, as perplexity.
    """
    sources = dict(_sources(workspace))
    measured = [
        (folder, manifest, key_of(folder.relative_to(workspace).parts[1], PPPL, manifest["data"]))
        for folder, manifest in _measured(workspace)
    ]
    called = names_of(key for _, _, key in measured)
    alone = {_alike(manifest, folder): folder for folder, manifest, _ in measured if manifest["adapter"] is None}
    cells = _Cells()
    for folder, manifest, key in measured:
        score = read_beside(folder, "scores.json")
        if score is None:
            continue  # the likelihoods of a base model, which the scores of adapters have as `before`
        column, alike = Column(PPPL, called[key], str(score["metric"])), _alike(manifest, folder)
        base = Row(score["language"], score["base"], NONE, None)
        before = Interval(**(score["before"] or score["after"]))
        cells.add(Cell(base, column, 1, score["sentences"], before), alike)
        if score["adapter"] is None:
            continue
        hashed = manifest["adapter"]["manifest_sha256"]
        row = base._replace(method=score["method"], source=sources.get(hashed) or _source(score))
        row = row._replace(variant=variant_of(str(score["adapter"]), row))
        p = _p(folder, alone.get(alike), manifest["settings"]["formula"], times)
        against = Comparison(Interval(**score["ratio"]), p) if score["ratio"] and p is not None else None
        cell = Cell(row, column, 1, score["sentences"], Interval(**score["after"]), against=against)
        cells.add(cell, f"{alike} {hashed}", f"{score['adapter']} {hashed[:6]}")
    return list(cells.held.values())


class _Cells:
    """Cells by their places, where another than the one that is there gets a row of its own."""

    def __init__(self) -> None:
        self.held: dict[tuple[Row, Column], Cell] = {}
        self._made_of: dict[tuple[Row, Column], str] = {}

    def add(self, cell: Cell, made_of: str, variant: str = "") -> None:
        """Add a cell; `made_of` is what it is the score of, and `variant` how its row differs from one of its name."""
        names = chain(
            [cell.row.variant, *filter(None, [variant])],
            (f"{variant} settings {number}".strip() for number in count(2)),
        )
        for name in names:
            place = cell.row._replace(variant=name), cell.column
            if self._made_of.setdefault(place, made_of) == made_of:
                self.held.setdefault(place, replace(cell, row=place[0]))
                return


def _measured(workspace: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for folder in sorted(workspace.glob(score_path("*", "*", "*", f"{PPPL}-*"))):
        if is_hidden(folder, workspace):
            continue  # of an exchange that was interrupted, or of another program
        try:
            manifest = load_manifest(folder, SCORES)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except DamagedError as error:
            raise DamagedError(error.message, _AGAIN) from error
        for fault in damaged(folder, manifest):
            raise StorageError(f"{folder}: {fault}.", _AGAIN)
        yield folder, manifest


def _sources(workspace: Path) -> Iterator[tuple[str, str]]:
    """Yield the source of each adapter in the workspace by the hash of its manifest."""
    for path in sorted(workspace.glob(f"{PATTERNS[ADAPTER]}/{MANIFEST}")):
        manifest = read_manifest(path.parent, ADAPTER)
        if manifest is not None:
            yield identity(path.parent, manifest), source_of_adapter(path.parent.name, manifest)


def _source(score: Mapping[str, Any]) -> str:
    """Return the source by the adapter's name, LANGUAGE_SOURCE_METHOD."""
    return str(score["adapter"]).removeprefix(f"{score['language']}_").removesuffix(f"_{score['method']}")


def _alike(manifest: Mapping[str, Any], folder: Path) -> str:
    """Return what an adapter's score and that of its base model have in common."""
    return fingerprint([folder.parents[1].as_posix(), *(manifest[key] for key in ("data", "base", "settings"))])


def _p(folder: Path, alone: Path | None, formula: str, times: int) -> float | None:
    if alone is None:
        return None
    after, before = (_likelihoods(each) for each in (folder, alone))
    if not after["tokens"].equals(before["tokens"]):
        return None  # a tokenizer that changed: sentences cannot be compared
    one, other = (each["log_likelihood"].to_numpy() for each in (after, before))
    if formula == "paper":
        tokens = after["tokens"].to_numpy()
        one, other = np.exp(-one / tokens), np.exp(-other / tokens)
    return statistics.sign_flips(one - other, times, seed=0)


def _likelihoods(folder: Path) -> pl.DataFrame:
    with (folder / "sentences.parquet").open("rb") as stream:  # polars would take its path for a pattern
        return pl.read_parquet(stream).filter(pl.col("tokens") > 0)
