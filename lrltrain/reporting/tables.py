"""Scores as a table: a row per language, base model, method and source, a column per task and its data. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

from lrldata.language import languages
from lrltrain.evaluation import statistics
from lrltrain.evaluation.record import OF_TASK, TASKS
from lrltrain.evaluation.statistics import Floats, Interval, is_clear

NONE = "none"  # the method without a language adapter, with which the others are compared
WITH = "+"  # in the method of a prompted model with an adapter, as prompt-0+lora
ALONE = "the same base model without a language adapter (none)"
PPPL = "pppl"
OWN = "each language's own"  # in place of a test set's name
RESAMPLES = 1_000
_METHODS = (NONE, "seq_bn", "seq_bn_inv", "lora", "full", "fusion", f"fusion{OF_TASK}")


class Row(NamedTuple):
    """What was tested. `variant` is the adapter's, or tells apart what is else the same: names, conditions."""

    language: str
    base: str
    method: str
    source: str | None
    variant: str = ""


class Column(NamedTuple):
    """What it was tested on, and by what it is measured: F1 of 0 to 1, or perplexities, of which less is better."""

    task: str
    data: str
    metric: str

    @property
    def lower_is_better(self) -> bool:
        """Return whether less is better."""
        return self.task == PPPL


@dataclass(frozen=True)
class Comparison:
    """A comparison on the same items: with the base model without an adapter, or what else the report names.

    `change` is a difference of F1, or the ratio of two perplexities; `drawn` what resamples gave of it.
    """

    change: Interval
    p: float
    p_corrected: float = 1.0
    drawn: Floats | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Cell:
    """A score: mean and standard deviation over seeds, with the interval over seeds and the items of the test set.

    `seeds` counts all runs. Of adapters from several seeds of training, `train_seeds`, the deviation is of the means of
    each. `data` is the name of the test set, where that of the column stands for those of several languages. `runs` has
    the value of each: seed of training, if there are several, seed of the task, and F1 or perplexity. `manifests` are
    those of the runs of a task.
    """

    row: Row
    column: Column
    seeds: int
    items: int
    score: Interval
    sd: float | None = None
    against: Comparison | None = None
    drawn: Floats | None = field(default=None, compare=False, repr=False)
    train_seeds: int = 1
    data: str = ""
    runs: tuple[tuple[int | None, int | None, float], ...] = ()
    manifests: tuple[Mapping[str, Any], ...] = field(default=(), compare=False, repr=False)

    @property
    def verdict(self) -> Literal["gain", "loss", ""]:
        """Return whether it is better or worse by more than chance, among all comparisons of the report."""
        same = 1.0 if self.column.lower_is_better else 0.0
        if self.against is None or not is_clear(self.against.change, self.against.p_corrected, same):
            return ""
        up = self.against.change.value > same
        return "gain" if up != self.column.lower_is_better else "loss"

    @property
    def delta(self) -> float | None:
        """Return how much higher it is than what it is compared with, in the unit of the score."""
        if self.against is None:
            return None
        change = self.against.change.value
        return self.score.value - self.score.value / change if self.column.lower_is_better else change


@dataclass(frozen=True)
class Table:
    """All scores of a workspace, in their order, and what their changes are against."""

    cells: tuple[Cell, ...]
    against: str = ALONE

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """Return the rows: languages as in languages.toml, then base models, methods and sources."""
        return tuple(sorted({cell.row for cell in self.cells}, key=_order))

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Return the columns: tasks in their order, perplexities last."""
        order = [*TASKS, PPPL]
        return tuple(sorted({cell.column for cell in self.cells}, key=lambda each: (order.index(each.task), each)))

    @cached_property
    def by_place(self) -> Mapping[tuple[Row, Column], Cell]:
        """Return the cells by row and column."""
        return {(cell.row, cell.column): cell for cell in self.cells}

    def of(self, language: str) -> "Table":
        """Return what is of one language."""
        return replace(self, cells=tuple(cell for cell in self.cells if cell.row.language == language))


def variant_of(name: str, row: Row) -> str:
    """Return the variant in an adapter's name, LANGUAGE_SOURCE_METHOD_VARIANT; the name itself in another language."""
    if not name.startswith(f"{row.language}_".replace("-", "_")):
        return name
    method = row.method.rpartition(WITH)[2].removesuffix(OF_TASK)
    begin = f"{row.language}_{row.source}_{method}_".replace("-", "_")
    return name.removeprefix(begin).replace("_", "-") if name.startswith(begin) else ""


def own_sets(cells: Sequence[Cell]) -> list[Cell]:
    """Put test sets of a task that are of one language each into one column, which has an average then.

    Sentiment is measured on another set in each language. A set that languages share stays a column of its own, and so
    do the sets of a language that has several.
    """
    kinds: dict[tuple[str, str], dict[Column, set[str]]] = {}
    for cell in cells:
        if not cell.column.lower_is_better:
            columns = kinds.setdefault((cell.column.task, cell.column.metric), {})
            columns.setdefault(cell.column, set()).add(cell.row.language)
    apart: set[Column] = set()
    for columns in kinds.values():
        tested = Counter(language for several in columns.values() for language in several)
        named = Counter(column.data.partition(", at most ")[0] for column in columns)
        own = {
            column
            for column, several in columns.items()
            if len(several) == 1
            and all(tested[language] == 1 for language in several)
            and named[column.data.partition(", at most ")[0]] == 1
        }
        apart |= own if len(own) > 1 else set()
    return [
        replace(cell, column=cell.column._replace(data=OWN), data=cell.column.data) if cell.column in apart else cell
        for cell in cells
    ]


def corrected(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Correct the p of all comparisons of a report, as one family (Holm)."""
    ps = iter(statistics.holm([cell.against.p for cell in cells if cell.against]))
    return tuple(
        replace(cell, against=replace(cell.against, p_corrected=next(ps))) if cell.against else cell for cell in cells
    )


def _order(row: Row) -> tuple[Any, ...]:
    codes = [language.code for language in languages()]
    language = codes.index(row.language) if row.language in codes else len(codes)
    method = _METHODS.index(row.method) if row.method in _METHODS else len(_METHODS)
    return language, row.language, row.base, method, row.method, row.source or "", row.variant
