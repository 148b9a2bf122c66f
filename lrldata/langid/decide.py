"""Decide whether a text is in a given language. Pure."""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

import polars as pl

ALIKE = 0.5  # the margin from which a model cannot tell two languages apart

Kind = Literal["keep", "other", "unsure"]
Reason = Literal["language", "no_letters", "low_probability", "close_rival", "other_language"]


class Verdict(NamedTuple):
    """The decision on a text, its reason, and the language identified (None if the text has no letters)."""

    kind: Kind
    reason: Reason
    language: str | None


def decide(
    labels: Sequence[str],
    probabilities: Sequence[float],
    language: str,
    threshold: float,
    margins: Mapping[str, float] | None = None,
    other_threshold: float = 0.5,
) -> Verdict:
    """Decide whether a text is in `language`, from the best labels of a model and their probabilities (0 to 1).

    Labels and probabilities are as returned by `LanguageModel.predict`: one probability per label, best first, none for
    a text without letters. `margins` has the languages that `language` is confused with, and how far apart the two must
    be (see `margins_of`). A rival that is not among the labels counts as far away, so ask for at least two.

    keep    the best label is `language`, at `threshold` or above and far enough ahead of its rivals (language)
    other   the text is in another language, at `other_threshold` or above (other_language)
    unsure  no_letters; low_probability: the best is below its threshold; else close_rival: a rival is within the margin

    Raises ValueError if the numbers of labels and probabilities differ.
    """
    if len(labels) != len(probabilities):
        raise ValueError(
            f"{len(labels)} labels and {len(probabilities)} probabilities: each label needs one probability"
        )
    if not labels:
        return Verdict("unsure", "no_letters", None)
    margins = margins or {}
    probability_of = dict(zip(labels, probabilities, strict=True))
    best, probability = labels[0], probabilities[0]
    if best == language:
        close = any(probability - probability_of[rival] < margins.get(rival, 0.0) for rival in labels[1:])
    else:
        close = probability - probability_of.get(language, 0.0) < margins.get(best, 0.0)
    if probability < (threshold if best == language else other_threshold):
        return Verdict("unsure", "low_probability", best)
    if close:
        return Verdict("unsure", "close_rival", best)
    return Verdict("keep", "language", best) if best == language else Verdict("other", "other_language", best)


def decide_all(
    predictions: pl.DataFrame,
    language: str,
    threshold: float,
    margins: Mapping[str, float] | None = None,
    other_threshold: float | pl.Series = 0.5,
) -> pl.Series:
    """Return the kind of verdict that `decide` gives for each row of `LanguageModel.predict_two`.

    `other_threshold` may have a number for each row.
    """
    margins = margins or {}
    probability, second = pl.col("first_probability"), pl.col("second_probability").fill_null(0.0)
    is_best = pl.col("first") == language
    rival = pl.when(is_best).then("second").otherwise("first")
    margin = rival.replace_strict(margins, default=0.0, return_dtype=pl.Float64).fill_null(0.0)
    rival_probability = pl.when(is_best | (pl.col("second") == language)).then(second).otherwise(0.0)
    unsure = (probability < pl.when(is_best).then(threshold).otherwise(pl.lit(other_threshold))) | (
        probability - rival_probability < margin
    )
    kind = (
        pl.when(unsure.fill_null(True))
        .then(pl.lit("unsure"))
        .when(is_best)
        .then(pl.lit("keep"))
        .otherwise(pl.lit("other"))
    )
    return predictions.select(kind.alias("kind"))["kind"]


def margins_of(language: str) -> Mapping[str, float]:
    """Return the languages that a language is confused with, each with the margin (0 to 1) required between them.

    Codes are those of `lrldata.language`; the margins come from confusable.toml.
    """
    return _margins().get(language, {})


def alike(language: str) -> frozenset[str]:
    """Return the languages that a model cannot tell apart from a language, by margins of at least `ALIKE`."""
    return frozenset(rival for rival, margin in margins_of(language).items() if margin >= ALIKE)


@cache
def _margins() -> dict[str, dict[str, float]]:
    table = tomllib.loads(files("lrldata.langid").joinpath("confusable.toml").read_text("utf-8"))
    margins: dict[str, dict[str, float]] = {}
    for group in table["group"]:
        for one in group["languages"]:
            for other in group["languages"]:
                if one != other:
                    row = margins.setdefault(one, {})
                    row[other] = max(row.get(other, 0.0), group["margin"])
    return margins
