"""Turn edges of the index into facts of one language, with a reason for each fact that is dropped. Pure."""

from collections.abc import Collection, Sequence

import polars as pl

from lrldata.conceptnet.hamza import restore_hamza, with_hamza
from lrldata.conceptnet.read import parse_head, parse_tail
from lrldata.conceptnet.relations import symmetric_relations
from lrldata.conceptnet.uri import term_of
from lrldata.normalize import composed, loose
from lrldata.split import comparison_key, content_hash, pair_key

CONTROL = r"[\p{Cc}\p{Zl}\p{Zp}]"  # control characters, and line and paragraph separators


def touching(edges: pl.LazyFrame, codes: Collection[str]) -> pl.LazyFrame:
    """Keep the edges of the index that have an end in one of the languages (ConceptNet's codes).

    Columns with few distinct values become categorical: they take a third of the memory and compare faster.
    """
    repetitive = pl.col("relation", "start_lang", "end_lang", "head", "tail")
    has_end = pl.col("start_lang").is_in(list(codes)) | pl.col("end_lang").is_in(list(codes))
    return edges.filter(has_end).with_columns(repetitive.cast(pl.Categorical))


def part_links(edges: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Separate facts, which link two terms, from links to pages, which get their `reason`.

    Both frames get `bytes`, the size of the two URIs, which is what the ledger counts.
    """
    sized = edges.with_columns(bytes=pl.col("start").str.len_bytes().cast(pl.Int64) + pl.col("end").str.len_bytes())
    is_link = sized.select(pl.col("end_lang").is_null()).to_series()
    return sized.filter(~is_link), sized.filter(is_link).with_columns(reason=pl.lit("external_url"))


def read_fields(edges: pl.DataFrame) -> pl.DataFrame:
    """Read the fields of index rows: terms, weight, dataset and licence.

    `start` and `end` become the terms; their URIs move to `start_node` and `end_node`. `start_folded` and `end_folded`
    are the terms in the form in which duplicates are equal. `restored` says whether a term got its hamza back.
    """
    tails, heads = (edges[column].unique().cast(pl.String) for column in ("tail", "head"))
    origins = [parse_head(head) or ("", "") for head in heads]
    return (
        edges.with_columns(
            weight=pl.col("tail")
            .cast(pl.String)
            # Without a default, Polars ignores return_dtype if there are no rows.
            .replace_strict(tails, list(map(parse_tail, tails)), default=None, return_dtype=pl.Float64),
            source_dataset=pl.col("head")
            .cast(pl.String)
            .replace_strict(heads, [dataset for dataset, _ in origins], return_dtype=pl.String),
            license=pl.col("head")
            .cast(pl.String)
            .replace_strict(heads, [licence for _, licence in origins], return_dtype=pl.String),
            relation=pl.col("relation").cast(pl.String).str.strip_prefix("/r/"),
            start_lang=pl.col("start_lang").cast(pl.String),
            end_lang=pl.col("end_lang").cast(pl.String),
            start_node="start",
            end_node="end",
            start=_composed(term_of(pl.col("start"))),
            end=_composed(term_of(pl.col("end"))),
        )
        .pipe(restore_hamza)
        .with_columns(
            start_folded=comparison_key(pl.col("start")),
            end_folded=comparison_key(pl.col("end")),
        )
        .drop("head", "tail")
    )


def _composed(terms: pl.Expr) -> pl.Expr:
    """Return terms in NFC, like all text. Control characters stay: a term with one is dropped later."""
    return terms.map_batches(composed, return_dtype=pl.String)


def mark_normalised_duplicates(facts: pl.DataFrame) -> pl.DataFrame:
    """Mark duplicates as `normalised_duplicate` if only NFC made them equal to the fact that stays."""
    numbered = facts.with_row_index("_row")
    repeated = numbered.filter(pl.col("reason") == "exact_duplicate")["text"].unique()
    nodes = pl.concat_str(["start_node", "end_node"], separator="\n")
    candidates = numbered.filter(pl.col("text").is_in(repeated.implode())).with_columns(
        _apart=nodes.str.contains(loose())
    )
    if not candidates["_apart"].any():  # nearly always
        return facts
    candidates = candidates.with_columns(_apart=nodes != nodes.str.normalize("NFC"))
    kept_apart = pl.col("_apart").filter(pl.col("reason").is_null()).first().over("text")
    differing = candidates.filter((pl.col("reason") == "exact_duplicate") & (pl.col("_apart") != kept_apart))
    return facts.with_columns(facts["reason"].scatter(differing["_row"], "normalised_duplicate"))


def in_scripts(term: pl.Expr, scripts: Sequence[str]) -> pl.Expr:
    """Return whether a term has a letter of one of the scripts (ISO 15924), or no letter at all."""
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
    templated: Collection[str],
) -> pl.DataFrame:
    """Add `reason`: why a fact is dropped, or null if it is kept. The reasons are those of ledger.EDGE_REASONS.

    `mode` is `target` (both ends in the language), `start` or `any`; `templated` are the relations with sentences.
    """
    starts_here = pl.col("start_lang") == code
    ends_here = pl.col("end_lang") == code
    same_term = pl.col("start_folded") == pl.col("end_folded")
    foreign = (starts_here & ~in_scripts(pl.col("start"), scripts)) | (ends_here & ~in_scripts(pl.col("end"), scripts))
    rules = {
        "language_only_at_end": ~starts_here & (mode in ("start", "target")),
        "language_only_at_start": ~ends_here & (mode == "target"),
        "empty_term": (pl.col("start") == "") | (pl.col("end") == ""),
        "control_character": pl.col("start").str.contains(CONTROL) | pl.col("end").str.contains(CONTROL),
        "self_loop": same_term & (pl.col("start_lang") == pl.col("end_lang")),
        "same_term_in_two_languages": same_term,
        "below_min_weight": pl.col("weight") < min_weight,
        "wrong_script": foreign,
        "relation_unsaid": ~pl.col("relation").is_in(list(templated)),
    }
    return edges.with_columns(reason=pl.coalesce(pl.when(rule).then(pl.lit(reason)) for reason, rule in rules.items()))


def turn_symmetric(edges: pl.DataFrame, code: str, *, as_stored: bool = False) -> pl.DataFrame:
    """Bring symmetric facts into one direction, however they are stored, and add `turned` and `pair_hash`.

    The term in the language comes first; if both are in it, the first in code point order. With `as_stored`, no fact is
    turned. The hash is the same for both spellings of a Uyghur term, so that they are in the same split.
    """
    both_here = (pl.col("start_lang") == code) & (pl.col("end_lang") == code)
    backwards = pl.when(both_here).then(pl.col("start") > pl.col("end")).otherwise(pl.col("start_lang") != code)
    turned = pl.col("relation").is_in(symmetric_relations()) & backwards & (not as_stored)
    ends = (with_hamza(pl.col(f"{end}_folded"), pl.col(f"{end}_lang")) for end in ("start", "end"))
    keys = edges.select(pair_key(*ends)).to_series()
    marked = edges.drop("start_folded", "end_folded").with_columns(
        turned=turned.fill_null(value=False), pair_hash=content_hash(keys)
    )
    pairs = [("start", "end"), ("start_lang", "end_lang")]
    return marked.with_columns(
        pl.when("turned").then(other).otherwise(one).alias(one) for pair in pairs for one, other in (pair, pair[::-1])
    )
