"""Whether two quantities go together: Pearson's and Spearman's coefficients, with p by permutation. Pure.

The permutation test assumes no distribution, which for some ten languages nobody could check.
"""

from dataclasses import dataclass
from itertools import permutations
from math import factorial

import numpy as np
from numpy.typing import NDArray

FEWEST = 3  # points, below which a coefficient says nothing
_EXACT = 7  # up to so many points every permutation is tried: 5,040
_TIMES = 9_999
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """Coefficients of `points` pairs with their two-sided p."""

    points: int
    pearson: float
    pearson_p: float
    spearman: float
    spearman_p: float


def correlate(x: Floats, y: Floats, seed: int = 0) -> Correlation | None:
    """Correlate pairs (points,), (points,); None where there are too few, or one side is the same everywhere."""
    if len(x) < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    pearson, pearson_p = _test(x, y, seed)
    spearman, spearman_p = _test(ranks(x), ranks(y), seed)
    return Correlation(len(x), pearson, pearson_p, spearman, spearman_p)


def ranks(values: Floats) -> Floats:
    """Return ranks from 1; those that are equal share the mean of theirs."""
    _, place, many = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(many)
    shared: Floats = ((last - many + 1 + last) / 2)[place]
    return shared


def _test(x: Floats, y: Floats, seed: int) -> tuple[float, float]:
    """Return Pearson's coefficient and the share of the orders of `y` in which it is as far from 0."""
    x, y = (each - each.mean() for each in (x, y))
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    seen = float(np.clip(x @ y, -1, 1))
    points = len(x)
    if points <= _EXACT:
        orders = np.array(list(permutations(range(points))))
        extra, whole = 0, factorial(points)
    else:
        draw = np.random.default_rng(seed)
        orders = draw.permuted(np.tile(np.arange(points), (_TIMES, 1)), axis=1)
        extra, whole = 1, _TIMES + 1
    as_far = int((np.abs(y[orders] @ x) >= abs(seen) - 1e-12).sum())
    return seen, (extra + as_far) / whole
