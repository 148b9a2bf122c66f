"""Pseudo-perplexities of a workspace as cells of the table: with an adapter, and of the base model alone. IO."""

from collections.abc import Iterator, Mapping
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
from lrltrain.evaluate import statistics
from lrltrain.evaluate.statistics import Interval
from lrltrain.results.tables import NONE, PPPL, Against, Cell, Column, Row

_AGAIN = "Measure it again with `lrltrain eval --overwrite`."


def read_perplexities(workspace: Path, times: int) -> list[Cell]:
    """Return the perplexities of a workspace, each adapter's against its base model's. Raises StorageError.

    Values and intervals are those of scores.json; p is of sign flips of the differences of sentences, as log-likelihood
    or, by the paper's formula, as perplexity.
    """
    sources = dict(_sources(workspace))
    measured = list(_measured(workspace))
    alone = {_alike(manifest, folder): folder for folder, manifest in measured if manifest["adapter"] is None}
    cells: dict[tuple[Row, Column], Cell] = {}
    for folder, manifest in measured:
        score = read_beside(folder, "scores.json")
        if score is None:
            continue  # the likelihoods of a base model, which the scores of adapters have as `before`
        column = Column(PPPL, str(manifest["data"]["name"]), str(score["metric"]))
        base = Row(score["language"], score["base"], NONE, None)
        before = Interval(**(score["before"] or score["after"]))
        cells.setdefault((base, column), Cell(base, column, 1, score["sentences"], before))
        if score["adapter"] is None:
            continue
        hashed = manifest["adapter"]["manifest_sha256"]
        row = base._replace(method=score["method"], source=sources.get(hashed) or _source(score))
        if (row, column) in cells:
            row = row._replace(variant=f"{score['adapter']} {hashed[:6]}")
        p = _p(folder, alone.get(_alike(manifest, folder)), manifest["settings"]["formula"], times)
        against = Against(Interval(**score["ratio"]), p) if score["ratio"] and p is not None else None
        cells[row, column] = Cell(row, column, 1, score["sentences"], Interval(**score["after"]), against=against)
    return list(cells.values())


def _measured(workspace: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for folder in sorted(workspace.glob(f"scores/*/*/*/{PPPL}-*")):
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
    for path in sorted(workspace.glob(f"adapters/*/*/*/{MANIFEST}")):
        manifest = read_manifest(path.parent, ADAPTER)
        if manifest is not None:
            yield identity(path.parent, manifest), path.parent.name.removesuffix(f"-{manifest['method']}")


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
    return pl.read_parquet(folder / "sentences.parquet").filter(pl.col("tokens") > 0)
