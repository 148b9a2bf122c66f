"""Task runs as cells of the table: scored, and compared with the base model without an adapter. IO."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from xxhash import xxh3_64_intdigest

from lrldata.errors import StorageError
from lrldata.manifest import damaged, fingerprint
from lrldata.output import note
from lrltrain.evaluation import statistics
from lrltrain.evaluation.record import NOT_NEEDED, TASKS, Run
from lrltrain.evaluation.statistics import Counts, Floats
from lrltrain.reporting.conditions import ScoreOrigin, conditions_of, learned_from, names_of_conditions
from lrltrain.reporting.current import SHOWN, current_runs, made_at, note_contents, note_replaced, note_unusual
from lrltrain.reporting.data_names import Key, content_of, key_of, names_of
from lrltrain.reporting.reference import BASE_MODEL, Reference
from lrltrain.reporting.tables import OWN, Cell, Column, Comparison, Row, own_columns, variant_of
from lrltrain.reporting.task_groups import Group, p_of_groups, paired_runs, seed_of_set
from lrltrain.reporting.train_seeds import joined, seed_of

_RUN_AGAIN = "Run the task again with --overwrite."


def read_tasks(
    workspace: Path, resamples: int, times: int, *, together: bool = False, against: Reference = BASE_MODEL
) -> list[Cell]:
    """Return the scores of all task runs of a workspace, with uncorrected p-values. Raises StorageError.

    With `together`, adapters that differ only in their training seed share one cell.
    """
    runs, replaced = current_runs(workspace)
    note_replaced("task runs", replaced)
    groups = _groups(runs, together=together)
    if together:
        groups = joined("task scores", groups, _join_key, _join)
    by_set: dict[Hashable, list[Group]] = {}
    for group in groups:
        by_set.setdefault((group.row.language, group.column), []).append(group)
    candidates = {group: _candidates(group, by_set[group.row.language, group.column], against) for group in groups}
    pairs = [(group, _reference_for(group, candidates[group], against)) for group in groups]
    _note_uncompared([group for group, base in pairs if base is None and candidates[group]], against)
    _note_fewer_seeds(
        [group for group, base in pairs if base and len({*paired_runs(group, base)[0]}) < len(group.runs)]
    )
    in_sets = [group for members in by_set.values() for group in members]  # those of a set share their resamples
    resampled = {group: _resample(group, group.counts, resamples) for group in in_sets}
    ps = p_of_groups(pairs, times)
    return [_cell(group, base, resampled, resamples, ps) for group, base in pairs]


def _groups(runs: Iterable[Run], *, together: bool) -> list[Group]:
    """Group runs that differ only in their seed, and give groups that would share a place distinct variants.

    With `together`, test sets that each belong to a single language will share a column.
    """
    folders: dict[Path, list[Run]] = {}
    for run in runs:
        _check(run)
        folders.setdefault(run.folder.parent, []).append(run)
    firsts = {folder: runs_of_folder[0] for folder, runs_of_folder in folders.items()}
    names: dict[Row, set[str]] = {}
    for folder, run in firsts.items():
        names.setdefault(_row(run), set()).add(folder.parent.name)
    data_names = names_of(_data_key(run) for run in firsts.values())
    note_contents(data_names)
    rows_and_columns = []
    for folder, run in firsts.items():
        row, name = _row(run), folder.parent.name
        row = row._replace(variant=name if len(names[row]) > 1 else row.variant)
        rows_and_columns.append((row, Column(run.task, data_names[_data_key(run)], TASKS[run.task])))
    merged = own_columns((row.language, column) for row, column in rows_and_columns) if together else set()
    positions = [(row, column._replace(data=OWN) if column in merged else column) for row, column in rows_and_columns]
    scores = [
        ScoreOrigin(*position, run.manifest, len(folders[folder]), made_at(run.folder))
        for position, (folder, run) in zip(positions, firsts.items(), strict=True)
    ]
    groups = []
    condition_names = names_of_conditions(scores)
    note_unusual("scores", condition_names)
    for (row, column), runs_of_folder, condition in zip(
        rows_and_columns, folders.values(), condition_names, strict=True
    ):
        row = row._replace(variant=f"{row.variant} {condition}".strip())  # noqa: PLW2901
        groups.append(_group(row, column, sorted(runs_of_folder, key=lambda run: run.seed)))
    return _with_labels(groups)


def _check(run: Run) -> None:
    for fault in damaged(run.folder, run.manifest, NOT_NEEDED):
        raise StorageError(f"{run.folder}: {fault}.", _RUN_AGAIN)
    table = run.predictions
    if not {"item", "gold", "predicted"} <= set(table.columns) or table.is_empty() or table["gold"].null_count():
        raise StorageError(f"{run.folder}: its predictions are not in the format that a run writes.", _RUN_AGAIN)


def _data_key(run: Run) -> Key:
    limit = run.manifest["settings"].get("limit")  # of prompts; for trained tasks it is in the data
    return key_of(run.language, run.task, run.manifest["data"], limit)


def _row(run: Run) -> Row:
    row, adapter = Row(run.language, run.base, run.method, run.source), run.manifest["adapter"]
    return row._replace(variant=variant_of(str(adapter["name"]), row)) if adapter else row


def _group(row: Row, column: Column, runs: Sequence[Run]) -> Group:
    first = runs[0].predictions
    for run in runs[1:]:
        if not run.predictions["gold"].equals(first["gold"]):
            raise StorageError(
                f"{run.folder}: was tested on other items than seed {runs[0].seed} in the same folder.", _RUN_AGAIN
            )
    return Group(row, column, tuple(runs), ())


def _join_key(group: Group) -> tuple[Row, Hashable]:
    """Return the row of a group, and what else it must share with the groups it is joined with."""
    manifest = group.runs[0].manifest
    conditions = fingerprint([conditions_of(manifest), learned_from(manifest)])
    return group.row, (group.column, content_of(manifest["data"]), conditions)


def _join(row: Row, groups: list[Group]) -> Group:
    """Join groups of several training seeds, over the task seeds that all have, so that each counts equally."""
    if len(groups) == 1:
        return replace(groups[0], row=row)
    shared = set.intersection(*(set(group.seeds) for group in groups))
    seeded_runs = ((seed_of(group.row)[1] or 0, run) for group in groups for run in group.runs)
    kept = [(seed, run) for seed, run in seeded_runs if run.seed in shared or not shared]
    return replace(groups[0], row=row, runs=tuple(run for _, run in kept), adapters=tuple(seed for seed, _ in kept))


def _with_labels(groups: Sequence[Group]) -> list[Group]:
    """Give all methods on a test set the same classes: all gold labels, and all labels that any method predicted."""
    labels: dict[tuple[str, Column], set[str]] = {}
    for group in groups:
        if group.column.task != "ner":
            known_labels = labels.setdefault((group.row.language, group.column), set())
            for run in group.runs:
                known_labels.update(*(run.predictions[name].drop_nulls().unique() for name in ("gold", "predicted")))
    return [
        replace(group, labels=tuple(sorted(labels.get((group.row.language, group.column), ())))) for group in groups
    ]


def _candidates(group: Group, groups: Sequence[Group], against: Reference) -> list[Group]:
    """Return the groups that a group may be compared with: on the same items, under any conditions."""
    return [
        base
        for base in groups
        if base.column == group.column and against.fits(group.row, base.row) and base.gold.equals(group.gold)
    ]


def _reference_for(group: Group, candidates: Sequence[Group], against: Reference) -> Group | None:
    """Return the group that a group is compared with, under the same conditions unless the base model differs.

    Its libraries may differ only if no candidate has the same ones.
    """
    manifest = group.runs[0].manifest
    comparable = [
        base for base in candidates if base.row.base != group.row.base or _are_alike(base.runs[0].manifest, manifest)
    ]
    same_libraries = [base for base in comparable if base.runs[0].manifest["made_with"] == manifest["made_with"]]
    return against.choose(group.row, same_libraries or comparable, lambda base: base.row, lambda base: len(base.seeds))


def _are_alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two scores have the same conditions; of prompts, the number of examples may differ."""
    are_prompts = all(str(manifest["method"]).startswith("prompt-") for manifest in (one, other))
    first, second = (
        {key: value for key, value in conditions_of(manifest).items() if not (are_prompts and key == "shots")}
        for manifest in (one, other)
    )
    return first == second and (are_prompts or learned_from(one) == learned_from(other))


