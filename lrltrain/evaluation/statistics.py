"""Statistics of scores: means over seeds and intervals over items. Pure.

F1 scores are computed from sums of counts over items, so that resampling the items is a single matrix product.
Randomness is seeded: the same counts give the same numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
ALPHA = 0.05  # a difference is significant if its corrected p is below this
ENOUGH = 1_000  # exchanges at least as extreme as the observation; p is then known to a few per cent of its value
_NORMAL = 1.959964  # quantile for 95 %
# Quantiles of Student's t for 95 % by degrees of freedom; in between, their logarithm is nearly linear in 1 / df. SciPy
# has them, but cards are also made on machines without SciPy.
_STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 8: 2.306, 15: 2.131, 30: 2.042, np.inf: _NORMAL}
_AT_ONCE = 4_000_000  # weights held in memory at once: 16 MB

Floats = NDArray[np.float64]
Spans = set[tuple[str, int, int]]  # entities: type, first word, last word + 1
Counts = NDArray[np.float32]
"""(items, seeds, classes, 3): true positives, predicted and gold. Sums are exact below 2**24."""


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its 95 % confidence interval."""

    value: float
    low: float
    high: float


def percentiles(
    value: float, resamples: Floats, least: float = -np.inf, most: float = np.inf, wider: float = 1.0
) -> Interval:
    """Return a value with the percentile interval of its resamples, (resamples,).

    Efron 1979. Both ends are moved away from the value by the factor `wider`, and are kept within `least` and `most`.
    """
    tail = (1 - LEVEL) / 2
    low, high = (value + wider * (end - value) for end in np.quantile(resamples, [tail, 1 - tail]))
    return Interval(value, float(max(least, low)), float(min(most, high)))


def mirrored(value: float, resamples: Floats, least: float = -1.0, most: float = 1.0) -> Interval:
    """Return an average with the basic bootstrap interval: the percentiles of the resamples, mirrored at the value.

    Davison and Hinkley 1997, 5.2. On average, the F1 of a resample is lower than that of all items. A percentile
    interval has this bias in addition to that of the value itself; averaged over languages, the bias exceeds the width
    of the interval. For a single test set it does not, and a mirrored interval would point the wrong way where F1 is
    skewed, that is, near 0 or 1 on few items. Both ends are kept within `least` and `most`.
    """
    interval = percentiles(value, resamples)
    return Interval(value, max(least, 2 * value - interval.high), min(most, 2 * value - interval.low))


def widening(resamples: Floats, *by_seed: Floats) -> float:
    """Return the factor by which an interval from few seeds is too narrow: Student's t over the normal quantile.

    The degrees of freedom are those of Welch and Satterthwaite, for the seeds of each method within the variance of
    `resamples`.
    """
    variances = [(scores.var(ddof=1) / len(scores), len(scores) - 1) for scores in by_seed if len(scores) > 1]
    squares = sum(variance**2 / freedom for variance, freedom in variances)
    return _student(float(resamples.var() ** 2 / squares)) / _NORMAL if squares else 1.0


def margin(by_seed: Floats) -> float:
    """Return the half-width of the interval of a mean over seeds, from the seeds only (Student's t)."""
    return _student(len(by_seed) - 1) * float(by_seed.std(ddof=1)) / len(by_seed) ** 0.5


def _student(freedom: float) -> float:
    freedoms = sorted(_STUDENT, reverse=True)
    quantiles = [float(np.log(_STUDENT[degrees])) for degrees in freedoms]
    return float(np.exp(np.interp(1 / max(1.0, freedom), [1 / degrees for degrees in freedoms], quantiles)))


def with_seeds(resamples: Floats, by_seed: Floats, seed: int) -> Floats:
    """Add the random variation of seeds, as estimated from `by_seed` (seeds,), to resamples of items, (resamples,).

    Seeds are drawn for each resample too. A few seeds differ less from each other than from seeds not tried, so their
    deviations are scaled by the root of n / (n - 1). The interaction of seeds and items is counted twice (Owen 2007),
    so the interval is too wide rather than too narrow.
    """
    count = len(by_seed)
    if count == 1:
        return resamples
    deviations = (by_seed - by_seed.mean()) * np.sqrt(count / (count - 1))
    drawn_seeds = np.random.default_rng(seed).integers(0, count, (len(resamples), count))
    widened: Floats = resamples + deviations[drawn_seeds].mean(-1)
    return widened


def is_clear(change: Interval, p: float, same: float = 0.0) -> bool:
    """Return whether a change is more than chance: by the corrected p over items, and also by its interval over seeds.

    `same` is the value of no change: 0 for a difference, 1 for a ratio.
    """
    return p < ALPHA and not change.low <= same <= change.high


