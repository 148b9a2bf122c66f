"""From documents to judged lines: the steps that look at a document alone, in their order, by cost.

Pure, but for the model that is handed in. What documents have in common is looked at in cross_dedup.py.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from typing import Any

import polars as pl

from lrldata.langid import LanguageModel, decide_all, margins_of, threshold_of
from lrldata.language import Language
from lrldata.web import line_filters, pii, sentences
from lrldata.web.decontaminate import Protected
from lrldata.web.repair import main_script, repair

_BEST, _SURE = ("first", "second"), ("first_probability", "second_probability")


@cache
def rules() -> Mapping[str, Any]:
    """Return the numbers and names of the rules (rules.toml)."""
    return tomllib.loads(files("lrldata.web").joinpath("rules.toml").read_text("utf-8"))


@dataclass(frozen=True)
class CleaningContext:
    """What documents are judged with: language, model, protected text, and what a row is to be."""

    language: Language
    model: LanguageModel | None  # none: all text is taken to be in the language
    protected: Protected | None = None
    unit: str = "lines"
    handles: bool = False  # names of people on social networks, as @name, are replaced as personal data is
    kin: frozenset[str] = frozenset()  # languages for which the model takes this one, as it does not know its script
    alone: bool = False  # each line is a document, of which no other line says in which language it is


def clean(documents: pl.DataFrame, context: CleaningContext) -> pl.DataFrame:
    """Judge every line of some documents on its own and within its document.

    In: a row per document as read.py gives it: text (null or blank: nothing), and where they are known warnings,
    categories, consistency and script_share. Out: a row per line that is not empty, in their order: doc (the row of its
    document), text (repaired, personal data replaced), bytes, and reason: why it goes, null where it stays (those of
    ledger.WEB_REASONS); taken_for and probability, where it was identified; and what line_filters.judge measures. A
    document without text is one such row. With the unit `sentences` a line is a sentence.
    """
    script = main_script(context.language)
    cut = repair(documents["text"].fill_null(""), script, context.language.code)
    if context.unit == "sentences":
        cut = sentences.cut(cut, script, context.language.code)
    pieces = (
        pl.DataFrame({"text": cut, "whole": _judge_metadata(documents)})
        .with_row_index("doc")
        .with_columns(pl.col("text").str.split("\n"))
        .explode("text", empty_as_null=False)
        .with_columns(pl.col("text").str.strip_chars())
        .filter((pl.col("text") != "") | (pl.col("whole") == "no_text"))
        .with_columns(
            pl.col("text").map_batches(partial(pii.replace, language=context.language.code, handles=context.handles))
        )
    )
    measured = line_filters.judge(pieces["text"], rules(), context.language.scripts, context.language.code)
    judged = pl.concat([pieces, measured], how="horizontal").with_columns(
        reason=pl.coalesce("whole", "reason"), bytes=pl.col("text").str.len_bytes()
    )
    if context.protected is not None:
        found = pl.Series(context.protected.found_in(judged["text"]))
        judged = judged.with_columns(reason=pl.when(found).then(pl.lit("contaminated")).otherwise("reason"))
    return _identify(judged.drop("whole"), context, context.model) if context.model else _believed(judged.drop("whole"))


def _judge_metadata(documents: pl.DataFrame) -> pl.Series:
    """Return for each document the reason for which it goes by what is known of it, null where it stays."""
    known, numbers = documents.columns, rules()
    nothing = pl.lit(False)
    marked = {
        "no_text": pl.col("text").fill_null("").str.strip_chars() == "",
        "document_long": pl.col("text").str.len_chars() > numbers["longest_document"],
        "quality_warning": _has("warnings", numbers["warnings"]) if "warnings" in known else nothing,
        "category": _has("categories", numbers["categories"]) if "categories" in known else nothing,
        "inconsistent": pl.col("consistency") < numbers["least_consistency"] if "consistency" in known else nothing,
        "document_wrong_script": pl.col("script_share") < numbers["least_script"]
        if "script_share" in known
        else nothing,
    }
    reason = pl.coalesce(*(pl.when(fit.fill_null(False)).then(pl.lit(name)) for name, fit in marked.items()))
    return documents.select(reason.alias("reason"))["reason"]


def _has(column: str, names: list[str]) -> pl.Expr:
    return pl.col(column).list.eval(pl.element().is_in(names)).list.any()


def _taken_in(found: pl.DataFrame, code: str, kin: frozenset[str]) -> pl.DataFrame:
    """Count what is taken for kin of a language as the language's own."""
    if not kin:
        return found
    first, second = (pl.when(pl.col(name).is_in(list(kin))).then(pl.lit(code)).otherwise(name) for name in _BEST)
    both = (first == second).fill_null(False)
    return found.with_columns(
        first=first,
        first_probability=pl.when(both).then(pl.sum_horizontal(_SURE)).otherwise("first_probability"),
        second=pl.when(~both).then(second),
        second_probability=pl.when(~both).then("second_probability"),
    )


