"""Uyghur terms that lost a hamza: given back where the other end proves it, and nowhere else."""

import polars as pl

from lrldata.conceptnet.hamza import restore_hamza


def test_a_lost_hamza_is_given_back_where_the_other_end_proves_it() -> None:
    facts = pl.DataFrame(
        {
            "start": ["ئاتلار", "ئۆيلەر", "يات", "ياتلار", "ئاتلار", "ئات"],
            "end": ["يات", "يۆي", "ئاتلار", "يات", "يات", "ي"],
            "start_lang": ["ug", "ug", "ug", "ug", "ug", "ug"],
            "end_lang": ["ug", "ug", "ug", "ug", "fa", "ug"],
        }
    )
    found = restore_hamza(facts)
    assert found["start"].to_list() == ["ئاتلار", "ئۆيلەر", "ئات", "ياتلار", "ئاتلار", "ئات"]
    assert found["end"].to_list() == ["ئات", "ئۆي", "ئاتلار", "يات", "يات", "ي"]
    assert found["restored"].to_list() == [True, True, True, False, False, False]
