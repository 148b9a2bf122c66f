"""The results as CSV in long form: one row per score, per run, per average, or per adapter. Pure.

F1 is from 0 to 1, and perplexities are not scaled. A change is a difference of F1 or a ratio of perplexities.
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
from lrltrain.reporting.material import Adapter, WorkspaceContents
from lrltrain.reporting.tables import Cell, Table

_SCORES = (
    *("language", "base", "method", "source", "variant", "task", "data", "metric", "items", "seeds", "train_seeds"),
    *("mean", "sd", "low", "high", "delta", "change", "change_low", "change_high", "p", "p_corrected", "verdict"),
)
_COUNTS = ("items", "seeds", "train_seeds")
_TEXTS = (*_SCORES[: _SCORES.index("items")], "verdict")
_RUNS = ("language", "base", "method", "source", "variant", "task", "data", "metric", "train_seed", "seed", "value")
_AVERAGES = (
    *("group", "base", "method", "source", "task", "data", "metric", "languages", "mean", "low", "high"),
    *("compared", "change", "change_low", "change_high", "p", "p_corrected", "gains", "losses"),
)
_ADAPTERS = (
    *("language", "base", "method", "source", "name", "seed", "parameters", "parameters_of_base", "steps", "tokens"),
    *("validation_loss_before", "validation_loss", "train_bytes", "seconds", "device"),
)
_FORMULA = tuple("=+-@\N{MINUS SIGN}")  # the first characters of a formula in spreadsheets


def scores_csv(table: Table) -> str:
    """Return one row per score."""
    return _csv(_SCORES, (list(_score_fields(cell)) for cell in _in_order(table)))


def read_scores(path: Path) -> pl.DataFrame:
    """Read the scores of results.csv with typed columns."""
    types = {name: pl.Int64 if name in _COUNTS else pl.String if name in _TEXTS else pl.Float64 for name in _SCORES}
    return pl.read_csv(path.read_bytes(), schema=types)


def runs_csv(table: Table) -> str:
    """Return one row per task run and per measured perplexity, with the value of each seed."""
    return _csv(_RUNS, ([*_key_fields(cell), *run] for cell in _in_order(table) for run in cell.runs))


def averages_csv(averaged: Sequence[Average]) -> str:
    """Return one row per average."""
    return _csv(_AVERAGES, (list(_average_fields(average)) for average in averaged))


def adapters_csv(material: WorkspaceContents) -> str:
    """Return one row per adapter: its size, its training text, and its training cost."""
    return _csv(_ADAPTERS, (list(_adapter_fields(adapter, material)) for adapter in material.adapters))


def _csv(fields: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows([_field_text(value) for value in row] for row in rows)
    return output.getvalue()


def _in_order(table: Table) -> Iterator[Cell]:
    for row in table.rows:
        for column in table.columns:
            if cell := table.by_place.get((row, column)):
                yield cell


def _key_fields(cell: Cell) -> Iterator[Any]:
    task, data, metric = cell.column
    yield from (*cell.row, task, cell.data or data, metric)


def _score_fields(cell: Cell) -> Iterator[Any]:
    yield from (*_key_fields(cell), cell.items, cell.seeds, cell.train_seeds)
    yield from (cell.score.value, cell.sd, cell.score.low, cell.score.high, cell.delta)
    against = cell.against
    yield from _interval_fields(against.change if against else None)
    yield from (against.p, against.p_corrected) if against else (None,) * 2
    yield cell.verdict


def _average_fields(average: Average) -> Iterator[Any]:
    yield from (average.group, average.base, average.method, average.source, *average.column, len(average.languages))
    yield from (
        *_interval_fields(average.score),
        average.compared,
        *_interval_fields(average.change),
        average.p,
        average.p_corrected,
    )
    yield from (average.gains, average.losses)


def _adapter_fields(adapter: Adapter, material: WorkspaceContents) -> Iterator[Any]:
    manifest, trained = adapter.manifest, adapter.manifest["trained"]
    seed = manifest["settings"].get("seed")
    yield from (adapter.language, adapter.base, manifest["method"], adapter.source, manifest["name"], seed)
    yield from (trained[key] for key in ("parameters", "parameters_of_base", "steps", "tokens"))
    yield from (trained[key] for key in ("validation_loss_before", "validation_loss"))
    yield from (material.bytes_of(adapter), seconds_of(adapter), adapter.run.get("device"))


def _interval_fields(value: Interval | float | None) -> tuple[float | None, ...]:
    return (value.value, value.low, value.high) if isinstance(value, Interval) else (value, None, None)


def _field_text(value: Any) -> str:
    """Format a value; a string that a spreadsheet would read as a formula gets a leading apostrophe."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "" if value is None else str(value)
    return f"'{visible(text)}" if _is_formula(text) else visible(text)


def _is_formula(text: str) -> bool:
    """Return whether a spreadsheet would compute a string; it may skip blanks and accept full-width signs."""
    first = next((character for character in text if unicodedata.category(character)[0] not in "ZC"), "")
    return unicodedata.normalize("NFKC", first).startswith(_FORMULA)
