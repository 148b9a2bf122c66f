"""Adapters that differ in the seed that they were trained with: one method, measured several times."""

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from lrldata.output import note
from lrltrain.reporting.tables import Row

_SEED = re.compile(r"(?:(.+)[-_])?seed[-_](\d+)")  # the variant that `lrltrain fit --seed 1,2,3` gives to each
T = TypeVar("T")


def seed_of(row: Row) -> tuple[Row, int | None]:
    """Return a row without the seed that its adapter was trained with, and that seed; None where none is named."""
    name, _, conditions = row.variant.partition(" ")
    found = _SEED.fullmatch(name)
    if found is None:
        return row, None
    return row._replace(variant=f"{found[1] or ''} {conditions}".strip()), int(found[2])


def joined(
    what: str,
    found: Sequence[T],
    place: Callable[[T], tuple[Row, Hashable]],
    join: Callable[[Row, list[T]], T],
) -> list[T]:
    """Put together what differs in the seed of training alone, in the place of the first; two or more are joined.

    `place` tells where something is in the table, and what else it has in common with what it may be joined with;
    `join` makes one of several, or of one, in the given row. An adapter of the usual seed beside those joined has a row
    of its own, of which a note tells; `what` says what it is of, as `perplexities`.
    """
    places = [place(each) for each in found]
    several: dict[tuple[Row, Hashable], list[int]] = {}
    for number, (row, rest) in enumerate(places):
        without, seed = seed_of(row)
        if seed is not None:
            several.setdefault((without, rest), []).append(number)
    several = {key: numbers for key, numbers in several.items() if len(numbers) > 1}
    gone = {number for numbers in several.values() for number in numbers[1:]}
    rows = {numbers[0]: (row, numbers) for (row, _), numbers in several.items()}
    beside = {(row, column_of(rest)) for row, rest in several}
    lone = [number for number, (row, rest) in enumerate(places) if (row, column_of(rest)) in beside]
    rows |= {number: (_renamed(places[number][0]), [number]) for number in lone}
    if lone:
        note(f"note: {len(lone):,} {what} are of one more adapter beside those of several seeds: rows `one seed`.")
    return [
        join(rows[number][0], [found[each] for each in rows[number][1]]) if number in rows else each
        for number, each in enumerate(found)
        if number not in gone
    ]


def matched(ours: Iterable[int], theirs: Iterable[int], *, single: bool) -> list[tuple[int, int]]:
    """Match seeds: those that both have, or else as many of each as the fewer has; if `single`, one with each."""
    mine, its = sorted(set(ours)), sorted(set(theirs))
    if single and 1 in (len(mine), len(its)):
        return [(one, other) for one in mine for other in its]
    shared = [seed for seed in mine if seed in its]
    return list(zip(shared or mine, shared or its, strict=False))


def column_of(rest: Hashable) -> Hashable:
    """Return the column of what things to be joined have in common, which comes first."""
    return rest[0] if isinstance(rest, tuple) else rest


def _renamed(row: Row) -> Row:
    return row._replace(variant=f"one seed {row.variant}".strip())
