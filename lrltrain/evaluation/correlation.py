"""Whether two quantities go together: Pearson's and Spearman's coefficients, with p by permutation. Pure.

The permutation test assumes no distribution, which for some ten languages nobody could check.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test, rankdata

FEWEST = 3  # points, below which a coefficient says nothing
_TIMES = 9_999  # up to 7 points have fewer orders; then each is tried
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
    return Correlation(len(x), *_test(x, y, seed), *_test(rankdata(x), rankdata(y), seed))


def _test(x: Floats, y: Floats, seed: int) -> tuple[float, float]:
    """Return Pearson's coefficient and the share of the orders of `y` in which it is as far from 0."""
    x, y = (each - each.mean() for each in (x, y))
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)

    def distance(ordered: Floats, axis: int = -1) -> Floats:
        _ = axis  # the last one
        return np.abs(ordered @ x)

    tested = permutation_test(
        (y,),
        distance,
        permutation_type="pairings",
        vectorized=True,
        alternative="greater",
        n_resamples=_TIMES,
        rng=np.random.default_rng(seed),
    )
    return float(np.clip(x @ y, -1, 1)), float(tested.pvalue)
