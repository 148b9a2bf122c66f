"""Uyghur terms that lost the hamza that they begin with, as Wiktionary's links to them did in ConceptNet 5.7. Pure.

A word that begins with a vowel has a hamza on a tooth before it (U+0626). Where a normalization took the hamza away,
the tooth is left, which is the letter yeh: ئات (horse) became يات (stranger). Which of the two is meant is proven where
the other end of the fact is the word with an ending: ئاتلار, DerivedFrom, يات.
"""

import polars as pl

LANGUAGE = "ug"
_YEH, _HAMZA = "\u064a", "\u0626"


def restore_hamza(facts: pl.DataFrame) -> pl.DataFrame:
    """Give ends of facts the hamza that they lost, where the other end proves it; adds a column `restored` (boolean).

    In: columns start, end (terms), start_lang, end_lang.
    """
    if not (facts["start_lang"] == LANGUAGE).any():
        return facts.with_columns(restored=pl.lit(value=False))
    both = (pl.col("start_lang") == LANGUAGE) & (pl.col("end_lang") == LANGUAGE)
    lost = {term: both & _has_lost(pl.col(term), pl.col(other)) for term, other in (("start", "end"), ("end", "start"))}
    return facts.with_columns(
        *(pl.when(proven).then(_restored(pl.col(term))).otherwise(term).alias(term) for term, proven in lost.items()),
        restored=pl.any_horizontal(*lost.values()).fill_null(False),
    )


def _has_lost(term: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Return whether a term is what the other begins with but for the hamza, two letters at least."""
    return term.str.starts_with(_YEH) & (term.str.len_chars() > 1) & other.str.starts_with(_restored(term))


def _restored(term: pl.Expr) -> pl.Expr:
    return pl.concat_str([pl.lit(_HAMZA), term.str.slice(1)])
