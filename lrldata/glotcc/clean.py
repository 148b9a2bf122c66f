"""From documents to judged lines: the steps in their order, by cost. Pure, but for the model that is handed in."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import numpy as np
import polars as pl

from lrldata.glotcc import lines, near
from lrldata.glotcc.protect import Protected
from lrldata.glotcc.repair import is_spaced, repair
from lrldata.langid import LanguageModel, decide, margins_of, threshold_of
from lrldata.languages import Language
from lrldata.split import normalised


@cache
def rules() -> Mapping[str, float]:
    """Return the numbers of the rules (rules.toml)."""
    return tomllib.loads(files("lrldata.glotcc").joinpath("rules.toml").read_text("utf-8"))


def clean(
    documents: pl.DataFrame, language: Language, model: LanguageModel, protected: Protected | None = None
) -> pl.DataFrame:
    """Judge every line of some documents on its own and within its document; `protected` text goes.

    In: columns doc (an id), url, text. Out: a row a line that is not empty, in their order, with columns doc, url, text
    (repaired), bytes, and reason: why it goes, null where it stays. Reasons are those of ledger.WEB_REASONS.
    """
    script = language.scripts[0] if language.scripts else None
    judged = (
        documents.with_columns(repair(documents["text"], script).alias("text"))
        .with_columns(pl.col("text").str.split("\n"))
        .explode("text", empty_as_null=False)
        .with_columns(pl.col("text").str.strip_chars())
        .filter(pl.col("text").str.len_bytes() > 0)
        .with_columns(bytes=pl.col("text").str.len_bytes())
    )
    judged = judged.with_columns(lines.reasons(judged["text"], rules(), language.scripts).alias("reason"))
    if protected is not None:
        found = pl.Series(protected.found_in(judged["text"]))
        judged = judged.with_columns(pl.when(found).then(pl.lit("contaminated")).otherwise("reason").alias("reason"))
    return judged.pipe(_by_language, language, model).pipe(_by_document)


def _by_language(judged: pl.DataFrame, language: Language, model: LanguageModel) -> pl.DataFrame:
    """Identify the lines that are left: those of another language go, and those of documents that mostly are."""
    staying = judged["reason"].is_null()
    texts = judged.filter(staying)["text"].to_list()
    threshold, margins = threshold_of(model.name, language.code), margins_of(language.code)
    verdicts = [decide(*found, language.code, threshold, margins).kind for found in model.predict(texts)]
    kinds = pl.Series([None], dtype=pl.String).new_from_index(0, len(judged)).scatter(staying.arg_true(), verdicts)
    size = pl.col("text").str.len_chars()
    own, other = (size.filter(pl.col("kind") == kind).sum().over("doc") for kind in ("keep", "other"))
    foreign = own < rules()["least_language"] * (own + other)
    reason = (
        pl.when(pl.col("reason").is_not_null())
        .then("reason")
        .when(foreign)
        .then(pl.lit("document_other_language"))
        .when(pl.col("kind") == "other")
        .then(pl.lit("other_language"))
    )
    return judged.with_columns(kind=kinds).with_columns(reason=reason).drop("kind")


def _by_document(judged: pl.DataFrame) -> pl.DataFrame:
    """Take out what is left of documents that are too short, or that say the same again and again."""
    stays = pl.col("reason").is_null()
    size = pl.when(stays).then(pl.col("text").str.len_chars()).otherwise(0)
    again = pl.when(stays & ~pl.struct("doc", "text", stays).is_first_distinct()).then(size).otherwise(0)
    whole = size.sum().over("doc")
    reason = (
        pl.when(~stays)
        .then("reason")
        .when(whole < rules()["shortest_document"])
        .then(pl.lit("document_short"))
        .when(again.sum().over("doc") > rules()["most_repeated"] * whole)
        .then(pl.lit("document_repetition"))
    )
    return judged.with_columns(reason=reason)


def across(judged: pl.DataFrame, language: Language) -> pl.DataFrame:
    """Take out what documents have in common: parts of pages, documents that are there twice or nearly so, lines again.

    In and out: as `clean` gives it, of all documents of a language. Of near-duplicates the longest stays.
    """
    return judged.pipe(_repeated).pipe(_duplicate_documents, language).pipe(_duplicate_lines)


def _repeated(judged: pl.DataFrame) -> pl.DataFrame:
    stays = pl.col("reason").is_null()
    documents = pl.col("doc").filter(stays).n_unique().over("text")
    reason = pl.when(~stays).then("reason").when(documents >= rules()["repeated_in"]).then(pl.lit("repeated_line"))
    return judged.with_columns(reason=reason)


def _duplicate_documents(judged: pl.DataFrame, language: Language) -> pl.DataFrame:
    left = judged.filter(pl.col("reason").is_null())
    documents = left.group_by("doc", maintain_order=True).agg(pl.col("text").str.join("\n"))
    if documents.is_empty():
        return judged
    order = documents.select(pl.col("text").str.len_chars().alias("size"), "doc", "text").sort(
        "size", "doc", descending=[True, False]
    )
    spaced = is_spaced(language.scripts[0] if language.scripts else None)
    first = near.clusters(near.signatures(order["text"], spaced=spaced))
    folded = order.select(normalised(pl.col("text")))["text"]
    same = folded == folded.gather(pl.Series(first))
    found = order.select("doc").with_columns(
        duplicate=pl.when(pl.Series(first == np.arange(len(first))))
        .then(None)
        .when(same)
        .then(pl.lit("document_duplicate"))
        .otherwise(pl.lit("near_duplicate"))
    )
    joined = judged.join(found, on="doc", how="left", maintain_order="left")
    return joined.with_columns(reason=pl.coalesce("reason", "duplicate")).drop("duplicate")


def _duplicate_lines(judged: pl.DataFrame) -> pl.DataFrame:
    stays = pl.col("reason").is_null()
    exact = pl.struct("text", stays).is_first_distinct()
    alike = pl.struct(normalised(pl.col("text")), stays).is_first_distinct()
    reason = (
        pl.when(~stays)
        .then("reason")
        .when(~exact)
        .then(pl.lit("exact_duplicate"))
        .when(~alike)
        .then(pl.lit("normalised_duplicate"))
    )
    return judged.with_columns(reason=reason)
