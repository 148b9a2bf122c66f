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
    "F1 is in per cent, as the mean over seeds ± its standard deviation (for adapters trained with several seeds, the "
    "deviation of their means); for perplexities, lower is better. The 95 % bootstrap interval is over seeds and the "
    "items of the test set. Changes are relative to {against}: points of F1, or the ratio of perplexities. † marks a "
    "change that is more than chance: p < 0.05 in a paired randomization test over items, corrected for all "
    "comparisons of this report (Holm), and an interval of the change, over seeds and items, that excludes 0 (or 1 for "
    "a ratio)."
)
READING_AVERAGES = (
    "Means over languages; for perplexities, geometric means. The intervals are over seeds and the items of all test "
    "sets. p is from a sign-flip test over the languages' changes, corrected for all averages of the group (Holm): "
    "with fewer than six languages it cannot be below 0.05. † marks p < 0.05. Gains and losses count the languages "
    "whose own change is more than chance."
)
READING_COSTS = (
    "The mean cost of one adapter: trained parameters, tokens read (with repetitions), and time summed over all "
    "processes. Adapters that were trained as a group each have their share of the time."
)
_SPECIAL = re.compile(r"[\\`*_{}\[\]<>|~$&#]")


def reading(table: Table) -> str:
    """Return the explanation of a table of scores."""
    return _READING.format(against=table.against)


def as_markdown(
    table: Table, averaged: Sequence[Average], links: Sequence[Link], training_costs: Sequence[Cost] = ()
) -> str:
    """Return the tables of scores, averages, correlations and training costs."""
    parts = ["# Results", reading(table), "## Scores", _table(_heads(table), _rows(table), 3)]
    if averaged:
        rows = [[_escape(text) for text in _average_texts(average)] for average in averaged]
        parts += ["## Averages", READING_AVERAGES, _table([*AVERAGE], rows, 4)]
    if links:
        heads = ["quantity", "correlated with", "languages", "Spearman", "p", "Pearson", "p"]
        rows = [[_escape(link.of), _escape(link.to), *link.numbers()] for link in links]
        parts += ["## Correlations", _table(heads, rows, 2)]
    if training_costs:
        cost_rows = [
            [_escape(cost.base), _escape(f"{cost.method}, {cost.source}"), *cost.numbers()] for cost in training_costs
        ]
        parts += ["## Adapters", READING_COSTS, _table(HEADS, cost_rows, 2)]
    return "\n\n".join(parts) + "\n"


AVERAGE = ("group", "base model", "method", "task", "languages", "score", "change", "p", "gains", "losses")


def _average_texts(average: Average) -> list[str]:
    score = formatting.number(formatting.point_estimate(average.score), average.column)
    if not isinstance(average.score, float):
        score += f" ({formatting.ends(average.score, average.column)})"
    p = formatting.p_value(average.p_corrected) if average.p_corrected is not None else ""
    counts = [
        formatting.languages_of(average),
        score,
        formatting.average_change(average),
        p,
        str(average.gains),
        str(average.losses),
    ]
    return [average.group, average.base, method_name(average), column_name(average.column), *counts]


def _heads(table: Table) -> list[str]:
    return ["language", "base model", "method", *(_escape(column_name(column)) for column in table.columns)]


def _rows(table: Table) -> Iterator[list[str]]:
    for row in table.rows:
        cells = (table.by_place.get((row, column)) for column in table.columns)
        texts = [_cell_text(cell) if cell else "" for cell in cells]
        yield [*map(_escape, (row.language, row.base, method_name(row))), *texts]


def _cell_text(cell: Cell) -> str:
    change = formatting.change(cell)
    return f"{formatting.score(cell)} ({formatting.ends(cell.score, cell.column)})" + (
        f" **{change}**" if change else ""
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], texts: int) -> str:
    rules = ["---" if place < texts else "---:" for place in range(len(heads))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rules, *rows))


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", " ".join(visible(text).split()))
