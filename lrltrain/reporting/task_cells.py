"""Runs of tasks as cells of the table: counted, and compared with the base model without an adapter. IO."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean

import numpy as np
import polars as pl
from xxhash import xxh3_64_intdigest

from lrldata.errors import StorageError
from lrldata.manifest import damaged, fingerprint
from lrldata.output import note
from lrltrain.evaluation import statistics
from lrltrain.evaluation.record import TASKS, Run
from lrltrain.evaluation.statistics import Counts, Floats
from lrltrain.reporting.conditions import Made, conditions_of, names_of_conditions
from lrltrain.reporting.current import SHOWN, current_runs, made_at, note_contents, note_replaced, note_unusual
from lrltrain.reporting.data_names import Key, content_of, key_of, names_of
from lrltrain.reporting.reference import BASE_MODEL, Reference
from lrltrain.reporting.tables import Cell, Column, Comparison, Row, variant_of
from lrltrain.reporting.train_seeds import joined, matched, seed_of

_AGAIN = "Run the task again with --overwrite."


@dataclass(frozen=True)
class Group:
    """The runs of one method on one test set that differ in seeds alone: the task's, and the adapter's."""

    row: Row
    column: Column
    runs: tuple[Run, ...]
    labels: tuple[str, ...]
    adapters: tuple[int, ...] = ()  # of each run, with which of several seeds its adapter was trained

    @cached_property
    def places(self) -> dict[tuple[int, int], int]:
        """Return the place of each run by the seeds of its adapter, 0 where there is one adapter, and of its task."""
        adapters = self.adapters or (0,) * len(self.runs)
        return {pair: place for place, pair in enumerate(zip(adapters, self.seeds, strict=True))}

    @cached_property
    def gold(self) -> pl.Series:
        """Return what is right, by item."""
        return self.runs[0].predictions["gold"]

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Return the seeds of the task, in the order of the runs."""
        return tuple(run.seed for run in self.runs)

    @cached_property
    def counts(self) -> Counts:
        """Count what each seed got right: (items, seeds, classes, 3), with the same classes for all methods."""
        predicted = [run.predictions["predicted"].to_list() for run in self.runs]
        if self.column.task == "ner":
            return statistics.span_counts(self.gold.to_list(), predicted)
        return statistics.label_counts(self.gold.to_list(), predicted, self.labels)


def read_tasks(
    workspace: Path, resamples: int, times: int, *, together: bool = False, against: Reference = BASE_MODEL
) -> list[Cell]:
    """Count the scores of all task runs of a workspace; p is not corrected yet. Raises StorageError.

    With `together`, adapters that differ in the seed of their training alone have one cell.
    """
    runs, replaced = current_runs(workspace)
    note_replaced("runs of tasks", replaced)
    groups = _groups(runs)
    if together:
        groups = joined("scores of tasks", groups, _place, _join)
    fitting = {id(group): _fitting(group, groups, against) for group in groups}
    pairs = [(group, _baseline(group, fitting[id(group)], against)) for group in groups]
    _note_unlike([group for group, base in pairs if base is None and fitting[id(group)]], against)
    drawn = {id(group): _drawn(group, group.counts, resamples) for group in groups}
    return [_cell(group, base, drawn, resamples, times) for group, base in pairs]


def _groups(runs: Iterable[Run]) -> list[Group]:
    """Gather runs by all but their seed, and tell apart what else would share a place in the table."""
    folders: dict[Path, list[Run]] = {}
    for run in runs:
        _check(run)
        folders.setdefault(run.folder.parent, []).append(run)
    firsts = {folder: several[0] for folder, several in folders.items()}
    names: dict[Row, set[str]] = {}
    for folder, run in firsts.items():
        names.setdefault(_row(run), set()).add(folder.parent.name)
    called = names_of(_tested(run) for run in firsts.values())
    note_contents(called)
    places = []
    for folder, run in firsts.items():
        row, name = _row(run), folder.parent.name
        row = row._replace(variant=name if len(names[row]) > 1 else row.variant)
        places.append((row, Column(run.task, called[_tested(run)], TASKS[run.task])))
    made = [
        Made(row, column, run.manifest, len(folders[folder]), made_at(run.folder))
        for (row, column), (folder, run) in zip(places, firsts.items(), strict=True)
    ]
    groups = []
    names_of_others = names_of_conditions(made)
    note_unusual("scores", names_of_others)
    for (row, column), several, named in zip(places, folders.values(), names_of_others, strict=True):
        row = row._replace(variant=f"{row.variant} {named}".strip())  # noqa: PLW2901
        groups.append(_group(row, column, sorted(several, key=lambda run: run.seed)))
    return _labelled(groups)


