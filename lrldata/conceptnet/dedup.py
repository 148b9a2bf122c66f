"""Deduplication: of the facts with the same sentence, keep the best one and mark the others. Pure."""

import polars as pl

from lrldata.split import comparison_key


def mark_duplicates(facts: pl.DataFrame) -> pl.DataFrame:
    """Add `reason`: which kind of duplicate a fact is, or null if it stays.

    Two sentences are the same if they are equal after NFC, lowercasing and reducing whitespace to single spaces. The
    heaviest fact stays; of equally heavy ones, the first by nodes, relation and origin. Takes the columns text,
    pair_hash, turned (whether a symmetric fact was reversed), weight, start_node, end_node, relation, source_dataset
    and license. The facts of a pair come out in the order of their sentences, all others in any order.
    """
    # Most pairs of terms have one fact, and most sentences occur once: only the others are compared. A hash is enough
    # to find them, because a row too many does no harm.
    may_repeat = facts.select(pl.col("pair_hash").is_duplicated() | pl.col("text").hash().is_duplicated()).to_series()
    unique = facts.filter(~may_repeat).with_columns(reason=pl.lit(None, pl.String))
    ranked = facts.filter(may_repeat).with_columns(folded=comparison_key(pl.col("text")))
    ties = ["start_node", "end_node", "relation", "source_dataset", "license"]
    ranked = ranked.sort("folded", "weight", *ties, descending=[False, True] + [False] * len(ties))
    same_text = pl.col("text") == pl.col("text").first().over("folded")
    same_direction = pl.col("turned") == pl.col("turned").first().over("folded")
    reason = (
        pl.when(pl.col("folded").is_first_distinct())
        .then(None)
        .when(~same_text)
        .then(pl.lit("normalised_duplicate"))
        .when(same_direction)
        .then(pl.lit("exact_duplicate"))
        .otherwise(pl.lit("stored_both_ways"))
    )
    return pl.concat([unique, ranked.with_columns(reason=reason).drop("folded")])
