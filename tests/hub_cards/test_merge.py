"""A person's words in a card survive, and where two have changed the same part, it is said."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from hub_cards.card import Card, CardError, mark, read
from hub_cards.merge import merge

FIRST = Card({"language": ["ro"], "license": "cc0-1.0", "tags": ["lrl"]}, {"about": "# Title\n\nOne.", "use": "Two."})
SECOND = Card(
    {"language": ["ro"], "license": "cc0-1.0", "tags": ["lrl", "x"]}, {"about": "# Title\n\n1.", "use": "Two."}
)


def test_a_card_that_nobody_touched_becomes_the_new_one() -> None:
    merged = merge(SECOND, FIRST.text, FIRST.record())
    assert (merged.text, merged.conflicts) == (SECOND.text, [])
    assert merge(FIRST, None, None).text == FIRST.text


def test_what_a_person_wrote_outside_of_our_sections_stays_where_it_is() -> None:
    edited = FIRST.text.replace("<!-- lrl:end about -->", "<!-- lrl:end about -->\n\nBy us, with love.").replace(
        "tags:", "extra: mine\ntags:"
    )
    merged = merge(SECOND, edited, FIRST.record())
    assert not merged.conflicts
    assert "<!-- lrl:end about -->\n\nBy us, with love.\n\n<!-- lrl:begin use -->" in merged.text
    assert read(merged.text).metadata == {**SECOND.metadata, "extra": "mine"}
    assert read(merged.text).sections == SECOND.sections


def test_a_section_that_a_person_edited_stays_while_ours_does_not_change() -> None:
    edited = FIRST.text.replace("Two.", "Two, and a half.")
    merged = merge(SECOND, edited, FIRST.record())
    assert not merged.conflicts
    assert read(merged.text).sections == {"about": "# Title\n\n1.", "use": "Two, and a half."}
    again = merge(SECOND, merged.text, SECOND.record())
    assert again.text == merged.text


def test_a_section_that_both_changed_is_a_conflict_that_shows_the_difference() -> None:
    edited = FIRST.text.replace("One.", "Uno.")
    (conflict,) = merge(SECOND, edited, FIRST.record()).conflicts
    assert "-Uno." in conflict
    assert "+1." in conflict
    assert read(merge(SECOND, edited, FIRST.record(), "theirs").text).sections["about"] == "# Title\n\nUno."
    assert merge(SECOND, edited, FIRST.record(), "ours").text == SECOND.text


def test_keys_of_the_metadata_are_merged_one_by_one() -> None:
    edited = FIRST.text.replace("license: cc0-1.0", "license: mit")
    assert read(merge(SECOND, edited, FIRST.record()).text).metadata == {**SECOND.metadata, "license": "mit"}
    edited = FIRST.text.replace("tags:\n- lrl", "tags:\n- lrl\n- theirs")
    (conflict,) = merge(SECOND, edited, FIRST.record()).conflicts
    assert "tags (on the Hub)" in conflict


def test_a_section_that_a_person_took_out_stays_out_until_ours_changes() -> None:
    edited = FIRST.text.replace(mark("use", "Two."), "")
    assert "use" not in read(merge(SECOND, edited, FIRST.record()).text).sections
    changed = Card(FIRST.metadata, {**FIRST.sections, "use": "2."})
    assert merge(changed, edited, FIRST.record()).conflicts


def test_a_section_that_is_new_comes_after_the_one_before_it_and_an_old_one_goes() -> None:
    new = Card(FIRST.metadata, {"about": "# Title\n\nOne.", "between": "1½.", "use": "Two."})
    text = merge(new, FIRST.text, FIRST.record()).text
    assert text == new.text
    assert merge(FIRST, text, new.record()).text == FIRST.text


def test_a_card_that_was_there_before_us_is_kept_and_its_metadata_ask() -> None:
    merged = merge(FIRST, "---\nlanguage:\n- ro\n---\n\n# Mine\n\nText.\n", None)
    assert not merged.conflicts
    assert read(merged.text).body.startswith("# Mine\n\nText.\n\n<!-- lrl:begin about -->")
    assert merge(FIRST, "---\nlicense: mit\n---\n# Mine\n", None).conflicts


@pytest.mark.parametrize(
    "readme", ["---\na: [\n---\n", "---\n- a\n---\n", "<!-- lrl:begin use -->\nno end", mark("a", "1") + mark("a", "2")]
)
def test_a_readme_that_cannot_be_read_is_said_to_be_so(readme: str) -> None:
    with pytest.raises(CardError):
        merge(FIRST, readme, FIRST.record())


LINES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=12)
TEXTS = (
    st.lists(LINES, max_size=3)
    .map(lambda lines: "\n".join(["x", *lines]).strip())
    .filter(lambda text: "lrl:" not in text)
)
CARDS = st.builds(
    Card,
    st.dictionaries(st.sampled_from("abcd"), st.one_of(st.booleans(), st.integers(0, 9), LINES), min_size=1),
    st.dictionaries(st.sampled_from(["one", "two", "three", "four"]), TEXTS, min_size=1),
)


@given(CARDS, CARDS)
def test_without_edits_any_card_becomes_any_other_and_stays_so(before: Card, after: Card) -> None:
    merged = merge(after, before.text, before.record())
    assert not merged.conflicts
    found = read(merged.text)
    assert (dict(found.metadata), dict(found.sections)) == (dict(after.metadata), dict(after.sections))
    assert merge(after, merged.text, after.record()).text == merged.text


@given(CARDS, CARDS, TEXTS)
def test_text_of_a_person_survives_any_change_of_ours(before: Card, after: Card, words: str) -> None:
    name = next(iter(before.sections))
    edited = (
        before.text.replace(f"<!-- lrl:begin {name} -->", f"{words} ☂\n\n<!-- lrl:begin {name} -->") + f"\n{words} ☃\n"
    )
    merged = merge(after, edited, before.record())
    assert not merged.conflicts
    assert f"{words} ☂" in merged.text
    assert f"{words} ☃" in merged.text
    assert dict(read(merged.text).sections) == dict(after.sections)
