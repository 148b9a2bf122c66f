"""Duplicates: of the facts that say the same sentence, keep the best and name the others. Pure."""

import polars as pl

from lrldata.split import normalised


def mark_duplicates(facts: pl.DataFrame) -> pl.DataFrame:
    """Give a `reason` to each fact whose sentence a better one says too; null for those that stay.

    Two sentences are the same when they are so after NFC, lower case and single spaces. The heaviest stays, and of
    equally heavy ones the first by its nodes, relation and origin. Takes columns text, pair_hash, turned (whether a
    symmetric fact was turned round), weight and those of `ties`. Facts of one pair come out in the order of their
    sentences, the others in any order.
    """
    # Most pairs of terms have one fact and most sentences occur once: only the others are looked at. A hash is enough
    # to find them, as one row too many does no harm.
    several = facts.select(pl.col("pair_hash").is_duplicated() | pl.col("text").hash().is_duplicated()).to_series()
    alone = facts.filter(~several).with_columns(reason=pl.lit(None, pl.String))
    ranked = facts.filter(several).with_columns(folded=normalised(pl.col("text")))
    ties = ["start_node", "end_node", "relation", "source_dataset", "license"]
    ranked = ranked.sort("folded", "weight", *ties, descending=[False, True] + [False] * len(ties))
    same_text = pl.col("text") == pl.col("text").first().over("folded")
    same_way = pl.col("turned") == pl.col("turned").first().over("folded")
    reason = (
        pl.when(pl.col("folded").is_first_distinct())
        .then(None)
        .when(~same_text)
        .then(pl.lit("normalised_duplicate"))
        .when(same_way)
        .then(pl.lit("exact_duplicate"))
        .otherwise(pl.lit("stored_both_ways"))
    )
    return pl.concat([alone, ranked.with_columns(reason=reason).drop("folded")])
