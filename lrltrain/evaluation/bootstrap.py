"""Confidence intervals for perplexities, by bootstrapping sentences (Efron 1979; percentile intervals). Pure."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lrltrain.evaluation.likelihoods import Likelihoods, Statistic
from lrltrain.evaluation.statistics import Interval, percentiles


def interval(measured: Likelihoods, statistic: Statistic, resamples: int, seed: int) -> Interval:
    """Return a perplexity with its confidence interval."""
    value = statistic(measured, np.arange(len(measured.tokens)))
    return percentiles(
        float(value), np.concatenate([statistic(measured, rows) for rows in _resampled_rows(measured, resamples, seed)])
    )


def ratio(after: Likelihoods, before: Likelihoods, statistic: Statistic, resamples: int, seed: int) -> Interval:
    """Return after / before with its confidence interval, from the same resamples of both (paired)."""
    all_rows = np.arange(len(after.tokens))
    value = statistic(after, all_rows) / statistic(before, all_rows)
    ratios = [statistic(after, rows) / statistic(before, rows) for rows in _resampled_rows(after, resamples, seed)]
    return percentiles(float(value), np.concatenate(ratios))


def _resampled_rows(measured: Likelihoods, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield the sentences of each resample; all at once would not fit into memory if a text has many."""
    generator = np.random.default_rng(seed)
    sentences = len(measured.tokens)
    return (generator.integers(0, sentences, (1, sentences)) for _ in range(resamples))
