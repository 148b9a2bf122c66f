"""A language identification model: texts in, languages and probabilities out."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from lrldata.errors import InputError
from lrldata.langid.binding import Fasttext, open_model
from lrldata.langid.dense import with_full_matrix
from lrldata.langid.labels import codes_of
from lrldata.langid.modelfile import read_layout
from lrldata.langid.text import prepare_lines
from lrldata.manifest import sha256_of

_PREFIX = "__label__"


class Prediction(NamedTuple):
    """The best languages of a text, best first, and their probabilities (0 to 1); both empty if it has no letters.

    A language is a code of `lrldata.language`, or the model's own label if the language table does not have it.
    """

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]


NOTHING = Prediction((), ())
TWO = pl.Schema(
    {"first": pl.String, "first_probability": pl.Float64, "second": pl.String, "second_probability": pl.Float64}
)


@dataclass(frozen=True)
class LanguageModel:
    """A loaded model. `languages` maps its labels to codes; `unknown` has the labels without a row in the table."""

    name: str
    path: Path
    sha256: str
    binding: str
    letters_only: bool
    languages: Mapping[str, str]
    unknown: tuple[str, ...]
    fasttext: Fasttext = field(repr=False, compare=False)

    def predict(self, texts: Iterable[str], k: int = 2) -> list[Prediction]:
        """Identify texts in one batch: one prediction per text, in order, with at most the `k` best languages.

        A text may be a line or a document; newlines count as spaces. If two labels mean the same language, their
        probabilities are added. The prediction for a text does not depend on the others in the batch.
        """
        if k < 1:
            raise ValueError(f"k is {k}, but must be at least 1")
        texts = list(texts)
        predictions = [NOTHING] * len(texts)
        for index, labels, probabilities in zip(*self._ask(texts, k), strict=True):
            predictions[index] = self._prediction(labels, probabilities)
        return predictions

    def predict_two(self, texts: Sequence[str]) -> pl.DataFrame:
        """Identify many texts as `predict` does with k = 2: first, first_probability, second, second_probability.

        Values are null if a text has no letters or no second language. This is faster: it creates no object per text.
        """
        indices, labels, probabilities = self._ask(texts, 2)
        result = pl.DataFrame(schema=TWO).clear(len(texts))
        if not indices:
            return result
        codes = list(map(self._code_of.__getitem__, chain.from_iterable(labels)))
        if len(codes) != 2 * len(indices):
            return _as_frame(self.predict(texts))
        shares = np.fromiter(chain.from_iterable(probabilities), np.float64, len(codes)).clip(max=1.0)
        columns: tuple[Any, ...] = (codes[::2], shares[::2], codes[1::2], shares[1::2])
        predicted = pl.DataFrame(
            [pl.Series(name, column, dtype) for (name, dtype), column in zip(TWO.items(), columns, strict=True)]
        )
        same = pl.col("first") == pl.col("second")  # two labels of one language
        total = pl.sum_horizontal("first_probability", "second_probability").clip(upper_bound=1.0)
        predicted = predicted.with_columns(
            first_probability=pl.when(same).then(total).otherwise("first_probability"),
            second=pl.when(~same).then("second"),
            second_probability=pl.when(~same).then("second_probability"),
        )
        return pl.DataFrame([result[series.name].scatter(indices, series) for series in predicted])

    def reaches(self, texts: Sequence[str], languages: Collection[str], share: float) -> npt.NDArray[np.bool_]:
        """Return for each text whether these languages together have at least this probability (0 to 1).

        It considers enough of the best labels that no other one can reach `share`. False if a text has no letters.
        """
        accepted = {_PREFIX + label for label, code in self.languages.items() if code in languages}
        reached = np.zeros(len(texts), dtype=np.bool_)
        for index, labels, probabilities in zip(
            *self._ask(texts, min(len(self.languages), math.ceil(1 / share))), strict=True
        ):
            reached[index] = sum(probabilities[labels.index(label)] for label in accepted if label in labels) >= share
        return reached

    @cached_property
    def _code_of(self) -> Mapping[str, str]:
        return {_PREFIX + label: code for label, code in self.languages.items()}

    def _ask(self, texts: Sequence[str], k: int) -> tuple[Sequence[int], Sequence[Any], Sequence[Any]]:
        """Return the indices of texts with letters, and the k best labels and their probabilities for each of them."""
        if any("\n" in text for text in texts):
            texts = [" ".join(text.splitlines()) if "\n" in text else text for text in texts]
        lines = prepare_lines(texts, letters_only=self.letters_only)
        indices = [index for index, line in enumerate(lines) if line]
        return (indices, *self.fasttext.predict([lines[index] for index in indices], k)) if indices else ([], [], [])

    def _prediction(self, labels: Sequence[str], probabilities: Sequence[float]) -> Prediction:
        codes = [self._code_of[label] for label in labels]
        if len(set(codes)) == len(codes):  # nearly always, and already best first
            return Prediction(tuple(codes), tuple([min(float(value), 1.0) for value in probabilities]))
        totals: dict[str, float] = {}
        for code, probability in zip(codes, probabilities, strict=True):
            # fastText's probabilities exceed 1 by rounding errors.
            totals[code] = min(totals.get(code, 0.0) + float(probability), 1.0)
        best = sorted(totals.items(), key=lambda item: -item[1])
        return Prediction(tuple(code for code, _ in best), tuple(probability for _, probability in best))


def _as_frame(predictions: Sequence[Prediction]) -> pl.DataFrame:
    rows = [
        (*(value for pair in zip(*prediction, strict=True) for value in pair), None, None, None, None)[:4]
        for prediction in predictions
    ]
    return pl.DataFrame(rows, schema=TWO, orient="row")


def open_file(
    path: Path, name: str, sha256: str | None = None, *, letters_only: bool = False, binding: str | None = None
) -> LanguageModel:
    """Load a model file as the model `name`. If `sha256` is given, the file must have that hash.

    Raises InputError if the file is not a complete fastText model or not that file, UsageError if fastText is missing.
    """
    layout = read_layout(path)
    digest = sha256_of(path)
    if sha256 is not None and digest != sha256:
        raise InputError(
            f"{path}: its SHA-256 is {digest}, not {sha256}, so it is not the model {name!r}.",
            "Delete it and download or install it again, or pass its path to use it anyway.",
        )
    with with_full_matrix(path, layout) as full_path:
        chosen, fasttext = open_model(full_path, binding)
    codes = codes_of(layout.labels)
    return LanguageModel(
        name=name,
        path=path,
        sha256=digest,
        binding=chosen,
        letters_only=letters_only,
        languages={label: code or label for label, code in codes.items()},
        unknown=tuple(label for label, code in codes.items() if code is None),
        fasttext=fasttext,
    )