def _floored(
    kind: pl.Series, found: pl.DataFrame, lines: pl.DataFrame, context: CleaningContext, model: LanguageModel
) -> pl.Series:
    """Turn to `other` what is in no language surely, but surely not in this one: lists of words, mash, lorem ipsum."""
    code, numbers = context.language.code, rules()
    told = pl.DataFrame({"kind": kind, "letters": lines["letters"], **found.select(_BEST).to_dict()})
    named = (pl.col("first") == code).fill_null(False) | (pl.col("second") == code).fill_null(False)
    asked = (pl.col("kind") == "unsure") & (pl.col("letters") >= numbers["least_own_letters"]) & ~named
    places = told.select(asked.alias("asked"))["asked"].arg_true()
    if not len(places):
        return kind
    texts = lines["text"].gather(places).str.head(numbers["identified"]).to_list()
    own = model.least(texts, {code, *context.kin}, numbers["least_own"])
    return kind.scatter(places.filter(pl.Series(~own)), "other")


def _believed(judged: pl.DataFrame) -> pl.DataFrame:
    return judged.with_columns(taken_for=pl.lit(None, pl.String), probability=pl.lit(None, pl.Float64))


def _identify(judged: pl.DataFrame, context: CleaningContext, model: LanguageModel) -> pl.DataFrame:
    """Identify the lines that are left: those of another language go, and those of documents that mostly are."""
    code, staying = context.language.code, judged["reason"].is_null()
    begins = judged.filter(staying).select(pl.col("text").str.head(rules()["identified"]))
    distinct = begins.unique(maintain_order=True)  # a line that is there often is asked for once
    found = model.predict_two(distinct["text"].to_list())
    if len(distinct) < len(begins):
        found = begins.join(distinct.hstack(found), on="text", how="left", maintain_order="left").drop("text")
    found = _taken_in(found, code, context.kin)
    short = judged.filter(staying)["letters"] < rules()["least_own_letters"]
    other = short.replace_strict({True: rules()["surely_other"], False: 0.5}, return_dtype=pl.Float64)
    kind = decide_all(found, code, threshold_of(model.name, code), margins_of(code), other)
    kind = _floored(kind, found, judged.filter(staying), context, model)
    told = found.select(taken_for="first", probability="first_probability").with_columns(kind=kind)
    places = staying.arg_true()
    nothing = told.clear(len(judged))
    judged = judged.with_columns(nothing[name].scatter(places, told[name]) for name in told.columns)
    size = pl.col("text").str.len_chars()
    own, other = (size.filter(pl.col("kind") == kind).sum().over("doc") for kind in ("keep", "other"))
    mostly = (own < rules()["least_language"] * (own + other)) | ~(pl.col("taken_for") == code).any().over("doc")
    reason = (
        pl.when(pl.col("reason").is_not_null())
        .then("reason")
        .when(mostly if not context.alone else False)
        .then(pl.lit("document_other_language"))
        .when(pl.col("kind") == "other")
        .then(pl.lit("other_language"))
    )
    return judged.with_columns(reason=reason).drop("kind")
