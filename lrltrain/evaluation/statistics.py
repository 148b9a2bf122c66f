"""What can be said of scores: means over seeds, intervals over items, differences that are more than chance. Pure.

All F1 scores are made from sums of counts over items, so that a resample of the items is one product of matrices.
Randomness is seeded: the same counts give the same numbers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
ALPHA = 0.05  # a difference counts where its corrected p is below
ENOUGH = 1_000  # exchanges that are as far apart as what was seen: then p is known to a few per cent of itself
_NORMAL = 1.959964  # of 95 %
# Student's t of 95 % by degrees of freedom; between them its logarithm is nearly linear in 1 / df. SciPy has it, but
# cards are made where that is not installed.
_STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 8: 2.306, 15: 2.131, 30: 2.042, np.inf: _NORMAL}
_AT_ONCE = 4_000_000  # weights that are held at once: 16 MB
_EXACT = 14  # differences whose signs are all tried

Floats = NDArray[np.float64]
Counts = NDArray[np.float32]
"""(items, seeds, classes, 3): true positives, predicted and gold. Sums stay exact below 2**24."""


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its 95 % confidence interval."""

    value: float
    low: float
    high: float


def percentiles(value: float, drawn: Floats) -> Interval:
    """Return a value with the percentile interval of what resamples gave, (resamples,)."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def mirrored(value: float, drawn: Floats, least: float = -1.0, most: float = 1.0, wider: float = 1.0) -> Interval:
    """Return a value with the basic bootstrap interval: the percentiles of resamples, mirrored at the value.

    Davison and Hinkley 1997, 5.2. The F1 of a resample is lower than that of all items in the mean. A percentile
    interval has that error on top of the value's own; in an average over languages it is wider than the interval.
    Both ends are `wider` times as far away.
    """
    across = percentiles(value, drawn)
    low, high = wider * (across.high - value), wider * (value - across.low)
    return Interval(value, max(least, value - low), min(most, value + high))


def widening(drawn: Floats, *by_seed: Floats) -> float:
    """Return by how much an interval of few seeds is too narrow: Student's t over the normal quantile.

    The degrees of freedom are those of Welch and Satterthwaite: of each method's seeds, in the variance of `drawn`.
    """
    of_seeds = [(each.var(ddof=1) / len(each), len(each) - 1) for each in by_seed if len(each) > 1]
    squares = sum(variance**2 / freedom for variance, freedom in of_seeds)
    return _student(float(drawn.var() ** 2 / squares)) / _NORMAL if squares else 1.0


def margin(by_seed: Floats) -> float:
    """Return how far the ends of the interval of a mean over seeds are away, of seeds alone (Student's t)."""
    return _student(len(by_seed) - 1) * float(by_seed.std(ddof=1)) / len(by_seed) ** 0.5


def _student(freedom: float) -> float:
    known = sorted(_STUDENT, reverse=True)
    quantiles = [float(np.log(_STUDENT[each])) for each in known]
    return float(np.exp(np.interp(1 / max(1.0, freedom), [1 / each for each in known], quantiles)))


def with_seeds(drawn: Floats, by_seed: Floats, seed: int) -> Floats:
    """Add the chance of the seeds to resamples of items, (resamples,), as far as `by_seed`, (seeds,), tells of it.

    Of each resample, seeds are drawn too; a few are less far apart among themselves than from those not tried, by
    the root of n / (n - 1). What seeds and items do together is counted twice (Owen 2007), so the interval is not too
    narrow on that account.
    """
    many = len(by_seed)
    if many == 1:
        return drawn
    apart = (by_seed - by_seed.mean()) * np.sqrt(many / (many - 1))
    chosen = np.random.default_rng(seed).integers(0, many, (len(drawn), many))
    added: Floats = drawn + apart[chosen].mean(-1)
    return added


def is_clear(change: Interval, p: float, same: float = 0.0) -> bool:
    """Return whether a change is more than chance: by the corrected p of its items, and by its interval over seeds too.

    `same` is the change where nothing has changed: 0 of a difference, 1 of a ratio.
    """
    return p < ALPHA and not change.low <= same <= change.high


def deviation(values: Sequence[float]) -> float | None:
    """Return the standard deviation over seeds (n - 1 below the line); None for a single one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def label_counts(gold: Sequence[str], predicted: Sequence[Sequence[str | None]], labels: Sequence[str]) -> Counts:
    """Count labels: `gold` (items,) and `predicted` (seeds, items), where null is wrong and of no class."""
    place = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(gold), len(predicted), len(labels), 3), np.float32)
    rows = np.arange(len(gold))
    right = np.array([place[label] for label in gold], np.int64)
    for seed, several in enumerate(predicted):
        said = np.array([-1 if label is None else place[label] for label in several], np.int64)
        counts[rows, seed, right, 2] = 1
        counts[rows[said >= 0], seed, said[said >= 0], 1] = 1
        counts[rows[said == right], seed, right[said == right], 0] = 1
    return counts


def span_counts(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[Sequence[str | None] | None]]) -> Counts:
    """Count named entities: tags (items, tokens) and (seeds, items, tokens). Right is one of the same ends and type."""
    counts = np.zeros((len(gold), len(predicted), 1, 3), np.float32)
    for item, tags in enumerate(gold):
        right = spans(tags)
        for seed, several in enumerate(predicted):
            said = spans(several[item] or ())
            counts[item, seed, 0] = len(right & said), len(said), len(right)
    return counts


def spans(tags: Sequence[str | None]) -> set[tuple[str, int, int]]:
    """Return the entities of IOB tags as (type, first, behind last), read as conlleval and seqeval do.

    I begins an entity where none of its type is open. A tag that is null is O.
    """
    found: set[tuple[str, int, int]] = set()
    kind, first = "", 0
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, name = (tag or "O").partition("-")
        name = name or "_"
        goes_on = prefix == "I" and kind == name
        if kind and not goes_on:
            found.add((kind, first, place))
            kind = ""
        if prefix in ("B", "I") and not goes_on:
            kind, first = name, place
    return found


def f1(sums: NDArray[np.floating]) -> Floats:
    """Return F1 from sums (..., classes, 3), averaged over the classes that are there, in gold or predicted: (...).

    With one class it is micro-F1, as seqeval has it; with several macro-F1, as scikit-learn has it. 0 where nothing is.
    """
    right, predicted, gold = np.moveaxis(sums.astype(np.float64), -1, 0)
    both = predicted + gold
    each = np.divide(2 * right, both, out=np.zeros_like(both), where=both > 0)
    mean: Floats = each.sum(-1) / np.maximum((both > 0).sum(-1), 1)
    return mean


def by_seed(counts: Counts) -> Floats:
    """Return the F1 of each seed, (seeds,)."""
    return f1(counts.sum(0))


def bootstrap(counts: Counts, resamples: int, seed: int) -> Floats:
    """Return F1, averaged over seeds, of resamples of the items with what all seeds predicted of them, (resamples,).

    Efron 1979. The same seed draws the same items, so that two methods on one test set can be compared by resample.
    """
    items = len(counts)
    draw = np.random.default_rng(seed)
    drawn = []
    for many in _chunks(resamples, items):
        chosen = draw.integers(0, items, (many, items)) + items * np.arange(many)[:, None]
        weights = np.bincount(chosen.ravel(), minlength=many * items).reshape(many, items)
        drawn.append(f1(_weighted(weights, counts)).mean(-1))
    return np.concatenate(drawn)


def randomisation(one: Counts, other: Counts, times: int, seed: int) -> float:
    """Return p of the paired approximate randomisation test between two methods on the same items, two-sided.

    Noreen 1989: for each item, what both predicted is exchanged or not, with all seeds together; p is the share of
    exchanges that move F1, averaged over seeds, as far apart as it is, (1 + those) / (1 + `times`). With ENOUGH of
    those it ends early (Besag and Clifford 1991).
    """
    items = len(one)
    draw = np.random.default_rng(seed)
    sums, others = one.sum(0, dtype=np.float64), other.sum(0, dtype=np.float64)
    seen = abs(f1(sums).mean() - f1(others).mean())

    def as_far(many: int) -> int:
        moved = _weighted(_coins(draw, many, items), other - one)
        apart = np.abs(f1(sums + moved).mean(-1) - f1(others - moved).mean(-1))
        return int((apart >= seen - 1e-12).sum())

    return _share(as_far, times, items)


def sign_flips(differences: Floats, times: int, seed: int) -> float:
    """Return p of the same test for a mean of differences (items,): exchanging two values flips a sign.

    Of few items, all signs are tried, and p is exact.
    """
    draw, items = np.random.default_rng(seed), len(differences)
    whole = float(differences.sum())

    def as_far(flipped: NDArray[np.integer]) -> int:
        moved = whole - 2.0 * (flipped.astype(np.float64) @ differences)  # one array as large as the coins, and no more
        return int((np.abs(moved) >= abs(whole) * (1 - 1e-12)).sum())

    if items <= _EXACT:
        return as_far(np.arange(2**items)[:, None] >> np.arange(items) & 1) / 2**items
    return _share(lambda many: as_far(_coins(draw, many, items)), times, items)


def _share(as_far: Callable[[int], int], times: int, items: int) -> float:
    """Return the share of exchanges that are as far apart, given how many of so many are."""
    found = done = 0
    for many in _chunks(times, items):
        found, done = found + as_far(many), done + many
        if found >= ENOUGH:
            break
    return (1 + found) / (1 + done)


def holm(ps: Sequence[float]) -> list[float]:
    """Return the p of many comparisons, corrected so that among all of them one false gain has the chance ALPHA.

    Holm 1979: the smallest is multiplied by their number, the next by one less, and none is below one before it.
    """
    corrected = [0.0] * len(ps)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, ps[place] * (len(ps) - rank)))
        corrected[place] = highest
    return corrected


def times_for(comparisons: int) -> int:
    """Return how many exchanges are needed, so that a clear difference can stay below ALPHA after the correction."""
    return max(9_999, round(2 * comparisons / ALPHA) - 1)


def _weighted(weights: NDArray[np.integer], counts: Counts) -> NDArray[np.float64]:
    """Return sums of counts with each item weighted: (resamples, items) and (items, ...) give (resamples, ...)."""
    flat = counts.reshape(len(counts), -1)
    return (weights.astype(np.float32) @ flat).reshape(len(weights), *counts.shape[1:]).astype(np.float64)


def _coins(draw: np.random.Generator, many: int, items: int) -> NDArray[np.uint8]:
    """Toss coins: (many, items) of 0 and 1."""
    return np.unpackbits(draw.integers(0, 256, (many, -(-items // 8)), np.uint8), axis=1, count=items)


def _chunks(whole: int, items: int) -> Iterator[int]:
    most = max(1, min(2 * ENOUGH, _AT_ONCE // max(1, items)))
    for start in range(0, whole, most):
        yield min(most, whole - start)
