"""Log-likelihoods of sentences, the files that store them, and the perplexities computed from them. IO.

.../pppl-TEXT-FORMULA-HASH/{manifest.json, sentences.parquet, scores.json}
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

SCORES_FILE, SENTENCES_FILE = "scores.json", "sentences.parquet"


@dataclass(frozen=True)
class Likelihoods:
    """Log-likelihood in nats, and number of scored tokens and characters, of each sentence: (sentences,) each.

    `cut` is the number of sentences whose end was not read because they are longer than the model's input. `unknown` is
    the share of all tokens that are not in the vocabulary; the corrected formula does not score these.
    """

    log_likelihood: NDArray[np.float64]
    tokens: NDArray[np.int64]
    characters: NDArray[np.int64]
    cut: int = 0
    unknown: float = 0.0

    def perplexity(self, formula: str) -> float:
        """Return the perplexity of the whole text."""
        return float(statistic_of(formula)(self, np.arange(len(self.tokens))))

    def differences(self, other: "Likelihoods", formula: str) -> NDArray[np.float64]:
        """Return self - other for each sentence: in perplexity for the paper's formula, else in log-likelihood."""
        if formula == "paper":
            return _of_sentences(self) - _of_sentences(other)
        return self.log_likelihood - other.log_likelihood


def read_likelihoods(folder: Path) -> Likelihoods:
    """Read the likelihoods of a folder of scores, without sentences that have no scored token."""
    with (folder / SENTENCES_FILE).open("rb") as stream:  # polars would read its path as a pattern
        table = pl.read_parquet(stream).filter(pl.col("tokens") > 0)
    return Likelihoods(table["log_likelihood"].to_numpy(), table["tokens"].to_numpy(), table["characters"].to_numpy())


def per_corpus(measured: Likelihoods, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return exp(-sum of log-likelihoods / tokens) over `rows` (..., sentences): Salazar et al. 2020, eq. 3."""
    return np.exp(-measured.log_likelihood[rows].sum(-1) / measured.tokens[rows].sum(-1))


def mean_of_sentences(measured: Likelihoods, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean over `rows` (..., sentences) of each sentence's perplexity, as in the paper."""
    return _of_sentences(measured)[rows].mean(-1)


Statistic = Callable[[Likelihoods, NDArray[np.int64]], NDArray[np.float64]]


def statistic_of(formula: str) -> Statistic:
    """Return the function that computes the perplexity of a text: by the paper's formula, or else per corpus."""
    return mean_of_sentences if formula == "paper" else per_corpus


def _of_sentences(measured: Likelihoods) -> NDArray[np.float64]:
    return np.exp(-measured.log_likelihood / measured.tokens)