def deviation(values: Sequence[float]) -> float | None:
    """Return the standard deviation over seeds (n - 1 in the denominator); None for a single one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def label_counts(gold: Sequence[str], predicted: Sequence[Sequence[str | None]], labels: Sequence[str]) -> Counts:
    """Count labels: `gold` (items,) and `predicted` (seeds, items), where null is wrong and of no class."""
    index_of = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(gold), len(predicted), len(labels), 3), np.float32)
    rows = np.arange(len(gold))
    expected = np.array([index_of[label] for label in gold], np.int64)
    for seed, labels_of_seed in enumerate(predicted):
        guessed = np.array([-1 if label is None else index_of[label] for label in labels_of_seed], np.int64)
        counts[rows, seed, expected, 2] = 1
        counts[rows[guessed >= 0], seed, guessed[guessed >= 0], 1] = 1
        counts[rows[guessed == expected], seed, expected[guessed == expected], 0] = 1
    return counts


def span_counts(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[Sequence[str | None] | None]]) -> Counts:
    """Count entities in tags (items, words) and (seeds, items, words); a right one has the same ends and type."""
    counts = np.zeros((len(gold), len(predicted), 1, 3), np.float32)
    sizes = [len(spans(tags)) for tags in gold]
    for seed, tags_of_seed in enumerate(predicted):
        for item, tags in enumerate(tags_of_seed):
            if tags == gold[item]:  # of most items, which are right
                counts[item, seed, 0] = sizes[item]
                continue
            expected, guessed = paired_spans(gold[item], tags)
            counts[item, seed, 0] = len(expected & guessed), len(guessed), len(expected)
    return counts


def paired_spans(gold: Sequence[str], predicted: Sequence[str | None] | None) -> tuple[Spans, Spans]:
    """Return the entities in gold and predicted tags of an item, without the words whose predicted tag is None.

    These words have no token, so no tag could be predicted. No prediction at all counts as O for every word.
    """
    if not predicted:
        return spans(gold), set()
    tagged = [(tag, guess) for tag, guess in zip(gold, predicted, strict=False) if guess is not None]
    return spans([tag for tag, _ in tagged]), spans([guess for _, guess in tagged])


def spans(tags: Sequence[str]) -> Spans:
    """Return the entities of IOB tags as (type, first, last + 1), read as by conlleval and seqeval.

    I begins an entity if none of its type is open.
    """
    entities: Spans = set()
    kind, first = "", 0
    for position, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        name = name or "_"
        continues = prefix == "I" and kind == name
        if kind and not continues:
            entities.add((kind, first, position))
            kind = ""
        if prefix in ("B", "I") and not continues:
            kind, first = name, position
    return entities


def f1(sums: NDArray[np.floating]) -> Floats:
    """Return F1 from sums (..., classes, 3), averaged over the classes that occur in gold or predictions: (...).

    With one class, this is micro-F1 as in seqeval; with several, macro-F1 as in scikit-learn. It is 0 if there are
    none.
    """
    correct, predicted, gold = np.moveaxis(sums.astype(np.float64), -1, 0)
    total = predicted + gold
    per_class = np.divide(2 * correct, total, out=np.zeros_like(total), where=total > 0)
    mean: Floats = per_class.sum(-1) / np.maximum((total > 0).sum(-1), 1)
    return mean


def by_seed(counts: Counts) -> Floats:
    """Return the F1 of each seed, (seeds,)."""
    return f1(counts.sum(0))


def bootstrap(counts: Counts, resamples: int, seed: int) -> Floats:
    """Return F1, averaged over seeds, of resamples of the items, each with its predictions of all seeds: (resamples,).

    Efron 1979. The same seed draws the same items, so two methods on one test set can be compared by resample.
    """
    items = len(counts)
    if resamples * items <= _AT_ONCE:
        return f1(_weighted(_drawn_once(resamples, items, seed), counts)).mean(-1)
    generator = np.random.default_rng(seed)
    means = [f1(_weighted(_drawn(generator, count, items), counts)).mean(-1) for count in chunks(resamples, items)]
    return np.concatenate(means)


@lru_cache(maxsize=2)
def _drawn_once(resamples: int, items: int, seed: int) -> NDArray[np.float32]:
    """Return how often each item is in each resample; the next method on the same test set has the same ones."""
    generator = np.random.default_rng(seed)
    return np.concatenate([_drawn(generator, count, items) for count in chunks(resamples, items)])


def _drawn(generator: np.random.Generator, count: int, items: int) -> NDArray[np.float32]:
    rows = generator.integers(0, items, (count, items)) + items * np.arange(count)[:, None]
    return np.bincount(rows.ravel(), minlength=count * items).reshape(count, items).astype(np.float32)


def _weighted(weights: NDArray[np.float32], counts: Counts) -> NDArray[np.float64]:
    """Return sums of counts weighted by item: (resamples, items) and (items, ...) give (resamples, ...)."""
    flat = counts.reshape(len(counts), -1)
    return (weights @ flat).reshape(len(weights), *counts.shape[1:]).astype(np.float64)


def chunks(total: int, items: int) -> Iterator[int]:
    """Yield the sizes of parts of resamples or exchanges of so many items that fit in memory at once."""
    size = max(1, min(2 * ENOUGH, _AT_ONCE // max(1, items)))
    for start in range(0, total, size):
        yield min(size, total - start)
