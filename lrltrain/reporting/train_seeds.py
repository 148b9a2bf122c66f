"""Adapters that differ only in their training seed, which are joined into one row."""

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import product
from typing import TypeVar

from lrldata.output import note
from lrltrain.reporting.tables import Row

_SEED = re.compile(r"(?:(.+)[-_])?seed[-_](\d+)")  # the variants that `lrltrain fit --seed 1,2,3` makes
T = TypeVar("T")


def seed_of(row: Row) -> tuple[Row, int | None]:
    """Return a row without the training seed in its variant, and that seed; None if the variant names none."""
    name, _, conditions = row.variant.partition(" ")
    match = _SEED.fullmatch(name)
    if match is None:
        return row, None
    return row._replace(variant=f"{match[1] or ''} {conditions}".strip()), int(match[2])


def joined(
    what: str,
    entries: Sequence[T],
    place: Callable[[T], tuple[Row, Hashable]],
    join: Callable[[Row, list[T]], T],
) -> list[T]:
    """Join entries that differ only in their training seed, in the place of the first.

    An entry with the only seed of its language is also joined, to be averaged, if another language has several. If
    there are several sets of entries for one row and column, only the largest is joined.

    `place` returns the row of an entry, and what else it must share with the entries it is joined with. `join`
    combines a list of entries into one in the given row. An adapter whose variant names no seed, and that would share
    the row of joined ones, gets a row of its own, and a note is printed; `what` names the entries in it, such as
    `perplexities`.
    """
    places = [place(entry) for entry in entries]
    numbers_by_key: dict[tuple[Row, Hashable], list[int]] = {}
    for number, (row, shared) in enumerate(places):
        base_row, seed = seed_of(row)
        if seed is not None:
            numbers_by_key.setdefault((base_row, shared), []).append(number)
    several = {row._replace(language="") for (row, _), numbers in numbers_by_key.items() if len(numbers) > 1}
    largest: dict[Hashable, tuple[Row, Hashable]] = {}
    for row, shared in sorted(numbers_by_key, key=lambda key: -len(numbers_by_key[key])):
        if row._replace(language="") in several:
            largest.setdefault((row, column_of(shared)), (row, shared))
    numbers_by_key = {key: numbers_by_key[key] for key in largest.values()}
    dropped = {number for numbers in numbers_by_key.values() for number in numbers[1:]}
    rows = {numbers[0]: (row, numbers) for (row, _), numbers in numbers_by_key.items()}
    joined_rows = {(row, column_of(shared)) for row, shared in numbers_by_key}
    unseeded = [number for number, (row, shared) in enumerate(places) if (row, column_of(shared)) in joined_rows]
    rows |= {number: (_renamed(places[number][0]), [number]) for number in unseeded}
    if unseeded:
        note(f"{len(unseeded):,} {what} are of an adapter whose name has no seed: see the rows `one seed`.")
    return [
        join(rows[number][0], [entries[member] for member in rows[number][1]]) if number in rows else entry
        for number, entry in enumerate(entries)
        if number not in dropped
    ]


def matched(ours: Iterable[int], theirs: Iterable[int], *, single: bool) -> list[tuple[int, int]]:
    """Return pairs of seeds: the shared ones, or if there are none, each with each.

    If `single`, a lone seed is paired with each, too.
    """
    our_seeds, their_seeds = sorted(set(ours)), sorted(set(theirs))
    shared = [seed for seed in our_seeds if seed in their_seeds]
    if not shared or (single and 1 in (len(our_seeds), len(their_seeds))):
        return list(product(our_seeds, their_seeds))
    return [(seed, seed) for seed in shared]


def column_of(rest: Hashable) -> Hashable:
    """Return the column, which is the first part of what joined entries share."""
    return rest[0] if isinstance(rest, tuple) else rest


def _renamed(row: Row) -> Row:
    return row._replace(variant=f"one seed {row.variant}".strip())
