"""Groups of task runs that differ only in seeds, and tests of the differences between them."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import polars as pl
from xxhash import xxh3_64_intdigest

from lrltrain.evaluation import statistics
from lrltrain.evaluation.record import Run
from lrltrain.evaluation.significance import randomizations
from lrltrain.evaluation.statistics import Counts
from lrltrain.reporting.tables import Column, Row
from lrltrain.reporting.train_seeds import matched


@dataclass(frozen=True, eq=False)
class Group:
    """The runs of one method on one test set that differ only in seeds: the task's, and the adapter's.

    Groups are compared, and hashed, by identity.
    """

    row: Row
    column: Column
    runs: tuple[Run, ...]
    labels: tuple[str, ...]
    adapters: tuple[int, ...] = ()  # the training seed of each run's adapter, if there are several

    @cached_property
    def index_of(self) -> dict[tuple[int, int], int]:
        """Return the index of each run by the seeds of its adapter (0 if there is only one) and its task."""
        adapters = self.adapters or (0,) * len(self.runs)
        return {pair: index for index, pair in enumerate(zip(adapters, self.seeds, strict=True))}

    @cached_property
    def gold(self) -> pl.Series:
        """Return the gold label of each item."""
        return self.runs[0].predictions["gold"]

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Return the seeds of the task, in the order of the runs."""
        return tuple(run.seed for run in self.runs)

    @cached_property
    def counts(self) -> Counts:
        """Count the predictions of each seed, (items, seeds, classes, 3), with the same classes for all methods."""
        predicted = [run.predictions["predicted"].to_list() for run in self.runs]
        if self.column.task == "ner":
            return statistics.span_counts(self.gold.to_list(), predicted)
        return statistics.label_counts(self.gold.to_list(), predicted, self.labels)


def paired_runs(group: Group, base: Group) -> tuple[list[int], list[int]]:
    """Return the indexes of the runs of both groups that are compared: those with the same seeds.

    A single adapter is compared with each of several, and so is a single run of another base model. Without any shared
    seed, each run is compared with each.
    """
    adapters = matched(*([adapter for adapter, _ in side.index_of] for side in (group, base)), single=True)
    seeds = matched(group.seeds, base.seeds, single=group.row.base != base.row.base)
    pairs = [
        ((adapter, seed), (base_adapter, base_seed)) for adapter, base_adapter in adapters for seed, base_seed in seeds
    ]
    pairs_of_indexes = [
        (group.index_of[key], base.index_of[base_key])
        for key, base_key in pairs
        if key in group.index_of and base_key in base.index_of
    ]
    all_pairs = product(range(len(group.runs)), range(len(base.runs)))
    own_indexes, base_indexes = zip(*pairs_of_indexes or all_pairs, strict=True)
    return list(own_indexes), list(base_indexes)


def p_of_groups(pairs: Sequence[tuple[Group, Group | None]], times: int) -> dict[Group, float]:
    """Return the p of each group against the one that it is compared with.

    The comparisons on a test set are made together, as they have the same exchanges.
    """
    by_set: dict[Hashable, list[tuple[Group, Group]]] = {}
    for group, base in pairs:
        if base is not None:
            by_set.setdefault((seed_of_set(group), len(group.counts)), []).append((group, base))
    ps: dict[Group, float] = {}
    for members in by_set.values():
        sides = []
        for group, base in members:
            indexes, paired = paired_runs(group, base)
            sides.append((group.counts[:, indexes], base.counts[:, paired]))
        p_values = randomizations(sides, times, seed_of_set(members[0][0]))
        ps |= zip((group for group, _ in members), p_values, strict=True)
    return ps


def seed_of_set(group: Group) -> int:
    """Return the random seed of a test set: all methods share it, so they are compared on the same resamples."""
    return xxh3_64_intdigest("\0".join((group.row.language, *group.column)).encode())
