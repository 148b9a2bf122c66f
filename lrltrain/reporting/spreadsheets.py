"""The results as CSV in long form: a line per score, per run, per average, per adapter. Pure.

F1 is of 0 to 1 and perplexities are as they are; a change is a difference of F1 or a ratio of perplexities.
"""

import csv
import io
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from lrldata.card import visible
from lrltrain.evaluation.statistics import Interval
from lrltrain.reporting.averages import Average
from lrltrain.reporting.costs import seconds_of
from lrltrain.reporting.material import Adapter, Material
from lrltrain.reporting.tables import Cell, Table

_SCORES = (
    *("language", "base", "method", "source", "variant", "task", "data", "metric", "items", "seeds", "train_seeds"),
    *("mean", "sd", "low", "high", "delta", "change", "change_low", "change_high", "p", "p_corrected", "verdict"),
)
_COUNTS = ("items", "seeds", "train_seeds")
_TEXTS = (*_SCORES[: _SCORES.index("items")], "verdict")
_RUNS = (*("language", "base", "method", "source", "variant", "task", "data", "metric", "train_seed", "seed", "value"),)
_AVERAGES = (
    *("group", "base", "method", "source", "task", "data", "metric", "languages", "mean", "low", "high"),
    *("compared", "change", "change_low", "change_high", "p", "p_corrected", "gains", "losses"),
)
_ADAPTERS = (
    *("language", "base", "method", "source", "name", "seed", "parameters", "parameters_of_base", "steps", "tokens"),
    *("validation_loss_before", "validation_loss", "train_bytes", "seconds", "device"),
)
_FORMULA = tuple("=+-@\N{MINUS SIGN}")  # what a formula begins with, for a spreadsheet


def scores_csv(table: Table) -> str:
    """Return a line per score."""
    return _csv(_SCORES, (list(_score(cell)) for cell in _in_order(table)))


def read_scores(path: Path) -> pl.DataFrame:
    """Read the scores of results.csv, with numbers as numbers."""
    kinds = {name: pl.Int64 if name in _COUNTS else pl.String if name in _TEXTS else pl.Float64 for name in _SCORES}
    return pl.read_csv(path.read_bytes(), schema=kinds)


def runs_csv(table: Table) -> str:
    """Return a line per run of a task, and per measured perplexity: the value of each seed."""
    return _csv(_RUNS, ([*_place(cell), *run] for cell in _in_order(table) for run in cell.runs))


def averages_csv(averaged: Sequence[Average]) -> str:
    """Return a line per average."""
    return _csv(_AVERAGES, (list(_average(each)) for each in averaged))


def adapters_csv(material: Material) -> str:
    """Return a line per adapter: its size, what it was trained on, and what that took."""
    return _csv(_ADAPTERS, (list(_adapter(each, material)) for each in material.adapters))


def _csv(fields: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows([_plain(value) for value in line] for line in lines)
    return written.getvalue()


def _in_order(table: Table) -> Iterator[Cell]:
    for row in table.rows:
        for column in table.columns:
            if cell := table.by_place.get((row, column)):
                yield cell


def _place(cell: Cell) -> Iterator[Any]:
    task, data, metric = cell.column
    yield from (*cell.row, task, cell.data or data, metric)


def _score(cell: Cell) -> Iterator[Any]:
    yield from (*_place(cell), cell.items, cell.seeds, cell.train_seeds)
    yield from (cell.score.value, cell.sd, cell.score.low, cell.score.high, cell.delta)
    against = cell.against
    yield from _ends(against.change if against else None)
    yield from (against.p, against.p_corrected) if against else (None,) * 2
    yield cell.verdict


def _average(each: Average) -> Iterator[Any]:
    yield from (each.group, each.base, each.method, each.source, *each.column, len(each.languages))
    yield from (*_ends(each.score), each.compared, *_ends(each.change), each.p, each.p_corrected)
    yield from (each.gains, each.losses)


def _adapter(each: Adapter, material: Material) -> Iterator[Any]:
    manifest, trained = each.manifest, each.manifest["trained"]
    seed = manifest["settings"].get("seed")
    yield from (each.language, each.base, manifest["method"], each.source, manifest["name"], seed)
    yield from (trained[key] for key in ("parameters", "parameters_of_base", "steps", "tokens"))
    yield from (trained[key] for key in ("validation_loss_before", "validation_loss"))
    yield from (material.train_bytes(each.language, each.source), seconds_of(each), each.run.get("device"))


def _ends(value: Interval | float | None) -> tuple[float | None, ...]:
    return (value.value, value.low, value.high) if isinstance(value, Interval) else (value, None, None)


def _plain(value: Any) -> str:
    """Write a value; a text that a spreadsheet would take for a formula is quoted."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "" if value is None else str(value)
    return f"'{visible(text)}" if _is_formula(text) else visible(text)


def _is_formula(text: str) -> bool:
    """Return whether a spreadsheet would compute a text: it passes over blanks, and may know signs in full width."""
    first = next((each for each in text if unicodedata.category(each)[0] not in "ZC"), "")
    return unicodedata.normalize("NFKC", first).startswith(_FORMULA)
