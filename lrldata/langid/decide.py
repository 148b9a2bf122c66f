"""Whether a text is in the language that is wanted. Pure."""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

import polars as pl

Kind = Literal["keep", "other", "unsure"]
Reason = Literal["language", "no_letters", "low_probability", "close_rival", "other_language"]


class Verdict(NamedTuple):
    """What is decided of a text, why, and what it is taken for (None where it has no letters)."""

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

    Labels and probabilities are as `LanguageModel.predict` returns them: equally many, best first, none for a text
    without letters. `margins` says for each language that `language` is confused with how far the two must be apart
    (see `margins_of`); a rival beyond the labels given counts as far off, so ask for at least two.

    keep    it is `language`: the best label, at `threshold` or above, and far enough before its rivals (language)
    other   it is in another language, at `other_threshold` or above (other_language)
    unsure  no_letters; low_probability: the best is below its threshold; else close_rival: nearer than the margin

    Raises ValueError where labels and probabilities are not equally many.
    """
    if len(labels) != len(probabilities):
        raise ValueError(
            f"{len(labels)} labels and {len(probabilities)} probabilities: they belong together, one to one"
        )
    if not labels:
        return Verdict("unsure", "no_letters", None)
    margins = margins or {}
    found = dict(zip(labels, probabilities, strict=True))
    best, probability = labels[0], probabilities[0]
    if best == language:
        close = any(probability - found[rival] < margins.get(rival, 0.0) for rival in labels[1:])
    else:
        close = probability - found.get(language, 0.0) < margins.get(best, 0.0)
    if probability < (threshold if best == language else other_threshold):
        return Verdict("unsure", "low_probability", best)
    if close:
        return Verdict("unsure", "close_rival", best)
    return Verdict("keep", "language", best) if best == language else Verdict("other", "other_language", best)


def decide_all(
    found: pl.DataFrame,
    language: str,
    threshold: float,
    margins: Mapping[str, float] | None = None,
    other_threshold: float | pl.Series = 0.5,
) -> pl.Series:
    """Return the kind of verdict that `decide` gives on each row of `LanguageModel.predict_two`.

    `other_threshold` may be a number for each row.
    """
    margins = margins or {}
    probability, second = pl.col("first_probability"), pl.col("second_probability").fill_null(0.0)
    own = pl.col("first") == language
    rival = pl.when(own).then("second").otherwise("first")
    margin = rival.replace_strict(margins, default=0.0, return_dtype=pl.Float64).fill_null(0.0)
    behind = pl.when(own | (pl.col("second") == language)).then(second).otherwise(0.0)
    unsure = (probability < pl.when(own).then(threshold).otherwise(pl.lit(other_threshold))) | (
        probability - behind < margin
    )
    kind = (
        pl.when(unsure.fill_null(True)).then(pl.lit("unsure")).when(own).then(pl.lit("keep")).otherwise(pl.lit("other"))
    )
    return found.select(kind.alias("kind"))["kind"]


def margins_of(language: str) -> Mapping[str, float]:
    """Return the languages that a language is confused with, each with the margin (0 to 1) that is wanted between them.

    Codes are those of `lrldata.language`; the margins are in confusable.toml.
    """
    return _margins().get(language, {})


@cache
def _margins() -> dict[str, dict[str, float]]:
    table = tomllib.loads(files("lrldata.langid").joinpath("confusable.toml").read_text("utf-8"))
    found: dict[str, dict[str, float]] = {}
    for group in table["group"]:
        for one in group["languages"]:
            for other in group["languages"]:
                if one != other:
                    row = found.setdefault(one, {})
                    row[other] = max(row.get(other, 0.0), group["margin"])
    return found
