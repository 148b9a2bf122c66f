"""Restore the initial hamza of Uyghur terms, which Wiktionary's links to them lack in ConceptNet 5.7. Pure.

A word that begins with a vowel has a hamza on a tooth before it (U+0626). If a normalization removes the hamza, the
tooth remains, which is the letter yeh: ئات (horse) becomes يات (stranger). The other end of a fact proves which of
the two is meant if one is the other with an ending: ئاتلار, DerivedFrom, يات; يۈچىنچى (third), DerivedFrom, ئۈچ.
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


def with_hamza(term: pl.Expr, language: pl.Expr) -> pl.Expr:
    """Return a form that is the same for both spellings of a Uyghur term: an initial yeh becomes a hamza."""
    may_lack = (language == LANGUAGE) & term.str.starts_with(_YEH)
    return pl.when(may_lack).then(_restored(term)).otherwise(term)


def _has_lost_hamza(term: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Return whether one begins with the other once the hamza of `term` is restored. A single letter never counts."""
    restored = _restored(term)
    is_start = (term.str.len_chars() > 1) & other.str.starts_with(restored)
    has_start = other.str.starts_with(_HAMZA) & (other.str.len_chars() > 1) & restored.str.starts_with(other)
    return term.str.starts_with(_YEH) & (is_start | has_start)


def _restored(term: pl.Expr) -> pl.Expr:
    return pl.concat_str([pl.lit(_HAMZA), term.str.slice(1)])
