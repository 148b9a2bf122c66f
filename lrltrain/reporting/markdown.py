"""The results as Markdown. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence

from lrldata.card import visible
from lrltrain.reporting import formatting
from lrltrain.reporting.averages import Average
from lrltrain.reporting.costs import HEADS, Cost
from lrltrain.reporting.formatting import column_name, method_name
from lrltrain.reporting.links import Link
from lrltrain.reporting.tables import Cell, Table

_READING = (
    "F1 in per cent, the mean over seeds ± its standard deviation (of adapters trained with several seeds, that of the "
    "means of each); perplexities as they are, lower is better. The interval (95 %) is over seeds and the items of the "
    "test set, by the bootstrap. A change is against {against}: points of F1, or the ratio of perplexities. † marks a "
    "change that is more than chance: p < 0.05 in a paired randomisation test over items, corrected for all "
    "comparisons of this report (Holm), and an interval of the change, over seeds and items, that excludes 0 (of a "
    "ratio, 1)."
)
READING_AVERAGES = (
    "Means over languages, of perplexities geometric ones. The intervals are over seeds and the items of all test "
    "sets; p is of the languages' changes, by flips of their signs, corrected for all averages of the group (Holm): "
    "with fewer than six languages it cannot be below 0.05. † marks p < 0.05. Gains and losses count the languages "
    "whose own change is more than chance."
)
READING_COSTS = (
    "What one adapter took in the mean: parameters that were trained, tokens that were read with repetitions, and time "
    "over all processes; of adapters that were trained as a group, each has its share of the time."
)
_SPECIAL = re.compile(r"[\\`*_{}\[\]<>|~$&#]")


def reading(table: Table) -> str:
    """Return how a table is to be read."""
    return _READING.format(against=table.against)


def as_markdown(table: Table, averaged: Sequence[Average], links: Sequence[Link], took: Sequence[Cost] = ()) -> str:
    """Return the tables of all languages, of averages, of what goes together with what, and of what adapters took."""
    parts = ["# Results", reading(table), "## Scores", _markdown(_heads(table), _rows(table), 3)]
    if averaged:
        rows = [[_escaped(text) for text in _average(each)] for each in averaged]
        parts += ["## Averages", READING_AVERAGES, _markdown([*AVERAGE], rows, 4)]
    if links:
        heads = ["of", "with", "points", "Spearman", "p", "Pearson", "p"]
        rows = [[_escaped(link.of), _escaped(link.to), *link.numbers()] for link in links]
        parts += ["## What goes together", _markdown(heads, rows, 2)]
    if took:
        told = [[_escaped(each.base), _escaped(f"{each.method}, {each.source}"), *each.numbers()] for each in took]
        parts += ["## Adapters", READING_COSTS, _markdown(HEADS, told, 2)]
    return "\n\n".join(parts) + "\n"


AVERAGE = ("group", "base model", "method", "task", "languages", "score", "change", "p", "gains", "losses")


def _average(each: Average) -> list[str]:
    score = formatting.number(formatting.point_estimate(each.score), each.column)
    if not isinstance(each.score, float):
        score += f" ({formatting.ends(each.score, each.column)})"
    p = formatting.p_value(each.p_corrected) if each.p_corrected is not None else ""
    counts = [
        formatting.languages_of(each),
        score,
        formatting.average_change(each),
        p,
        str(each.gains),
        str(each.losses),
    ]
    return [each.group, each.base, method_name(each), column_name(each.column), *counts]


def _heads(table: Table) -> list[str]:
    return ["language", "base model", "method", *(_escaped(column_name(column)) for column in table.columns)]


def _rows(table: Table) -> Iterator[list[str]]:
    for row in table.rows:
        cells = (table.by_place.get((row, column)) for column in table.columns)
        told = [_told(cell) if cell else "" for cell in cells]
        yield [*map(_escaped, (row.language, row.base, method_name(row))), *told]


def _told(cell: Cell) -> str:
    change = formatting.change(cell)
    return f"{formatting.score(cell)} ({formatting.ends(cell.score, cell.column)})" + (
        f" **{change}**" if change else ""
    )


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]], texts: int) -> str:
    rules = ["---" if place < texts else "---:" for place in range(len(heads))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rules, *rows))


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", " ".join(visible(text).split()))
