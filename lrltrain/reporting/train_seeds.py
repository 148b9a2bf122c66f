"""Adapters that differ in the seed that they were trained with: one method, measured several times. Pure."""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from lrltrain.reporting.tables import Row

_SEED = re.compile(r"(?:(.+)-)?seed-(\d+)")  # the variant that `lrltrain fit --seed 1,2,3` gives to each
T = TypeVar("T")


def seed_of(row: Row) -> tuple[Row, int | None]:
    """Return a row without the seed that its adapter was trained with, and that seed; None where none is named."""
    name, _, conditions = row.variant.partition(" ")
    found = _SEED.fullmatch(name)
    if found is None:
        return row, None
    return row._replace(variant=f"{found[1] or ''} {conditions}".strip()), int(found[2])


def joined(found: Sequence[T], place: Callable[[T], tuple[Row, object]], join: Callable[[Row, list[T]], T]) -> list[T]:
    """Put together what differs in the seed of training alone, in the place of the first; two or more are joined.

    `place` tells where something is in the table, and `join` makes one of several, in the given row.
    """
    places = [place(each) for each in found]
    several: dict[tuple[Row, object], list[int]] = {}
    for number, (row, rest) in enumerate(places):
        without, seed = seed_of(row)
        if seed is not None:
            several.setdefault((without, rest), []).append(number)
    taken = set(places)
    made, gone = {}, set()
    for (row, rest), numbers in several.items():
        if len(numbers) > 1:  # beside an adapter of the usual seed, they keep a name of their own
            own = row._replace(variant=f"{row.variant} seeds".strip()) if (row, rest) in taken else row
            made[numbers[0]] = join(own, [found[number] for number in numbers])
            gone |= set(numbers)
    return [made.get(number, each) for number, each in enumerate(found) if number in made or number not in gone]
