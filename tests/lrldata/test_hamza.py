"""Uyghur terms that lost a hamza: it is restored if the other end proves it, and only then."""

import polars as pl

from lrldata.conceptnet.hamza import restore_hamza
from lrldata.conceptnet.triples import turn_symmetric


def test_a_lost_hamza_is_restored_only_if_the_other_end_proves_it() -> None:
    facts = pl.DataFrame(
        {
            "start": ["ئاتلار", "ئۆيلەر", "يات", "ياتلار", "ئاتلار", "ئات", "يۈچىنچى", "ئ"],
            "end": ["يات", "يۆي", "ئاتلار", "يات", "يات", "ي", "ئۈچ", "يات"],
            "start_lang": ["ug", "ug", "ug", "ug", "ug", "ug", "ug", "ug"],
            "end_lang": ["ug", "ug", "ug", "ug", "fa", "ug", "ug", "ug"],
        }
    )
    restored = restore_hamza(facts)
    assert restored["start"].to_list() == ["ئاتلار", "ئۆيلەر", "ئات", "ياتلار", "ئاتلار", "ئات", "ئۈچىنچى", "ئ"]
    assert restored["end"].to_list() == ["ئات", "ئۆي", "ئاتلار", "يات", "يات", "ي", "ئۈچ", "يات"]
    assert restored["restored"].to_list() == [True, True, True, False, False, False, True, False]


def test_a_fact_is_in_the_same_split_with_and_without_its_hamza() -> None:
    terms = ["يۈزۈم", "ئۈزۈم", "يۈزۈم"]
    facts = pl.DataFrame(
        {
            "relation": ["Synonym"] * 3,
            "start": terms,
            "end": ["grape"] * 3,
            "start_folded": terms,
            "end_folded": ["grape"] * 3,
            "start_lang": ["ug", "ug", "ar"],
            "end_lang": ["en"] * 3,
        }
    )
    lost, whole, arabic = turn_symmetric(facts, "ug")["pair_hash"]
    assert lost == whole != arabic
