"""Correlations over languages: scores with amounts of text, and F1 with perplexity. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import log10

import numpy as np

from lrltrain.evaluation.correlation import Correlation, correlate
from lrltrain.names import base_name
from lrltrain.reporting.formatting import column_name, method_name, p_value
from lrltrain.reporting.material import WorkspaceContents
from lrltrain.reporting.sizes import CORPORA, corpus_of, size_of
from lrltrain.reporting.tables import Cell, Column, Table


@dataclass(frozen=True)
class Point:
    """A point of a plot: `x` and `y` in the units of the axes, and `at`, which is correlated with `y`."""

    language: str
    base: str
    column: Column
    series: str
    x: float
    y: float
    at: float


@dataclass(frozen=True)
class Link:
    """The correlation of two quantities over the languages of one series."""

    of: str
    to: str
    correlation: Correlation

    def numbers(self) -> list[str]:
        """Return the numbers as shown in a table."""
        correlation = self.correlation
        coefficients = f"{correlation.spearman:.2f}", p_value(correlation.spearman_p), f"{correlation.pearson:.2f}"
        return [str(correlation.points), *coefficients, p_value(correlation.pearson_p)]


def by_pretraining(table: Table) -> list[Point]:
    """Return scores (per cent, or perplexity) by MB of the language in the pre-training data of the base model."""
    return list(_points(table, lambda cell: size_of(cell.row.base, cell.row.language), _score, _log_of_size))


def by_adaptation(table: Table, material: WorkspaceContents) -> list[Point]:
    """Return changes (points of F1, or log10 of the ratio) by bytes of text that the adapter was trained on."""
    return list(
        _points(table, lambda cell: material.train_bytes(cell.row.language, cell.row.source), _change, _log_of_size)
    )


def by_perplexity(table: Table) -> dict[Column, list[Point]]:
    """Return changes of F1 in points by the ratio of perplexities of the same language, base model and method.

    Points are grouped by the text and formula of the perplexity, because other ratios are on another scale.
    """
    points_by_measure: dict[Column, list[Point]] = {}
    for measure in (column for column in table.columns if column.lower_is_better):
        cells = (cell for cell in table.cells if cell.column == measure)
        ratios = {cell.row: cell.against.change.value for cell in cells if cell.against}
        candidates = _points(table, lambda cell, held=ratios: held.get(cell.row), _change, log10)  # type: ignore[misc]
        if points := [point for point in candidates if not point.column.lower_is_better]:
            points_by_measure[measure] = points
    return points_by_measure


def ratio_name(column: Column) -> str:
    """Return the label of a ratio: ratio of perplexities, flores, pseudo-perplexity (corrected)."""
    return f"ratio of perplexities, {column.data}, {column.metric}"


def links(table: Table, material: WorkspaceContents) -> list[Link]:
    """Return the correlation of each series of points with at least three languages."""
    result: list[Link] = []
    pretraining, adaptation, perplexity = by_pretraining(table), by_adaptation(table, material), by_perplexity(table)
    for base in dict.fromkeys(row.base for row in table.rows):
        corpus = corpus_of(base)
        if corpus:
            result += _links(pretraining, base, "score", f"MB of {CORPORA[corpus]} (log)")
        result += _links(adaptation, base, "change", "bytes of adaptation text (log)")
        for measure, points in perplexity.items():
            result += _links(points, base, "change", f"{ratio_name(measure)} (log)")
    return result


def _links(points: Sequence[Point], base: str, quantity: str, to: str) -> Iterator[Link]:
    of_base = [point for point in points if point.base == base]
    for column in dict.fromkeys(point.column for point in of_base):
        of_column = [point for point in of_base if point.column == column]
        for series in dict.fromkeys(point.series for point in of_column):
            of_series = [point for point in of_column if point.series == series]
            correlation = correlate(
                np.array([point.at for point in of_series]), np.array([point.y for point in of_series])
            )
            if correlation:
                yield Link(f"{base_name(base)}, {column_name(column)}: {quantity} of {series}", to, correlation)


def _points(
    table: Table,
    place: Callable[[Cell], float | None],
    height: Callable[[Cell], float | None],
    at: Callable[[float], float],
) -> Iterator[Point]:
    for row in table.rows:
        for column in table.columns:
            cell = table.by_place.get((row, column))
            x, y = (place(cell), height(cell)) if cell else (None, None)
            if x is not None and y is not None:
                yield Point(row.language, row.base, column, method_name(row), x, y, at(x))


def _score(cell: Cell) -> float:
    return cell.score.value if cell.column.lower_is_better else 100 * cell.score.value


def _change(cell: Cell) -> float | None:
    if cell.against is None:
        return None
    value = cell.against.change.value
    return log10(value) if cell.column.lower_is_better else 100 * value


def _log_of_size(size: float) -> float:
    """Return log10(1 + size), which is defined for a language without any text too."""
    return log10(1 + size)
