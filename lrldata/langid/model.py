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
from lrldata.langid.dense import in_full
from lrldata.langid.labels import codes_of
from lrldata.langid.modelfile import read_layout
from lrldata.langid.text import prepare_lines
from lrldata.manifest import sha256_of

_PREFIX = "__label__"


class Prediction(NamedTuple):
    """The best languages of a text, best first, with their probabilities (0 to 1); both empty where it has no letter.

    A language is a code of `lrldata.language`, or where the model knows one that the table lacks, the model's own
    label.
    """

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]


NOTHING = Prediction((), ())
TWO = pl.Schema(
    {"first": pl.String, "first_probability": pl.Float64, "second": pl.String, "second_probability": pl.Float64}
)


@dataclass(frozen=True)
class LanguageModel:
    """A loaded model. `languages` maps its labels to codes; `unknown` has those that the table has no row for."""

    name: str
    path: Path
    sha256: str
    binding: str
    letters_only: bool
    languages: Mapping[str, str]
    unknown: tuple[str, ...]
    fasttext: Fasttext = field(repr=False, compare=False)

    def predict(self, texts: Iterable[str], k: int = 2) -> list[Prediction]:
        """Identify texts, in one batch: a prediction each, in order, of at most the `k` best languages.

        A text may be a line or a document: newlines are spaces to it. Two labels of one language are one, with the sum
        of their probabilities. What is predicted of a text does not depend on the others in the batch.
        """
        if k < 1:
            raise ValueError(f"k is {k}: ask for one label at least")
        texts = list(texts)
        predictions = [NOTHING] * len(texts)
        for at, labels, probabilities in zip(*self._ask(texts, k), strict=True):
            predictions[at] = self._prediction(labels, probabilities)
        return predictions

    def predict_two(self, texts: Sequence[str]) -> pl.DataFrame:
        """Identify many texts as `predict` does with k = 2: first, first_probability, second, second_probability.

        Null where there is no letter, or no second. It makes no object a text, and so is faster.
        """
        asked, labels, probabilities = self._ask(texts, 2)
        found = pl.DataFrame(schema=TWO).clear(len(texts))
        if not asked:
            return found
        codes = list(map(self._code_of.__getitem__, chain.from_iterable(labels)))
        if len(codes) != 2 * len(asked):
            return _as_frame(self.predict(texts))
        shares = np.fromiter(chain.from_iterable(probabilities), np.float64, len(codes)).clip(max=1.0)
        columns: tuple[Any, ...] = (codes[::2], shares[::2], codes[1::2], shares[1::2])
        given = pl.DataFrame(
            [pl.Series(name, column, dtype) for (name, dtype), column in zip(TWO.items(), columns, strict=True)]
        )
        one = pl.col("first") == pl.col("second")  # two labels of one language
        both = pl.sum_horizontal("first_probability", "second_probability").clip(upper_bound=1.0)
        given = given.with_columns(
            first_probability=pl.when(one).then(both).otherwise("first_probability"),
            second=pl.when(~one).then("second"),
            second_probability=pl.when(~one).then("second_probability"),
        )
        return pl.DataFrame([found[each.name].scatter(asked, each) for each in given])

    def least(self, texts: Sequence[str], languages: Collection[str], share: float) -> npt.NDArray[np.bool_]:
        """Return for each text whether these languages together have this probability (0 to 1) at least.

        So many of the best labels are looked at that none beyond can have as much alone. False where no letter is.
        """
        own = {_PREFIX + label for label, code in self.languages.items() if code in languages}
        is_own = np.zeros(len(texts), dtype=np.bool_)
        for at, labels, probabilities in zip(
            *self._ask(texts, min(len(self.languages), math.ceil(1 / share))), strict=True
        ):
            is_own[at] = sum(probabilities[labels.index(label)] for label in own if label in labels) >= share
        return is_own

    def predict_one(self, text: str, k: int = 2) -> Prediction:
        """Identify one text; the same as a batch of one."""
        return self.predict([text], k)[0]

    @cached_property
    def _code_of(self) -> Mapping[str, str]:
        return {_PREFIX + label: code for label, code in self.languages.items()}

    def _ask(self, texts: Sequence[str], k: int) -> tuple[Sequence[int], Sequence[Any], Sequence[Any]]:
        """Return which texts have a letter, and of each of these the k best labels and their probabilities."""
        if any("\n" in text for text in texts):
            texts = [" ".join(text.splitlines()) if "\n" in text else text for text in texts]
        lines = prepare_lines(texts, letters_only=self.letters_only)
        asked = [at for at, line in enumerate(lines) if line]
        return (asked, *self.fasttext.predict([lines[at] for at in asked], k)) if asked else ([], [], [])

    def _prediction(self, labels: Sequence[str], probabilities: Sequence[float]) -> Prediction:
        codes = [self._code_of[label] for label in labels]
        if len(set(codes)) == len(codes):  # as nearly always, and best first as they come
            return Prediction(tuple(codes), tuple([min(float(each), 1.0) for each in probabilities]))
        found: dict[str, float] = {}
        for code, probability in zip(codes, probabilities, strict=True):
            # fastText's probabilities pass 1 by rounding.
            found[code] = min(found.get(code, 0.0) + float(probability), 1.0)
        best = sorted(found.items(), key=lambda item: -item[1])
        return Prediction(tuple(code for code, _ in best), tuple(probability for _, probability in best))


def _as_frame(predictions: Sequence[Prediction]) -> pl.DataFrame:
    rows = [
        (*(value for pair in zip(*each, strict=True) for value in pair), None, None, None, None)[:4]
        for each in predictions
    ]
    return pl.DataFrame(rows, schema=TWO, orient="row")


def open_file(
    path: Path, name: str, sha256: str | None = None, *, letters_only: bool = False, binding: str | None = None
) -> LanguageModel:
    """Load a model file as the model `name`; with `sha256`, only where the file has that hash.

    Raises InputError where it is no fastText model, a part of one or another one, UsageError where fastText is missing.
    """
    layout = read_layout(path)
    found = sha256_of(path)
    if sha256 is not None and found != sha256:
        raise InputError(
            f"{path}: its SHA-256 is {found}, not {sha256}, so it is not the model {name!r}.",
            "Delete it and fetch or install it again, or give its path to use it as it is.",
        )
    with in_full(path, layout) as whole:
        used, fasttext = open_model(whole, binding)
    codes = codes_of(layout.labels)
    return LanguageModel(
        name=name,
        path=path,
        sha256=found,
        binding=used,
        letters_only=letters_only,
        languages={label: code or label for label, code in codes.items()},
        unknown=tuple(label for label, code in codes.items() if code is None),
        fasttext=fasttext,
    )
