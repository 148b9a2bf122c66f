"""Normalization of input text: a text has one form, however it was stored."""

import unicodedata

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrldata.normalize import normalize, normalized

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\nb\rc\u2028d\u2029e\nf", "a\nb\nc\nd\ne\nf"),
        ("drumul\x0bspre\x0cmunte\x00azi\x1f.", "drumul spre munte azi ."),
        ("a\tb", "a\tb"),
        ("Ọmọdé ń ka ìwé rẹ̀", unicodedata.normalize("NFC", "Ọmọdé ń ka ìwé rẹ̀")),
        (unicodedata.normalize("NFD", "Ọmọdé ń ka ìwé rẹ̀"), unicodedata.normalize("NFC", "Ọmọdé ń ka ìwé rẹ̀")),
        ("half \ud83d of it", "half \ufffd of it"),
        ("\x93quote\x94", "\x93quote\x94"),
        ("", ""),
    ],
)
def test_a_text_has_one_form(text: str, expected: str) -> None:
    assert normalize(text) == expected
    if "\ud83d" not in text:
        assert pl.select(normalized(pl.lit(text))).item() == expected


@given(TEXTS)
def test_texts_and_columns_are_normalized_alike_and_repeating_it_changes_nothing(text: str) -> None:
    once = normalize(text)
    assert pl.select(normalized(pl.lit(text))).item() == once
    assert normalize(once) == once
    assert normalize(unicodedata.normalize("NFD", once)) == once


def test_null_stays_null() -> None:
    assert pl.DataFrame({"a": [None, "x\x00"]}).select(normalized(pl.col("a")))["a"].to_list() == [None, "x "]