def _check(run: Run) -> None:
    for fault in damaged(run.folder, run.manifest):
        raise StorageError(f"{run.folder}: {fault}.", _AGAIN)
    table = run.predictions
    if not {"item", "gold", "predicted"} <= set(table.columns) or table.is_empty() or table["gold"].null_count():
        raise StorageError(f"{run.folder}: its predictions are not as a run writes them.", _AGAIN)


def _tested(run: Run) -> Key:
    limit = run.manifest["settings"].get("limit")  # of a prompt; of a task that was trained the data has it
    return key_of(run.language, run.task, run.manifest["data"], limit)


def _row(run: Run) -> Row:
    row, adapter = Row(run.language, run.base, run.method, run.source), run.manifest["adapter"]
    return row._replace(variant=variant_of(str(adapter["name"]), row)) if adapter else row


def _group(row: Row, column: Column, runs: Sequence[Run]) -> Group:
    first = runs[0].predictions
    for run in runs[1:]:
        if not run.predictions["gold"].equals(first["gold"]):
            raise StorageError(f"{run.folder}: was tested on other items than seed {runs[0].seed} beside it.", _AGAIN)
    return Group(row, column, tuple(runs), ())


def _place(group: Group) -> tuple[Row, Hashable]:
    """Return where a group is in the table, and what else those have in common that are joined."""
    manifest = group.runs[0].manifest
    return group.row, (group.column, content_of(manifest["data"]), fingerprint(conditions_of(manifest)))


def _join(row: Row, groups: list[Group]) -> Group:
    """Join what the seeds of training gave, over the seeds of the task that all have, so that each counts alike."""
    if len(groups) == 1:
        return replace(groups[0], row=row)
    shared = set.intersection(*(set(group.seeds) for group in groups))
    every = ((seed_of(group.row)[1] or 0, run) for group in groups for run in group.runs)
    kept = [(seed, run) for seed, run in every if run.seed in shared or not shared]
    return replace(groups[0], row=row, runs=tuple(run for _, run in kept), adapters=tuple(seed for seed, _ in kept))


def _labelled(groups: Sequence[Group]) -> list[Group]:
    """Give all methods on a test set the same classes: those that are right, or that any of them has predicted."""
    labels: dict[tuple[str, Column], set[str]] = {}
    for group in groups:
        if group.column.task != "ner":
            said = labels.setdefault((group.row.language, group.column), set())
            for run in group.runs:
                table = run.predictions
                said.update(*(table[name].drop_nulls().unique() for name in ("gold", "predicted")))
    return [
        replace(group, labels=tuple(sorted(labels.get((group.row.language, group.column), ())))) for group in groups
    ]


def _fitting(group: Group, groups: Sequence[Group], against: Reference) -> list[Group]:
    """Return what a group may be compared with, on the very same items, under whatever conditions."""
    return [
        base
        for base in groups
        if base.column == group.column and against.fits(group.row, base.row) and base.gold.equals(group.gold)
    ]


def _baseline(group: Group, fitting: Sequence[Group], against: Reference) -> Group | None:
    """Return what a group is compared with, under the same conditions; of another model they are its own.

    Libraries may differ, where none has the same.
    """
    mine = group.runs[0].manifest
    same = [
        base
        for base in fitting
        if base.row.base != group.row.base or conditions_of(base.runs[0].manifest) == conditions_of(mine)
    ]
    made_with = [base for base in same if base.runs[0].manifest["made_with"] == mine["made_with"]]
    return against.choose(group.row, made_with or same, lambda base: base.row, lambda base: len(base.seeds))


