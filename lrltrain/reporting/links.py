"""What goes together with what over languages: scores and sizes of text, perplexities and F1. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import log10

import numpy as np

from lrltrain.evaluation.correlation import Correlation, correlate
from lrltrain.names import base_name
from lrltrain.reporting.formatting import column_name, method_name, p_value
from lrltrain.reporting.material import Material
from lrltrain.reporting.sizes import CORPORA, corpus_of, size_of
from lrltrain.reporting.tables import Cell, Column, Table


@dataclass(frozen=True)
class Point:
    """A point of a plot: `x` and `y` in the units of its axes, `at` what is correlated with `y`."""

    language: str
    base: str
    column: Column
    series: str
    x: float
    y: float
    at: float


@dataclass(frozen=True)
class Link:
    """How one quantity goes together with another, over the languages of one series."""

    of: str
    to: str
    found: Correlation

    def numbers(self) -> list[str]:
        """Return the numbers as a table has them."""
        found = self.found
        coefficients = f"{found.spearman:.2f}", p_value(found.spearman_p), f"{found.pearson:.2f}"
        return [str(found.points), *coefficients, p_value(found.pearson_p)]


def by_pretraining(table: Table) -> list[Point]:
    """Return scores (per cent, or perplexity) against MB of the language that the base model was trained on."""
    return list(_points(table, lambda cell: size_of(cell.row.base, cell.row.language), _score, _log_of_size))


def by_adaptation(table: Table, material: Material) -> list[Point]:
    """Return changes (points of F1, or log10 of the ratio) against bytes of text that the adapter was trained on."""
    return list(
        _points(table, lambda cell: material.train_bytes(cell.row.language, cell.row.source), _change, _log_of_size)
    )


def by_perplexity(table: Table) -> dict[Column, list[Point]]:
    """Return changes of F1 in points against the ratio of perplexities, of the same language, base model and method.

    They are by the text and formula of the perplexity: ratios of different ones are not of one scale.
    """
    found: dict[Column, list[Point]] = {}
    for measured in (column for column in table.columns if column.lower_is_better):
        cells = (cell for cell in table.cells if cell.column == measured)
        ratios = {cell.row: cell.against.change.value for cell in cells if cell.against}
        several = _points(table, lambda cell, held=ratios: held.get(cell.row), _change, log10)  # type: ignore[misc]
        if points := [point for point in several if not point.column.lower_is_better]:
            found[measured] = points
    return found


def ratio_name(column: Column) -> str:
    """Return what a ratio of perplexities is of: ratio of perplexities, flores, pseudo-perplexity (corrected)."""
    return f"ratio of perplexities, {column.data}, {column.metric}"


def links(table: Table, material: Material) -> list[Link]:
    """Correlate each series of points that are three languages or more."""
    found: list[Link] = []
    for base in dict.fromkeys(row.base for row in table.rows):
        corpus = corpus_of(base)
        if corpus:
            found += _links(by_pretraining(table), base, "score", f"MB of {CORPORA[corpus]} (log)")
        found += _links(by_adaptation(table, material), base, "change", "bytes of text adapted to (log)")
        for measured, points in by_perplexity(table).items():
            found += _links(points, base, "change", f"{ratio_name(measured)} (log)")
    return found


def _links(points: Sequence[Point], base: str, what: str, to: str) -> Iterator[Link]:
    ours = [point for point in points if point.base == base]
    for column in dict.fromkeys(point.column for point in ours):
        held = [point for point in ours if point.column == column]
        for series in dict.fromkeys(point.series for point in held):
            several = [point for point in held if point.series == series]
            correlated = correlate(np.array([point.at for point in several]), np.array([point.y for point in several]))
            if correlated:
                yield Link(f"{base_name(base)}, {column_name(column)}: {what} of {series}", to, correlated)


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
    """Return log10(1 + size), which a language without any text has too."""
    return log10(1 + size)