def _note_uncompared(groups: Sequence[Group], against: Reference) -> None:
    """Note how many scores are not compared, although the reference exists."""
    if groups:
        examples = [f"{group.row.language} {group.row.method} {group.column.task}" for group in groups[:SHOWN]]
        or_ambiguous = "" if against == BASE_MODEL else " or is ambiguous"
        note(
            f"{len(groups):,} scores are not compared, because `{against.name}` was measured under other "
            f"conditions{or_ambiguous}: "
            f"{', '.join(examples)}{', ...' if len(groups) > SHOWN else ''}."
        )


def _note_fewer_seeds(groups: Sequence[Group]) -> None:
    """Note the scores whose change is computed from some of their runs."""
    if groups:
        examples = [f"{group.row.language} {group.row.method} {group.column.task}" for group in groups[:SHOWN]]
        more = f", and {len(groups) - SHOWN:,} more" if len(groups) > SHOWN else ""
        note(f"these changes leave out seeds that their reference lacks: {', '.join(examples)}{more}.")


def _cell(
    group: Group, base: Group | None, resampled: Mapping[Group, Floats], resamples: int, ps: Mapping[Group, float]
) -> Cell:
    by_seed = statistics.by_seed(group.counts).tolist()
    resamples_of_group = resampled[group]
    values_by_seed = _values_by_seed(group, group.counts, range(len(group.runs)))
    wider = statistics.widening(resamples_of_group, values_by_seed)
    score = statistics.percentiles(fmean(by_seed), resamples_of_group, 0.0, 1.0, wider)
    against = _compare(group, base, resampled, resamples, ps) if base else None
    sd = statistics.deviation(values_by_seed.tolist())
    train_seeds = group.adapters or (None,) * len(group.runs)
    return Cell(
        *(group.row, group.column, len(group.runs), len(group.counts), score, sd, against, resamples_of_group),
        train_seeds=len(set(train_seeds)),
        runs=tuple(zip(train_seeds, group.seeds, by_seed, strict=True)),
        manifests=tuple(run.manifest for run in group.runs),
    )


