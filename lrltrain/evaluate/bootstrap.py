"""Confidence intervals of perplexities by the bootstrap over sentences (Efron 1979; percentile intervals). Pure."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrltrain.evaluate.pseudo_perplexity import Likelihoods

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def overlaps(self, other: "Interval") -> bool:
        """Return whether the intervals have a number in common."""
        return self.low <= other.high and other.low <= self.high


def per_corpus(measured: Likelihoods, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return exp(-sum of log-likelihoods / tokens) over `rows` (..., sentences): Salazar et al. 2020, eq. 3."""
    return np.exp(-measured.log_likelihood[rows].sum(-1) / measured.tokens[rows].sum(-1))


def mean_of_sentences(measured: Likelihoods, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean over `rows` (..., sentences) of each sentence's own perplexity, as the paper has it."""
    return np.exp(-measured.log_likelihood / measured.tokens)[rows].mean(-1)


Statistic = Callable[[Likelihoods, NDArray[np.int64]], NDArray[np.float64]]


def interval(measured: Likelihoods, statistic: Statistic, resamples: int, seed: int) -> Interval:
    """Return a perplexity with its interval."""
    value = statistic(measured, np.arange(len(measured.tokens)))
    return _percentiles(
        float(value), np.concatenate([statistic(measured, rows) for rows in _draws(measured, resamples, seed)])
    )


def ratio(after: Likelihoods, before: Likelihoods, statistic: Statistic, resamples: int, seed: int) -> Interval:
    """Return after / before with its interval, from the same resamples of both (paired)."""
    everything = np.arange(len(after.tokens))
    value = statistic(after, everything) / statistic(before, everything)
    drawn = [statistic(after, rows) / statistic(before, rows) for rows in _draws(after, resamples, seed)]
    return _percentiles(float(value), np.concatenate(drawn))


def _draws(measured: Likelihoods, resamples: int, seed: int) -> list[NDArray[np.int64]]:
    draw = np.random.default_rng(seed)
    sentences = len(measured.tokens)
    return [draw.integers(0, sentences, (1, sentences)) for _ in range(resamples)]


def _percentiles(value: float, drawn: NDArray[np.float64]) -> Interval:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(value, float(low), float(high))
