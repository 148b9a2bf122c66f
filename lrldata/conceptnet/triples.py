"""Facts of one language from edges of the index: which stay, which go and why. Pure."""

from collections.abc import Collection, Sequence

import polars as pl

from lrldata.conceptnet.read import parse_head, parse_tail
from lrldata.conceptnet.relations import symmetric_relations
from lrldata.conceptnet.uri import term_of
from lrldata.split import content_hash, normalised, pair_key


def touching(edges: pl.LazyFrame, codes: Collection[str]) -> pl.LazyFrame:
    """Keep the edges of the index that have an end in one of the languages (ConceptNet's codes)."""
    return edges.filter(pl.col("start_lang").is_in(list(codes)) | pl.col("end_lang").is_in(list(codes)))


def read_fields(edges: pl.DataFrame) -> pl.DataFrame:
    """Read the fields of index rows: terms, weight, dataset and licence.

    `start` and `end` become the terms; their URIs move to `start_node` and `end_node`. `bytes` is the size of the
    two terms, the measure of the ledger.
    """
    tails, heads = edges["tail"].unique(), edges["head"].unique()
    origins = [parse_head(head) or ("", "") for head in heads]
    return edges.with_columns(
        weight=pl.col("tail").replace_strict(tails, list(map(parse_tail, tails)), return_dtype=pl.Float64),
        source_dataset=pl.col("head").replace_strict(heads, [dataset for dataset, _ in origins], return_dtype=pl.String),
        license=pl.col("head").replace_strict(heads, [licence for _, licence in origins], return_dtype=pl.String),
        relation=pl.col("relation").cast(pl.String).str.strip_prefix("/r/"),
        start_node="start",
        end_node="end",
        start=term_of(pl.col("start")),
        end=term_of(pl.col("end")),
    ).with_columns(bytes=pl.col("start").str.len_bytes().cast(pl.Int64) + pl.col("end").str.len_bytes()).drop("head", "tail")


def in_scripts(term: pl.Expr, scripts: Sequence[str]) -> pl.Expr:
    """Return whether a term is written in one of the scripts (ISO 15924): has a letter of it, or no letter at all."""
    if not scripts:
        return pl.lit(True)
    letters = "".join(rf"\p{{sc={script}}}" for script in scripts)
    return term.str.contains(f"[{letters}]") | ~term.str.contains(r"\p{L}")


def judge(
    edges: pl.DataFrame,
    code: str,
    *,
    scripts: Sequence[str],
    mode: str,
    min_weight: float,
    said: Collection[str],
    as_stored: bool = False,
) -> pl.DataFrame:
    """Add `reason`: why an edge is dropped, null where it is kept. The reasons are those of ledger.REASONS.

    `mode` is `target` (both ends in the language), `start` or `any`; `said` are the relations with a sentence.
    """
    starts_here = pl.col("start_lang") == code
    ends_here = (pl.col("end_lang") == code).fill_null(value=False)
    start, end = normalised(pl.col("start")), normalised(pl.col("end"))
    same = start == end
    foreign = (starts_here & ~in_scripts(pl.col("start"), scripts)) | (ends_here & ~in_scripts(pl.col("end"), scripts))
    rules = {
        "external_url": pl.col("end_lang").is_null(),
        "language_only_at_end": ~starts_here & (mode in ("start", "target")),
        "language_only_at_start": ~ends_here & (mode == "target"),
        "empty_term": (start == "") | (end == ""),
        "control_character": pl.col("start").str.contains(r"\p{Cc}") | pl.col("end").str.contains(r"\p{Cc}"),
        "self_loop": same & (pl.col("start_lang") == pl.col("end_lang")),
        "same_term_in_two_languages": same & (not as_stored),
        "below_min_weight": pl.col("weight") < min_weight,
        "wrong_script": foreign,
        "relation_unsaid": ~pl.col("relation").is_in(list(said)),
    }
    return edges.with_columns(
        reason=pl.coalesce(pl.when(rule).then(pl.lit(reason)) for reason, rule in rules.items())
    )


def turn_symmetric(edges: pl.DataFrame, code: str, *, as_stored: bool = False) -> pl.DataFrame:
    """Bring symmetric facts into one direction, whichever way they were stored; add `turned` and `pair_hash`.

    The term of the language comes first; where both are of it, the first in the order of code points. The order
    of rows becomes: weight, highest first, then the stored nodes, so that of duplicates the best is first.
    """
    both_here = (pl.col("start_lang") == code) & (pl.col("end_lang") == code)
    backwards = pl.when(both_here).then(pl.col("start") > pl.col("end")).otherwise(pl.col("start_lang") != code)
    turned = pl.col("relation").is_in(symmetric_relations()) & backwards & (not as_stored)
    swapped = edges.with_columns(turned=turned.fill_null(value=False)).with_columns(
        start=pl.when("turned").then("end").otherwise("start"),
        end=pl.when("turned").then("start").otherwise("end"),
        start_lang=pl.when("turned").then("end_lang").otherwise("start_lang"),
        end_lang=pl.when("turned").then("start_lang").otherwise("end_lang"),
    )
    keys = swapped.select(pair_key(normalised(pl.col("start")), normalised(pl.col("end")))).to_series()
    return swapped.with_columns(pair_hash=content_hash(keys)).sort(
        ["weight", "relation", "start_node", "end_node"], descending=[True, False, False, False], maintain_order=True
    )
