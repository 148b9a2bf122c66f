"""The recipe of `lrldata explain`: what the cleaning of web text would do with a text, line by line."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lrldata.glotcc import documents
from lrldata.glotcc.clean import Means, clean
from lrldata.glotcc.protect import protect
from lrldata.langid import load_model
from lrldata.languages import Language
from lrldata.ledger import WEB_REASONS


@dataclass(frozen=True)
class Explained:
    """A line as it would come out, why it goes (None where it stays), and what it was taken for."""

    text: str
    reason: str | None
    why: str
    language: str | None
    probability: float


def explain(text: str, language: Language, lid: str = "compact", cache: Path | None = None) -> list[Explained]:
    """Say of each line of one document whether it would stay, and why not. Raises LrlError for a model that is none."""
    means = Means(language, load_model(lid, cache), protect(language, []))
    judged = clean(pl.DataFrame({"text": [text]}), means)
    left = judged.filter(pl.col("reason").is_null())
    whole = (
        documents.judge(left.select("doc", "text"), language)["reason"]
        if len(left)
        else pl.Series([None], dtype=pl.String)
    )
    stays = pl.col("reason").is_null()
    first, folded = (
        pl.struct(key, stays).is_first_distinct() for key in (pl.col("text"), pl.col("text").str.to_lowercase())
    )
    judged = judged.with_columns(
        reason=pl.when(~stays)
        .then("reason")
        .when(~first)
        .then(pl.lit("exact_duplicate"))
        .when(~folded)
        .then(pl.lit("normalised_duplicate"))
        .otherwise(pl.lit(whole[0], pl.String))
    )
    found = means.model.predict(judged["text"].to_list())
    return [
        Explained(
            line,
            reason,
            WEB_REASONS[reason] if reason else "stays",
            next(iter(each.labels), None),
            next(iter(each.probabilities), 0.0),
        )
        for line, reason, each in zip(judged["text"], judged["reason"], found, strict=True)
    ]
