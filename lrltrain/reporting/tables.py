"""Scores as a table: one row per language, base model, method and source, one column per task and dataset. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

from lrldata.language import languages
from lrltrain.evaluation.record import FROM, NONE, OF_TASK, PPPL, TASKS, WITH
from lrltrain.evaluation.significance import holm
from lrltrain.evaluation.statistics import Floats, Interval, is_clear

ALONE = "the same base model without a language adapter (none)"
OWN = "each language's own"  # replaces the name of a test set
RESAMPLES = 1_000
_METHODS = (NONE, "seq_bn", "seq_bn_inv", "lora", "full", "fusion", f"fusion{OF_TASK}")


class Row(NamedTuple):
    """What was tested. `variant` is the adapter's variant, or a name or condition that makes the row distinct."""

    language: str
    base: str
    method: str
    source: str | None
    variant: str = ""


class Column(NamedTuple):
    """The test data and metric: F1 from 0 to 1, or perplexity, where lower is better."""

    task: str
    data: str
    metric: str

    @property
    def lower_is_better(self) -> bool:
        """Return whether lower scores are better."""
        return self.task == PPPL


@dataclass(frozen=True)
class Comparison:
    """A comparison on the same items, with the base model without an adapter or another reference of the report.

    `change` is a difference of F1 or a ratio of perplexities; `resampled` are its values in the bootstrap resamples.
    `runs` is the number of runs that it was computed from, if the score has more of them.
    """

    change: Interval
    p: float
    p_corrected: float = 1.0
    runs: int | None = None
    resampled: Floats | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Cell:
    """A score: its mean and standard deviation over seeds, and the interval over seeds and items of the test set.

    `seeds` is the number of runs. `train_seeds` is the number of training seeds of the adapter; if there are several,
    the standard deviation is over the means of each. `data` is the name of the test set if the column merges those of
    several languages. `runs` contains, for each run, the training seed (if there are several), the task's seed, and F1
    or perplexity. `manifests` are those of the runs of a task.
    """

    row: Row
    column: Column
    seeds: int
    items: int
    score: Interval
    sd: float | None = None
    against: Comparison | None = None
    resampled: Floats | None = field(default=None, compare=False, repr=False)
    train_seeds: int = 1
    data: str = ""
    runs: tuple[tuple[int | None, int | None, float], ...] = ()
    manifests: tuple[Mapping[str, Any], ...] = field(default=(), compare=False, repr=False)

    @property
    def verdict(self) -> Literal["gain", "loss", ""]:
        """Return whether the score is better or worse by more than chance, given all comparisons of the report."""
        same = 1.0 if self.column.lower_is_better else 0.0
        if self.against is None or not is_clear(self.against.change, self.against.p_corrected, same):
            return ""
        up = self.against.change.value > same
        return "gain" if up != self.column.lower_is_better else "loss"

    @property
    def delta(self) -> float | None:
        """Return how much higher the score is than its reference, in the unit of the score."""
        if self.against is None:
            return None
        change = self.against.change.value
        return self.score.value - self.score.value / change if self.column.lower_is_better else change


@dataclass(frozen=True)
class Table:
    """All scores of a workspace, and the name of the reference of their changes."""

    cells: tuple[Cell, ...]
    against: str = ALONE

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """Return the rows, sorted by language (as in languages.toml), base model, method and source."""
        return tuple(sorted({cell.row for cell in self.cells}, key=_sort_key))

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Return the columns: tasks in their usual order, then perplexities."""
        order = [*TASKS, PPPL]
        return tuple(
            sorted({cell.column for cell in self.cells}, key=lambda column: (order.index(column.task), column))
        )

    @cached_property
    def by_place(self) -> Mapping[tuple[Row, Column], Cell]:
        """Return the cells by row and column."""
        return {(cell.row, cell.column): cell for cell in self.cells}

    def of(self, language: str) -> "Table":
        """Return the part of the table for one language."""
        return replace(self, cells=tuple(cell for cell in self.cells if cell.row.language == language))


def variant_of(name: str, row: Row) -> str:
    """Return the variant in an adapter name LANGUAGE_SOURCE_METHOD_VARIANT; the whole name if the language differs."""
    if not name.startswith(f"{row.language}_".replace("-", "_")):
        return name
    method = row.method.partition(FROM)[0].rpartition(WITH)[2].removesuffix(OF_TASK)
    prefix = f"{row.language}_{row.source}_{method}_".replace("-", "_")
    return name.removeprefix(prefix).replace("_", "-") if name.startswith(prefix) else ""


def own_sets(cells: Sequence[Cell]) -> list[Cell]:
    """Merge the columns of test sets that each belong to a single language, so that they can be averaged."""
    merged = own_columns((cell.row.language, cell.column) for cell in cells)
    return [
        replace(cell, column=cell.column._replace(data=OWN), data=cell.column.data) if cell.column in merged else cell
        for cell in cells
    ]


def own_columns(scored: Iterable[tuple[str, Column]]) -> set[Column]:
    """Return the columns that are merged, given each language with the columns that it has scores in.

    Sentiment, for example, has a different test set in each language. A test set that several languages share keeps its
    own column, and so do the test sets of a language that has several.
    """
    columns_by_metric: dict[tuple[str, str], dict[Column, set[str]]] = {}
    for language, column in scored:
        if not column.lower_is_better:
            columns = columns_by_metric.setdefault((column.task, column.metric), {})
            columns.setdefault(column, set()).add(language)
    merged: set[Column] = set()
    for columns in columns_by_metric.values():
        sets_per_language = Counter(language for languages in columns.values() for language in languages)
        sets_per_name = Counter(column.data.partition(", at most ")[0] for column in columns)
        single_language = {
            column
            for column, languages in columns.items()
            if len(languages) == 1
            and all(sets_per_language[language] == 1 for language in languages)
            and sets_per_name[column.data.partition(", at most ")[0]] == 1
        }
        merged |= single_language if len(single_language) > 1 else set()
    return merged


def corrected(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Correct the p-values of all comparisons of a report as one family (Holm)."""
    p_values = iter(holm([cell.against.p for cell in cells if cell.against]))
    return tuple(
        replace(cell, against=replace(cell.against, p_corrected=next(p_values))) if cell.against else cell
        for cell in cells
    )


def _sort_key(row: Row) -> tuple[Any, ...]:
    codes = [language.code for language in languages()]
    language = codes.index(row.language) if row.language in codes else len(codes)
    method = _METHODS.index(row.method) if row.method in _METHODS else len(_METHODS)
    return language, row.language, row.base, method, row.method, row.source or "", row.variant
