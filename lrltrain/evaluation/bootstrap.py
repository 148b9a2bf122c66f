"""Confidence intervals of perplexities by the bootstrap over sentences (Efron 1979; percentile intervals). Pure."""

import numpy as np
from numpy.typing import NDArray

from lrltrain.evaluation.likelihoods import Likelihoods, Statistic
from lrltrain.evaluation.statistics import Interval, percentiles


def interval(measured: Likelihoods, statistic: Statistic, resamples: int, seed: int) -> Interval:
    """Return a perplexity with its interval."""
    value = statistic(measured, np.arange(len(measured.tokens)))
    return percentiles(
        float(value), np.concatenate([statistic(measured, rows) for rows in _draws(measured, resamples, seed)])
    )


def ratio(after: Likelihoods, before: Likelihoods, statistic: Statistic, resamples: int, seed: int) -> Interval:
    """Return after / before with its interval, from the same resamples of both (paired)."""
    everything = np.arange(len(after.tokens))
    value = statistic(after, everything) / statistic(before, everything)
    drawn = [statistic(after, rows) / statistic(before, rows) for rows in _draws(after, resamples, seed)]
    return percentiles(float(value), np.concatenate(drawn))


def _draws(measured: Likelihoods, resamples: int, seed: int) -> list[NDArray[np.int64]]:
    draw = np.random.default_rng(seed)
    sentences = len(measured.tokens)
    return [draw.integers(0, sentences, (1, sentences)) for _ in range(resamples)]