def _values_by_seed(group: Group, counts: Counts, indexes: Sequence[int]) -> Floats:
    """Return F1 by seed: the mean of each adapter if there are several, otherwise F1 by the seed of the task."""
    values = statistics.by_seed(counts)
    if not group.adapters:
        return values
    adapter_of_value = np.array([group.adapters[place] for place in indexes])
    return np.array(
        [values[adapter_of_value == adapter].mean() for adapter in dict.fromkeys(adapter_of_value.tolist())]
    )


def _compare(
    group: Group, base: Group, resampled: Mapping[Group, Floats], resamples: int, ps: Mapping[Group, float]
) -> Comparison:
    """Compare paired runs. A run counts as often as it is paired, but its seed is resampled only once."""
    indexes, paired = paired_runs(group, base)
    counts, base_counts = group.counts[:, indexes], base.counts[:, paired]
    own_indexes, base_indexes = sorted(set(indexes)), sorted(set(paired))
    own_resamples = (
        resampled[group]
        if len(own_indexes) == len(group.runs)
        else _resample(group, group.counts[:, own_indexes], resamples, own_indexes)
    )
    base_resamples = (
        resampled[base]
        if len(base_indexes) == len(base.runs)
        else _resample(base, base.counts[:, base_indexes], resamples, base_indexes)
    )
    value = float(statistics.by_seed(counts).mean() - statistics.by_seed(base_counts).mean())
    differences = own_resamples - base_resamples
    by_seed = ((side, side.counts[:, chosen], chosen) for side, chosen in ((group, own_indexes), (base, base_indexes)))
    wider = statistics.widening(differences, *(_values_by_seed(*arguments) for arguments in by_seed))
    change = statistics.percentiles(value, differences, -1.0, 1.0, wider)
    runs = len(own_indexes) if len(own_indexes) < len(group.runs) else None
    return Comparison(change, ps[group], runs=runs, resampled=differences)


def _resample(group: Group, counts: Counts, resamples: int, indexes: Sequence[int] | None = None) -> Floats:
    """Resample items, identically for all methods on a test set, and the seeds of each method."""
    values_by_seed = _values_by_seed(group, counts, range(len(group.runs)) if indexes is None else indexes)
    items = statistics.bootstrap(counts, resamples, seed_of_set(group))
    method_seed = xxh3_64_intdigest(
        "\0".join((*group.row[:3], str(group.row.source), group.row.variant, *group.column)).encode()
    )
    return statistics.with_seeds(items, values_by_seed, method_seed)
