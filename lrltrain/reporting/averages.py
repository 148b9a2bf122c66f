"""Averages over groups of languages: all, by Joshi class, by script, by whether the base model has seen them. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, geometric_mean

import numpy as np

from lrldata.errors import LanguageError
from lrldata.language import find
from lrltrain.evaluation.statistics import ALPHA, Floats, Interval, holm, mirrored, sign_flips, times_for
from lrltrain.reporting.sizes import CORPORA, corpus_of, size_of
from lrltrain.reporting.tables import Cell, Column, Row, Table

ALL = "all languages"
FEWEST = 2  # languages that make an average


@dataclass(frozen=True)
class Average:
    """A method on a task, averaged over a group of languages.

    F1 and its change are means, perplexities and their ratio geometric means. The intervals are over seeds and the
    items of all test sets, which are drawn independently; of perplexities there is none. `change` is over `compared`
    languages, the score over `languages`. `p` is of these languages' changes, by flips of their signs: whether another
    language can be expected to change in the same direction; `p_corrected` is among all averages of the group (Holm).
    """

    group: str
    base: str
    method: str
    source: str | None
    column: Column
    languages: tuple[str, ...]
    score: Interval | float
    compared: int
    change: Interval | float | None
    gains: int
    losses: int
    p: float | None = None
    p_corrected: float | None = None

    @property
    def is_clear(self) -> bool:
        """Return whether the change is more than chance over languages."""
        return self.p_corrected is not None and self.p_corrected < ALPHA

    @property
    def is_gain(self) -> bool:
        """Return whether the change is for the better."""
        change = self.change.value if isinstance(self.change, Interval) else self.change
        lower = self.column.lower_is_better
        return change is not None and (change < 1 if lower else change > 0)


def averages(table: Table) -> list[Average]:
    """Return the averages of all methods over all groups, in the order of the table."""
    made = []
    for base in dict.fromkeys(row.base for row in table.rows):
        cells = [cell for cell in table.cells if cell.row.base == base and not cell.row.variant]
        held = dict.fromkeys(row.language for row in table.rows if row.base == base)
        for group, members in groups(base, list(held)):
            ways = dict.fromkeys(row._replace(language="") for row in table.rows if row.base == base)
            for column in table.columns:
                for way in ways:
                    several = [cell for cell in cells if cell.column == column and _fits(cell, way, members)]
                    if len(several) >= FEWEST:
                        made.append(_average(group, way, column, several))
    return _corrected(made)


def _corrected(made: Sequence[Average]) -> list[Average]:
    corrected: dict[int, float] = {}
    for group in dict.fromkeys((each.base, each.group) for each in made):
        places = [place for place, each in enumerate(made) if (each.base, each.group) == group and each.p is not None]
        corrected |= zip(places, holm([float(made[place].p or 0) for place in places]), strict=True)
    return [replace(each, p_corrected=corrected.get(place)) for place, each in enumerate(made)]


def groups(base: str, languages: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the groups that have two of these languages or more, by name; not those that all languages are in."""
    yield ALL, tuple(languages)
    named: dict[str, list[str]] = {}
    for code in languages:
        for name in _names(base, code):
            named.setdefault(name, []).append(code)
    for name in sorted(named):
        if FEWEST <= len(named[name]) < len(languages):
            yield name, tuple(named[name])


def _names(base: str, code: str) -> Iterator[str]:
    try:
        language = find(code)
    except LanguageError:
        return
    if language.paper:
        yield f"Joshi class {language.paper.joshi_class}"
    if language.scripts:
        yield f"script {language.scripts[0]}"
    corpus, size = corpus_of(base), size_of(base, code)
    if corpus and size is not None:
        yield f"{'in' if size else 'not in'} the base model's {CORPORA[corpus]}"


def _fits(cell: Cell, way: Row, members: Sequence[str]) -> bool:
    return cell.row._replace(language="") == way and cell.row.language in members


def _average(group: str, way: Row, column: Column, cells: Sequence[Cell]) -> Average:
    compared = [cell.against for cell in cells if cell.against]
    changes = [each.change.value for each in compared]
    score: Interval | float
    change: Interval | float | None = None
    if column.lower_is_better:
        score = geometric_mean(cell.score.value for cell in cells)
        change = geometric_mean(changes) if changes else None
    else:
        score = _mean([cell.score.value for cell in cells], [cell.drawn for cell in cells], least=0.0)
        change = _mean(changes, [each.drawn for each in compared]) if changes else None
    ratios = np.log(changes) if column.lower_is_better else np.array(changes)
    return Average(
        group,
        way.base,
        way.method,
        way.source,
        column,
        tuple(cell.row.language for cell in cells),
        score,
        len(compared),
        change,
        sum(cell.verdict == "gain" for cell in cells),
        sum(cell.verdict == "loss" for cell in cells),
        sign_flips(ratios, times_for(1), seed=0) if len(changes) >= FEWEST else None,
    )


def _mean(values: Sequence[float], drawn: Sequence[Floats | None], least: float = -1.0) -> Interval:
    return mirrored(fmean(values), np.mean([each for each in drawn if each is not None], axis=0), least)