def _note_unlike(groups: Sequence[Group], against: Reference) -> None:
    """Say how many scores are compared with nothing, though there is something of that name."""
    if groups:
        told = [f"{each.row.language} {each.row.method} {each.column.task}" for each in groups[:SHOWN]]
        several = "" if against == BASE_MODEL else ", or is several"
        note(
            f"note: {len(groups):,} scores are compared with nothing, as `{against.name}` was measured under other "
            f"conditions{several}: "
            f"{', '.join(told)}{', ...' if len(groups) > SHOWN else ''}."
        )


def _cell(group: Group, base: Group | None, drawn: Mapping[int, Floats], resamples: int, times: int) -> Cell:
    by_seed = statistics.by_seed(group.counts).tolist()
    seen, apart = drawn[id(group)], _apart(group, group.counts, range(len(group.runs)))
    score = statistics.mirrored(fmean(by_seed), seen, least=0.0, wider=statistics.widening(seen, apart))
    against = _compare(group, base, drawn, resamples, times) if base else None
    sd = statistics.deviation(apart.tolist())
    trained = group.adapters or (None,) * len(group.runs)
    return Cell(
        *(group.row, group.column, len(group.runs), len(group.counts), score, sd, against, drawn[id(group)]),
        train_seeds=len(set(trained)),
        runs=tuple(zip(trained, group.seeds, by_seed, strict=True)),
        manifests=tuple(run.manifest for run in group.runs),
    )


def _apart(group: Group, counts: Counts, places: Sequence[int]) -> Floats:
    """Return F1 by what seeds make of it: of several adapters the mean of each, else by seed of the task."""
    values = statistics.by_seed(counts)
    if not group.adapters:
        return values
    of = np.array([group.adapters[place] for place in places])
    return np.array([values[of == adapter].mean() for adapter in dict.fromkeys(of.tolist())])


def _compare(group: Group, base: Group, drawn: Mapping[int, Floats], resamples: int, times: int) -> Comparison:
    """Compare the runs that are paired; each is drawn as often as it is there, its seed once."""
    places, paired = _paired(group, base)
    one, other = group.counts[:, places], base.counts[:, paired]
    mine, alone = sorted(set(places)), sorted(set(paired))
    ours = drawn[id(group)] if len(mine) == len(group.runs) else _drawn(group, group.counts[:, mine], resamples, mine)
    theirs = drawn[id(base)] if len(alone) == len(base.runs) else _drawn(base, base.counts[:, alone], resamples, alone)
    value = float(statistics.by_seed(one).mean() - statistics.by_seed(other).mean())
    p = statistics.randomisation(one, other, times, _seed(group))
    apart = ours - theirs
    by_seed = ((each, each.counts[:, chosen], chosen) for each, chosen in ((group, mine), (base, alone)))
    wider = statistics.widening(apart, *(_apart(*each) for each in by_seed))
    return Comparison(statistics.mirrored(value, apart, wider=wider), p, drawn=apart)


def _paired(group: Group, base: Group) -> tuple[list[int], list[int]]:
    """Return the runs of both that are compared, by place: those of the same seeds.

    A single adapter is compared with each of several, and so is a single run of another model.
    """
    adapters = matched(*([adapter for adapter, _ in each.places] for each in (group, base)), single=True)
    seeds = matched(group.seeds, base.seeds, single=group.row.base != base.row.base)
    pairs = [((one, seed), (other, its)) for one, other in adapters for seed, its in seeds]
    held = [
        (group.places[one], base.places[other]) for one, other in pairs if one in group.places and other in base.places
    ]
    ours, theirs = zip(*held or [(0, 0)], strict=True)
    return list(ours), list(theirs)


def _drawn(group: Group, counts: Counts, resamples: int, places: Sequence[int] | None = None) -> Floats:
    """Resample items, the same for all methods on a test set, and seeds, each method's own."""
    apart = _apart(group, counts, range(len(group.runs)) if places is None else places)
    items = statistics.bootstrap(counts, resamples, _seed(group))
    own = xxh3_64_intdigest(
        "\0".join((*group.row[:3], str(group.row.source), group.row.variant, *group.column)).encode()
    )
    return statistics.with_seeds(items, apart, own)


def _seed(group: Group) -> int:
    """Return a seed for one test set: the same for all methods, so that they are compared on the same resamples."""
    return xxh3_64_intdigest("\0".join((group.row.language, *group.column)).encode())
