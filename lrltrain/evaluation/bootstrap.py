"""Confidence intervals of perplexities by the bootstrap over sentences (Efron 1979; percentile intervals). Pure."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrltrain.evaluation.statistics import Interval, percentiles


@dataclass(frozen=True)
class Likelihoods:
    """Log-likelihood in nats, tokens and characters asked for of each sentence, (sentences,) each.

    `cut` tells of how many sentences the end was not read, as they are longer than the model reads.
    """

    log_likelihood: NDArray[np.float64]
    tokens: NDArray[np.int64]
    characters: NDArray[np.int64]
    cut: int = 0


def per_corpus(measured: Likelihoods, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return exp(-sum of log-likelihoods / tokens) over `rows` (..., sentences): Salazar et al. 2020, eq. 3."""
    return np.exp(-measured.log_likelihood[rows].sum(-1) / measured.tokens[rows].sum(-1))


def mean_of_sentences(measured: Likelihoods, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean over `rows` (..., sentences) of each sentence's own perplexity, as the paper has it."""
    return np.exp(-measured.log_likelihood / measured.tokens)[rows].mean(-1)


Statistic = Callable[[Likelihoods, NDArray[np.int64]], NDArray[np.float64]]


def statistic_of(formula: str) -> Statistic:
    """Return how likelihoods are made into the perplexity of a text: by the paper's formula or, else, per corpus."""
    return mean_of_sentences if formula == "paper" else per_corpus


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
