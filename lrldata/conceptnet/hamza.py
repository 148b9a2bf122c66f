"""Restore the initial hamza of Uyghur terms, which Wiktionary's links to them lack in ConceptNet 5.7. Pure.

A word that begins with a vowel has a hamza on a tooth before it (U+0626). If a normalization removes the hamza, the
tooth remains, which is the letter yeh: ئات (horse) becomes يات (stranger). The other end of a fact proves which of
the two is meant if it is the same word with an ending: ئاتلار, DerivedFrom, يات.
"""

import polars as pl

LANGUAGE = "ug"
_YEH, _HAMZA = "\u064a", "\u0626"


def restore_hamza(facts: pl.DataFrame) -> pl.DataFrame:
    """Restore the lost hamza of terms if the other end of the fact proves it, and add `restored` (boolean).

    Takes the columns start, end (terms), start_lang and end_lang.
    """
    if not (facts["start_lang"] == LANGUAGE).any():
        return facts.with_columns(restored=pl.lit(value=False))
    both_uyghur = (pl.col("start_lang") == LANGUAGE) & (pl.col("end_lang") == LANGUAGE)
    lost = {
        term: both_uyghur & _has_lost_hamza(pl.col(term), pl.col(other))
        for term, other in (("start", "end"), ("end", "start"))
    }
    return facts.with_columns(
        *(pl.when(proven).then(_restored(pl.col(term))).otherwise(term).alias(term) for term, proven in lost.items()),
        restored=pl.any_horizontal(*lost.values()).fill_null(False),
    )


def _has_lost_hamza(term: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Return whether `other` begins with `term` once its hamza is restored. A single letter never counts."""
    return term.str.starts_with(_YEH) & (term.str.len_chars() > 1) & other.str.starts_with(_restored(term))


def _restored(term: pl.Expr) -> pl.Expr:
    return pl.concat_str([pl.lit(_HAMZA), term.str.slice(1)])
