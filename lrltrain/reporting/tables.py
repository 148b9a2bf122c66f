"""Runs as a table: a row per language, base model, method and source, a column per task and its data. IO."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import polars as pl
from xxhash import xxh3_64_intdigest

from lrldata.errors import StorageError
from lrldata.language import languages
from lrldata.manifest import damaged
from lrltrain.evaluation import statistics
from lrltrain.evaluation.record import TASKS, Run, runs_in
from lrltrain.evaluation.statistics import ALPHA, Counts, Floats, Interval
from lrltrain.reporting.data_names import Key, key_of, names_of

NONE = "none"  # the method without a language adapter, with which the others are compared
PPPL = "pppl"
RESAMPLES = 1_000
_METHODS = (NONE, "seq_bn", "seq_bn_inv", "lora", "full", "fusion")
_AGAIN = "Run the task again with --overwrite."


class Row(NamedTuple):
    """What was tested. `variant` is the adapter's, or tells apart what is else the same: names, settings."""

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
    """A comparison with the same base model, language and task without an adapter.

    `change` is a difference of F1, or the ratio of two perplexities; `drawn` what resamples gave of it.
    """

    change: Interval
    p: float
    p_corrected: float = 1.0
    drawn: Floats | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Cell:
    """A score: mean and standard deviation over seeds, with the interval over the items of the test set."""

    row: Row
    column: Column
    seeds: int
    items: int
    score: Interval
    sd: float | None = None
    against: Comparison | None = None
    drawn: Floats | None = field(default=None, compare=False, repr=False)

    @property
    def verdict(self) -> Literal["gain", "loss", ""]:
        """Return whether it is better or worse than `none` by more than chance, among all comparisons of the report."""
        if self.against is None or self.against.p_corrected >= ALPHA:
            return ""
        up = self.against.change.value > (1 if self.column.lower_is_better else 0)
        return "gain" if up != self.column.lower_is_better else "loss"

    @property
    def delta(self) -> float | None:
        """Return how much higher it is than without an adapter, in the unit of the score."""
        if self.against is None:
            return None
        change = self.against.change.value
        return self.score.value - self.score.value / change if self.column.lower_is_better else change


@dataclass(frozen=True)
class Table:
    """All scores of a workspace, in their order."""

    cells: tuple[Cell, ...]

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
        return Table(tuple(cell for cell in self.cells if cell.row.language == language))


@dataclass(frozen=True)
class Group:
    """The runs of one method on one test set that differ in their seed alone."""

    row: Row
    column: Column
    runs: tuple[Run, ...]
    labels: tuple[str, ...]

    @cached_property
    def gold(self) -> pl.Series:
        """Return what is right, by item."""
        return self.runs[0].predictions["gold"]

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Return the seeds, in the order of the runs."""
        return tuple(run.seed for run in self.runs)

    @cached_property
    def counts(self) -> Counts:
        """Count what each seed got right: (items, seeds, classes, 3), with the same classes for all methods."""
        predicted = [run.predictions["predicted"].to_list() for run in self.runs]
        if self.column.task == "ner":
            return statistics.span_counts(self.gold.to_list(), predicted)
        return statistics.label_counts(self.gold.to_list(), predicted, self.labels)


def read_tasks(workspace: Path, resamples: int, times: int) -> list[Cell]:
    """Count the scores of all task runs of a workspace; p is not corrected yet. Raises StorageError."""
    groups = _groups(runs_in(workspace))
    bases = [group for group in groups if group.row.method == NONE]
    pairs = [(group, _baseline(group, bases)) for group in groups]
    drawn = {id(group): statistics.bootstrap(group.counts, resamples, _seed(group)) for group in groups}
    return [_cell(group, base, drawn, resamples, times) for group, base in pairs]


def variant_of(name: str, row: Row) -> str:
    """Return the variant in an adapter's name, LANGUAGE_SOURCE_METHOD_VARIANT; none where it is no such name."""
    begin = f"{row.language}_{row.source}_{row.method}_".replace("-", "_")
    return name.removeprefix(begin).replace("_", "-") if name.startswith(begin) else ""


