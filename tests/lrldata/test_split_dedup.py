import unicodedata

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lrldata.conceptnet.dedup import mark_duplicates
from lrldata.split import at_random, by_pair, comparison_key, content_hash, pair_key

words = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)


def split_of(first: str, second: str) -> str:
    frame = pl.DataFrame({"a": [first], "b": [second]})
    keys = frame.select(pair_key(comparison_key(pl.col("a")), comparison_key(pl.col("b")))).to_series()
    return str(pl.DataFrame({"h": content_hash(keys)}).select(by_pair(pl.col("h"))).item())


@given(words, words)
def test_a_pair_and_its_reverse_share_a_split(first: str, second: str) -> None:
    assert split_of(first, second) == split_of(second, first)


@given(words, words)
def test_unicode_normal_form_case_and_spaces_do_not_change_the_split(first: str, second: str) -> None:
    decomposed = unicodedata.normalize("NFD", first)
    assert split_of(decomposed, f" {second}  ") == split_of(unicodedata.normalize("NFC", first), second)


def test_splits_never_change() -> None:
    # Published data depends on these: if one changes, every dataset changes.
    assert content_hash(pl.Series(["casă\tclădire"])).item() == 11628241133490421905
    pairs = [("casă", "clădire"), ("câine", "animal"), ("un", "doi"), ("a", "n")]
    assert [split_of(*pair) for pair in pairs] == ["train", "validation", "train", "train"]


def test_pairs_are_split_eighty_ten_ten() -> None:
    keys = pl.Series([f"word{number}\tother{number}" for number in range(20_000)])
    shares = (
        pl.DataFrame({"h": content_hash(keys)}).select(by_pair(pl.col("h"))).to_series().value_counts(normalize=True)
    )
    share_of = dict(shares.iter_rows())
    assert abs(share_of["train"] - 0.8) < 0.01
    assert abs(share_of["validation"] - 0.1) < 0.01
    assert abs(share_of["test"] - 0.1) < 0.01


def test_the_random_split_is_exact_and_seeded() -> None:
    assigned = at_random(1000, 42)
    assert [assigned.count(split) for split in ("train", "validation", "test")] == [800, 100, 100]
    assert assigned == at_random(1000, 42) != at_random(1000, 43)


def test_each_kind_of_duplicate_is_named_and_the_heaviest_stays() -> None:
    facts = pl.DataFrame(
        {
            "text": ["a b.", "a b.", "a b.", "A  B.", "cires\u0326.", "cireș.", "alone.", "a c."],
            "pair_hash": [1, 1, 1, 1, 2, 2, 3, 1],
            "turned": [True, False, True, False, False, False, False, False],
            "weight": [1.0, 1.0, 2.0, 0.5, 1.0, 3.0, 1.0, 1.0],
            "start_node": ["x"] * 8,
            "end_node": ["y"] * 8,
            "relation": ["Synonym"] * 8,
            "source_dataset": ["/d/x"] * 8,
            "license": ["cc:by/4.0"] * 8,
        }
    )
    marked = mark_duplicates(facts).sort("text", "weight").select("text", "weight", "reason").rows()
    assert marked == [
        ("A  B.", 0.5, "normalised_duplicate"),
        ("a b.", 1.0, "exact_duplicate"),
        ("a b.", 1.0, "stored_both_ways"),
        ("a b.", 2.0, None),
        ("a c.", 1.0, None),
        ("alone.", 1.0, None),
        ("cires\u0326.", 1.0, "normalised_duplicate"),
        ("cireș.", 3.0, None),
    ]
