"""Duplicates: mark every row but the first of each kind. Pure."""

import polars as pl

from lrldata.split import normalised


def mark_duplicates(facts: pl.DataFrame) -> pl.DataFrame:
    """Give a `reason` to each kept row (null reason) whose sentence another kept row before it says too.

    Takes columns text, turned (whether a symmetric fact was turned round) and reason; keeps the order of rows,
    so put the row to be kept first. Of rows with the same text the first stays.
    """
    kept = pl.col("reason").is_null()
    again = kept & ~pl.struct("text", "reason").is_first_distinct()
    turned_other_way = pl.col("turned") != pl.col("turned").first().over("text", "reason")
    exact = facts.with_columns(
        reason=pl.when(again & turned_other_way)
        .then(pl.lit("stored_both_ways"))
        .when(again)
        .then(pl.lit("exact_duplicate"))
        .otherwise("reason")
    )
    folded = exact.with_columns(_folded=pl.when(kept).then(normalised(pl.col("text"))))
    repeated = kept & ~pl.struct("_folded", "reason").is_first_distinct()
    return folded.with_columns(
        reason=pl.when(repeated).then(pl.lit("normalised_duplicate")).otherwise("reason")
    ).drop("_folded")
