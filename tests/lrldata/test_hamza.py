"""Uyghur terms that lost a hamza: it is restored if the other end proves it, and only then."""

import polars as pl

from lrldata.conceptnet.hamza import restore_hamza


def test_a_lost_hamza_is_restored_only_if_the_other_end_proves_it() -> None:
    facts = pl.DataFrame(
        {
            "start": ["ئاتلار", "ئۆيلەر", "يات", "ياتلار", "ئاتلار", "ئات"],
            "end": ["يات", "يۆي", "ئاتلار", "يات", "يات", "ي"],
            "start_lang": ["ug", "ug", "ug", "ug", "ug", "ug"],
            "end_lang": ["ug", "ug", "ug", "ug", "fa", "ug"],
        }
    )
    restored = restore_hamza(facts)
    assert restored["start"].to_list() == ["ئاتلار", "ئۆيلەر", "ئات", "ياتلار", "ئاتلار", "ئات"]
    assert restored["end"].to_list() == ["ئات", "ئۆي", "ئاتلار", "يات", "يات", "ي"]
    assert restored["restored"].to_list() == [True, True, True, False, False, False]
