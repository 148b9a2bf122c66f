"""Averages over groups of languages: all, by Joshi class, by script, by presence in the pre-training data. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, geometric_mean

import numpy as np

from lrldata.errors import LanguageError
from lrldata.language import find
from lrltrain.evaluation.significance import exchanges_for, holm, sign_flips
from lrltrain.evaluation.statistics import ALPHA, Floats, Interval, mirrored
from lrltrain.reporting.sizes import CORPORA, corpus_of, size_of
from lrltrain.reporting.tables import Cell, Column, Row, Table

ALL = "all languages"
FEWEST = 2  # the smallest number of languages in an average


@dataclass(frozen=True)
class Average:
    """A method on a task, averaged over a group of languages.

    F1 and its change are arithmetic means; perplexities and their ratio are geometric means. The confidence intervals
    are over seeds and the items of all test sets, which are resampled independently; averages of perplexities have
    none. `score` averages over `languages`, `change` over the `compared` ones. `p` is from a sign-flip test over the
    changes of these languages: whether another language can be expected to change in the same direction. `p_corrected`
    is corrected for all averages of the group (Holm).
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
        """Return whether the change is significant over languages."""
        return self.p_corrected is not None and self.p_corrected < ALPHA

    @property
    def is_gain(self) -> bool:
        """Return whether the change is an improvement."""
        change = self.change.value if isinstance(self.change, Interval) else self.change
        lower = self.column.lower_is_better
        return change is not None and (change < 1 if lower else change > 0)


def averages(table: Table) -> list[Average]:
    """Return the averages of all methods over all groups, in table order."""
    results = []
    for base in dict.fromkeys(row.base for row in table.rows):
        cells = [cell for cell in table.cells if cell.row.base == base and not cell.row.variant]
        languages = dict.fromkeys(row.language for row in table.rows if row.base == base)
        for group, members in groups(base, list(languages)):
            methods = dict.fromkeys(row._replace(language="") for row in table.rows if row.base == base)
            for column in table.columns:
                for method in methods:
                    matching = [cell for cell in cells if cell.column == column and _fits(cell, method, members)]
                    if len(matching) >= FEWEST:
                        results.append(_average(group, method, column, matching))
    return _corrected(results)


def _corrected(results: Sequence[Average]) -> list[Average]:
    corrected: dict[int, float] = {}
    for group in dict.fromkeys((average.base, average.group) for average in results):
        places = [
            place
            for place, average in enumerate(results)
            if (average.base, average.group) == group and average.p is not None
        ]
        corrected |= zip(places, holm([float(results[place].p or 0) for place in places]), strict=True)
    return [replace(average, p_corrected=corrected.get(place)) for place, average in enumerate(results)]


def groups(base: str, languages: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield all languages, then, sorted by name, each group with at least two of these languages but not all."""
    yield ALL, tuple(languages)
    members: dict[str, list[str]] = {}
    for code in languages:
        for name in _groups_of(base, code):
            members.setdefault(name, []).append(code)
    for name in sorted(members):
        if FEWEST <= len(members[name]) < len(languages):
            yield name, tuple(members[name])


def _groups_of(base: str, code: str) -> Iterator[str]:
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


def _fits(cell: Cell, method: Row, members: Sequence[str]) -> bool:
    return cell.row._replace(language="") == method and cell.row.language in members


def _average(group: str, method: Row, column: Column, cells: Sequence[Cell]) -> Average:
    comparisons = [cell.against for cell in cells if cell.against]
    changes = [comparison.change.value for comparison in comparisons]
    score: Interval | float
    change: Interval | float | None = None
    if column.lower_is_better:
        score = geometric_mean(cell.score.value for cell in cells)
        change = geometric_mean(changes) if changes else None
    else:
        score = _mean([cell.score.value for cell in cells], [cell.resampled for cell in cells], least=0.0)
        change = _mean(changes, [comparison.resampled for comparison in comparisons]) if changes else None
    ratios = np.log(changes) if column.lower_is_better else np.array(changes)
    return Average(
        group,
        method.base,
        method.method,
        method.source,
        column,
        tuple(cell.row.language for cell in cells),
        score,
        len(comparisons),
        change,
        sum(cell.verdict == "gain" for cell in cells),
        sum(cell.verdict == "loss" for cell in cells),
        sign_flips(ratios, exchanges_for(1), seed=0) if len(changes) >= FEWEST else None,
    )


def _mean(values: Sequence[float], resamples: Sequence[Floats | None], least: float = -1.0) -> Interval:
    return mirrored(fmean(values), np.mean([draws for draws in resamples if draws is not None], axis=0), least)
