"""Correlation of two quantities: Pearson's and Spearman's coefficients, with p-values by permutation. Pure.

A permutation test assumes no distribution, and with about ten languages no such assumption could be checked.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test, rankdata

FEWEST = 3  # points; a coefficient of fewer says nothing
_RESAMPLES = 9_999  # up to 7 points have fewer permutations, and then every one is tried
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """Correlation coefficients of `points` pairs, with two-sided p-values."""

    points: int
    pearson: float
    pearson_p: float
    spearman: float
    spearman_p: float


def correlate(x: Floats, y: Floats, seed: int = 0) -> Correlation | None:
    """Correlate pairs (points,), (points,); return None if there are too few, or if one side is constant."""
    if len(x) < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return Correlation(len(x), *_test(x, y, seed), *_test(rankdata(x), rankdata(y), seed))


def _test(x: Floats, y: Floats, seed: int) -> tuple[float, float]:
    """Return Pearson's coefficient, and the share of permutations of `y` whose coefficient is as far from 0."""
    x, y = (values - values.mean() for values in (x, y))
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)

    def distance(permuted: Floats, axis: int = -1) -> Floats:
        _ = axis  # always the last one
        return np.abs(permuted @ x)

    result = permutation_test(
        (y,),
        distance,
        permutation_type="pairings",
        vectorized=True,
        alternative="greater",
        n_resamples=_RESAMPLES,
        rng=np.random.default_rng(seed),
    )
    return float(np.clip(x @ y, -1, 1)), float(result.pvalue)
