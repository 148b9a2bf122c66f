"""The recipe of `lrldata explain`: what the cleaning of web text would do with a text, line by line."""

from dataclasses import dataclass

import polars as pl

from lrldata.glotcc.clean import across, clean
from lrldata.glotcc.personal import replace
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


def explain(text: str, language: Language, lid: str = "compact") -> list[Explained]:
    """Say of each line of one document whether it would stay, and why not. Raises LrlError for a model that is none."""
    model = load_model(lid)
    document = pl.DataFrame({"doc": ["text"], "url": [None], "text": [text]}, schema_overrides={"url": pl.String})
    judged = across(clean(document, language, model), language)
    shown, _ = replace(judged["text"])
    found = model.predict(judged["text"].to_list())
    return [
        Explained(
            line,
            reason,
            WEB_REASONS[reason] if reason else "stays",
            next(iter(each.labels), None),
            next(iter(each.probabilities), 0.0),
        )
        for line, reason, each in zip(shown, judged["reason"], found, strict=True)
    ]