def corrected(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Correct the p of all comparisons of a report, as one family (Holm)."""
    ps = iter(statistics.holm([cell.against.p for cell in cells if cell.against]))
    return tuple(
        replace(cell, against=replace(cell.against, p_corrected=next(ps))) if cell.against else cell for cell in cells
    )


def _groups(runs: Iterable[Run]) -> list[Group]:
    """Gather runs by all but their seed, and tell apart what else would share a place in the table."""
    folders: dict[Path, list[Run]] = {}
    for run in runs:
        _check(run)
        folders.setdefault(run.folder.parent, []).append(run)
    names: dict[Row, set[str]] = {}
    for folder, several in folders.items():
        names.setdefault(_row(several[0], folder), set()).add(folder.parent.name)
    called = names_of(_tested(several[0]) for several in folders.values())
    taken: dict[tuple[Row, Column], int] = {}
    groups = []
    for folder, several in folders.items():
        row, name = _row(several[0], folder), folder.parent.name
        column = Column(several[0].task, called[_tested(several[0])], TASKS[several[0].task])
        variant = name if len(names[row]) > 1 else row.variant
        row = row._replace(variant=variant)
        taken[row, column] = taken.get((row, column), 0) + 1
        if taken[row, column] > 1:
            row = row._replace(variant=f"{variant} settings {taken[row, column]}".strip())
        groups.append(_group(row, column, sorted(several, key=lambda run: run.seed)))
    return _labelled(groups)


def _check(run: Run) -> None:
    for fault in damaged(run.folder, run.manifest):
        raise StorageError(f"{run.folder}: {fault}.", _AGAIN)
    table = run.predictions
    if not {"item", "gold", "predicted"} <= set(table.columns) or table.is_empty() or table["gold"].null_count():
        raise StorageError(f"{run.folder}: its predictions are not as a run writes them.", _AGAIN)


def _tested(run: Run) -> Key:
    return key_of(run.language, run.task, run.manifest["data"])


def _row(run: Run, folder: Path) -> Row:
    row = Row(run.language, run.base, run.method, run.source)
    return row._replace(variant=variant_of(folder.parent.name, row))


def _group(row: Row, column: Column, runs: Sequence[Run]) -> Group:
    first = runs[0].predictions
    for run in runs[1:]:
        if not run.predictions["gold"].equals(first["gold"]):
            raise StorageError(f"{run.folder}: was tested on other items than seed {runs[0].seed} beside it.", _AGAIN)
    return Group(row, column, tuple(runs), ())


def _labelled(groups: Sequence[Group]) -> list[Group]:
    """Give all methods on a test set the same classes: those that are right, or that any of them has predicted."""
    labels: dict[tuple[str, Column], set[str]] = {}
    for group in groups:
        if group.column.task != "ner":
            said = labels.setdefault((group.row.language, group.column), set())
            for run in group.runs:
                said.update(*(run.predictions[name].drop_nulls().unique() for name in ("gold", "predicted")))
    return [
        replace(group, labels=tuple(sorted(labels.get((group.row.language, group.column), ())))) for group in groups
    ]


def _baseline(group: Group, bases: Sequence[Group]) -> Group | None:
    """Return what a group is compared with, on the very same items; that of the same settings, if there are several."""
    if group.row.method == NONE:
        return None
    fitting = [
        base
        for base in bases
        if (base.row.language, base.row.base, base.column) == (group.row.language, group.row.base, group.column)
        and base.gold.equals(group.gold)
    ]
    same = [base for base in fitting if _settings(base) == _settings(group)]
    return next(iter([*same, *fitting]), None)


def _settings(group: Group) -> dict[str, Any]:
    return {key: value for key, value in group.runs[0].manifest["settings"].items() if key != "seed"}


def _cell(group: Group, base: Group | None, drawn: Mapping[int, Floats], resamples: int, times: int) -> Cell:
    by_seed = statistics.by_seed(group.counts).tolist()
    score = statistics.percentiles(sum(by_seed) / len(by_seed), drawn[id(group)])
    against = _compare(group, base, drawn, resamples, times) if base else None
    sd = statistics.deviation(by_seed)
    return Cell(group.row, group.column, len(by_seed), len(group.counts), score, sd, against, drawn[id(group)])


def _compare(group: Group, base: Group, drawn: Mapping[int, Floats], resamples: int, times: int) -> Comparison:
    """Compare over the seeds that both have; where they have none in common, over as many of each as the fewer has."""
    shared = [seed for seed in group.seeds if seed in base.seeds]
    few = min(len(group.seeds), len(base.seeds))
    sides = []
    for each in (group, base):
        places = [each.seeds.index(seed) for seed in shared or each.seeds[:few]]
        counts = each.counts if len(places) == len(each.seeds) else each.counts[:, places]
        seen = drawn[id(each)] if counts is each.counts else statistics.bootstrap(counts, resamples, _seed(group))
        sides.append((counts, seen))
    (one, ours), (other, theirs) = sides
    value = float(statistics.by_seed(one).mean() - statistics.by_seed(other).mean())
    p = statistics.randomisation(one, other, times, _seed(group))
    return Comparison(statistics.percentiles(value, ours - theirs), p, drawn=ours - theirs)


def _seed(group: Group) -> int:
    """Return a seed for one test set: the same for all methods, so that they are compared on the same resamples."""
    return xxh3_64_intdigest("\0".join((group.row.language, *group.column)).encode())


def _order(row: Row) -> tuple[Any, ...]:
    codes = [language.code for language in languages()]
    language = codes.index(row.language) if row.language in codes else len(codes)
    method = _METHODS.index(row.method) if row.method in _METHODS else len(_METHODS)
    return language, row.language, row.base, method, row.method, row.source or "", row.variant
