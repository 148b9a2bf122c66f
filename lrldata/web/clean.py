"""From documents to judged lines: the steps that look at one document at a time, cheapest first.

Pure, except for the model that is passed in. The comparison of documents with one another is in cross_dedup.py.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from typing import Any

import polars as pl

from lrldata.langid import LanguageModel, alike, decide_all, margins_of, threshold_of
from lrldata.language import Language
from lrldata.normalize import replaced_at
from lrldata.web import line_filters, pii, sentences
from lrldata.web.decontaminate import ProtectedText
from lrldata.web.repair import main_script, repair_encoding, with_letters

_BEST, _SURE = ("first", "second"), ("first_probability", "second_probability")


@cache
def rules() -> Mapping[str, Any]:
    """Return the numbers and names of the rules (rules.toml)."""
    return tomllib.loads(files("lrldata.web").joinpath("rules.toml").read_text("utf-8"))


@dataclass(frozen=True)
class CleaningContext:
    """What documents are judged with: language, model, protected text, and the unit of a row."""

    language: Language
    model: LanguageModel | None  # None: all text is taken to be in the language
    protected: ProtectedText | None = None
    unit: str = "lines"
    handles: bool = False  # replace user names of social networks (@name), like other personal data
    kin: frozenset[str] = frozenset()  # languages that the model mistakes this one for, as it does not know its script
    alone: bool = False  # each line is a document: no other line helps to identify its language


def clean(documents: pl.DataFrame, context: CleaningContext) -> pl.DataFrame:
    """Judge every line of some documents, by itself and within its document.

    In: one row per document, as read.py yields it: text (null or blank if there is none) and, if known, warnings,
    categories, consistency and script_share. Out: one row per non-empty line, in order: doc (the row of its document),
    text (repaired, personal data replaced), bytes, and reason (one of ledger.WEB_REASONS if the line is dropped, null
    if it is kept); taken_for and probability, if its language was identified; and the measures of line_filters.judge. A
    document without text also yields one row. With the unit `sentences`, a line is a sentence.
    """
    script = main_script(context.language)
    texts = _repaired(documents["text"].fill_null(""), context)
    lines = _split(pl.DataFrame({"text": texts, "whole": _judge_metadata(documents)}).with_row_index("doc"))
    # Before lines are changed any further: protected text is neither cut into sentences nor stripped of personal data.
    is_protected = pl.Series(context.protected.found_in(lines["text"])) if context.protected else pl.lit(False)
    lines = lines.with_columns(protected=is_protected)
    if context.unit == "sentences":
        lines = _split(lines.with_columns(sentences.cut(lines["text"], script, context.language.code)))
    lines = lines.with_columns(
        pl.col("text").map_batches(partial(pii.replace, language=context.language.code, handles=context.handles))
    )
    measured = line_filters.judge(lines["text"], rules(), context.language.scripts, context.language.code)
    reason = pl.when("protected").then(pl.lit("contaminated")).otherwise(pl.coalesce("whole", "reason"))
    judged = pl.concat([lines, measured], how="horizontal").with_columns(
        reason=reason, bytes=pl.col("text").str.len_bytes()
    )
    judged = judged.drop("whole", "protected")
    return _identify(judged, context, context.model) if context.model else _trusted(judged)


def shares_letters(language: Language) -> bool:
    """Return whether other languages have the letters that `repair` replaces, as among those in Arabic script."""
    return main_script(language) == "Arab"


def _repaired(texts: pl.Series, context: CleaningContext) -> pl.Series:
    """Return repaired documents. Lines that are surely in another language keep its letters, by which it is identified.

    Languages in Arabic script differ in few letters: with those of Uyghur, a quarter of Kurdish sentences pass for it.
    """
    script, code = main_script(context.language), context.language.code
    plain = repair_encoding(texts, script, code)
    repaired = with_letters(plain, script, code)
    changed = (plain != repaired).arg_true()
    if context.model is None or not shares_letters(context.language) or not len(changed):
        return repaired
    pairs = {"plain": plain.gather(changed).str.split("\n"), "own": repaired.gather(changed).str.split("\n")}
    lines = pl.DataFrame(pairs).with_row_index("text").explode("plain", "own")
    differing = (lines["plain"] != lines["own"]).arg_true()
    before, after = (
        context.model.predict_two(lines[name].gather(differing).str.head(rules()["identified"]).to_list())
        for name in ("plain", "own")
    )
    own = pl.coalesce(pl.when(pl.col(name) == code).then(sure) for name, sure in zip(_BEST, _SURE, strict=True))
    own_probability = after.select(own.fill_null(0.0)).to_series()
    is_other = ~before["first"].is_in([code, *alike(code), *context.kin])
    is_sure = before["first_probability"] >= rules()["surely_other"]
    foreign = is_other & is_sure & (before["first_probability"] > own_probability)
    places = differing.filter(foreign.fill_null(False))
    lines = lines.with_columns(replaced_at(lines["own"], places, lines["plain"].gather(places)).alias("own"))
    rejoined = lines.group_by("text", maintain_order=True).agg(pl.col("own").str.join("\n"))["own"]
    return replaced_at(repaired, changed, rejoined)


def _split(texts: pl.DataFrame) -> pl.DataFrame:
    """Return one row per non-empty line, and one for a document without text."""
    return (
        texts.with_columns(pl.col("text").str.split("\n"))
        .explode("text", empty_as_null=False)
        .with_columns(pl.col("text").str.strip_chars())
        .filter((pl.col("text") != "") | (pl.col("whole") == "no_text"))
    )


def _judge_metadata(documents: pl.DataFrame) -> pl.Series:
    """Return for each document why it is dropped, judged by its length and metadata; null if it is kept."""
    columns, numbers = documents.columns, rules()
    never = pl.lit(False)
    conditions = {
        "no_text": pl.col("text").fill_null("").str.strip_chars() == "",
        "document_long": pl.col("text").str.len_chars() > numbers["longest_document"],
        "quality_warning": _has("warnings", numbers["warnings"]) if "warnings" in columns else never,
        "category": _has("categories", numbers["categories"]) if "categories" in columns else never,
        "inconsistent": pl.col("consistency") < numbers["least_consistency"] if "consistency" in columns else never,
        "document_wrong_script": pl.col("script_share") < numbers["least_script"]
        if "script_share" in columns
        else never,
    }
    reason = pl.coalesce(
        *(pl.when(condition.fill_null(False)).then(pl.lit(name)) for name, condition in conditions.items())
    )
    return documents.select(reason.alias("reason"))["reason"]


def _has(column: str, names: list[str]) -> pl.Expr:
    return pl.col(column).list.eval(pl.element().is_in(names)).list.any()


def _merge_kin(predictions: pl.DataFrame, code: str, kin: frozenset[str]) -> pl.DataFrame:
    """Count predictions of kin languages as predictions of the language itself."""
    if not kin:
        return predictions
    first, second = (pl.when(pl.col(name).is_in(list(kin))).then(pl.lit(code)).otherwise(name) for name in _BEST)
    both = (first == second).fill_null(False)
    return predictions.with_columns(
        first=first,
        first_probability=pl.when(both).then(pl.sum_horizontal(_SURE)).otherwise("first_probability"),
        second=pl.when(~both).then(second),
        second_probability=pl.when(~both).then("second_probability"),
    )


def _reject_unlikely(
    kind: pl.Series, predictions: pl.DataFrame, lines: pl.DataFrame, context: CleaningContext, model: LanguageModel
) -> pl.Series:
    """Turn `unsure` lines that are surely not in the language into `other`: word lists, keyboard mash, lorem ipsum."""
    code, numbers = context.language.code, rules()
    table = pl.DataFrame({"kind": kind, "letters": lines["letters"], **predictions.select(_BEST).to_dict()})
    predicted = (pl.col("first") == code).fill_null(False) | (pl.col("second") == code).fill_null(False)
    suspect = (pl.col("kind") == "unsure") & (pl.col("letters") >= numbers["least_own_letters"]) & ~predicted
    places = table.select(suspect.alias("suspect"))["suspect"].arg_true()
    if not len(places):
        return kind
    texts = lines["text"].gather(places).str.head(numbers["identified"]).to_list()
    possible = model.reaches(texts, {code, *context.kin}, numbers["least_own"])
    return kind.scatter(places.filter(pl.Series(~possible)), "other")


def _trusted(judged: pl.DataFrame) -> pl.DataFrame:
    return judged.with_columns(taken_for=pl.lit(None, pl.String), probability=pl.lit(None, pl.Float64))


def _identify(judged: pl.DataFrame, context: CleaningContext, model: LanguageModel) -> pl.DataFrame:
    """Identify the languages of the remaining lines; drop lines in others, and documents that are mostly in others."""
    code, remaining = context.language.code, judged["reason"].is_null()
    beginnings = judged.filter(remaining).select(pl.col("text").str.head(rules()["identified"]))
    distinct = beginnings.unique(maintain_order=True)  # identify each repeated line only once
    predictions = model.predict_two(distinct["text"].to_list())
    if len(distinct) < len(beginnings):
        predictions = beginnings.join(distinct.hstack(predictions), on="text", how="left", maintain_order="left").drop(
            "text"
        )
    predictions = _merge_kin(predictions, code, context.kin)
    short = judged.filter(remaining)["letters"] < rules()["least_own_letters"]
    other = short.replace_strict({True: rules()["surely_other"], False: 0.5}, return_dtype=pl.Float64)
    kind = decide_all(predictions, code, threshold_of(model.name, code), margins_of(code), other)
    kind = _reject_unlikely(kind, predictions, judged.filter(remaining), context, model)
    identified = predictions.select(taken_for="first", probability="first_probability").with_columns(kind=kind)
    places = remaining.arg_true()
    empty = identified.clear(len(judged))
    judged = judged.with_columns(empty[name].scatter(places, identified[name]) for name in identified.columns)
    size = pl.col("text").str.len_chars()
    rivals = alike(code)
    # Uncertain lines count for all languages that the model cannot tell apart.
    either = (pl.col("kind") == "unsure") & pl.col("taken_for").is_in([code, *rivals]) & bool(rivals)
    own = size.filter((pl.col("kind") == "keep") | either).sum().over("doc")
    other = size.filter(pl.col("kind") == "other").sum().over("doc")
    none = ~((pl.col("taken_for") == code) | either).any().over("doc")
    mostly = (own < rules()["least_language"] * (own + other)) | none
    reason = (
        pl.when(pl.col("reason").is_not_null())
        .then("reason")
        .when(mostly if not context.alone else False)
        .then(pl.lit("document_other_language"))
        .when(pl.col("kind") == "other")
        .then(pl.lit("other_language"))
    )
    return judged.with_columns(reason=reason).drop("kind")
