"""A person's edits to a card survive; if both sides have changed the same part, the conflict is reported."""

import random
import re
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from hub_cards.cards.card import LINES, LONGEST, LONGEST_HEAD, Card, CardError, mark, read, same
from hub_cards.cards.lint import lint
from hub_cards.cards.merge import merge

FIRST = Card({"language": ["ro"], "license": "cc0-1.0", "tags": ["lrl"]}, {"about": "# Title\n\nOne.", "use": "Two."})
SECOND = Card(
    {"language": ["ro"], "license": "cc0-1.0", "tags": ["lrl", "x"]}, {"about": "# Title\n\n1.", "use": "Two."}
)


def test_a_card_that_nobody_edited_becomes_the_new_one() -> None:
    merged = merge(SECOND, FIRST.text, FIRST.record())
    assert (merged.text, merged.conflicts) == (SECOND.text, [])
    assert merge(FIRST, None, None).text == FIRST.text


def test_text_that_a_person_wrote_outside_our_sections_stays_in_place() -> None:
    edited = FIRST.text.replace("<!-- lrl:end about -->", "<!-- lrl:end about -->\n\nBy us, with love.").replace(
        "tags:", "extra: mine\ntags:"
    )
    merged = merge(SECOND, edited, FIRST.record())
    assert not merged.conflicts
    assert "<!-- lrl:end about -->\n\nBy us, with love.\n\n<!-- lrl:begin use -->" in merged.text
    assert read(merged.text).metadata == {**SECOND.metadata, "extra": "mine"}
    assert read(merged.text).sections == SECOND.sections


def test_a_section_that_a_person_edited_stays_if_ours_does_not_change() -> None:
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


@pytest.mark.parametrize("prefer", ["ask", "ours", "theirs"])
def test_the_configurations_of_others_stay_and_ours_describe_the_data(prefer: Any) -> None:
    def metadata(**sizes: int) -> dict[str, Any]:
        info = [{"config_name": name, "dataset_size": size} for name, size in sizes.items()]
        return {"configs": [{"config_name": name, "data_files": f"{name}/*"} for name in sizes], "dataset_info": info}

    before = Card(metadata(conceptnet=1, web=1), {"title": "# T"})
    edited = Card(metadata(a=5, conceptnet=1, web=1), {"title": "# T"}).text  # a person pushed `a`
    after = Card(metadata(conceptnet=2, glotcc=3), {"title": "# T"})
    merged = merge(after, edited, before.record(), prefer)
    assert read(merged.text).metadata == metadata(a=5, conceptnet=2, glotcc=3)
    assert not merged.conflicts
    repaired = merge(after, edited, after.record(), prefer)  # an earlier version kept the old values in this case
    assert read(repaired.text).metadata["dataset_info"][1] == {"config_name": "conceptnet", "dataset_size": 2}
    single = Card({"dataset_info": {"config_name": "web", "dataset_size": 1}}, {"title": "# T"})
    theirs = Card(metadata(web=0, a=5), {"title": "# T"})
    assert (
        read(merge(single, theirs.text, single.record()).text).metadata["dataset_info"]
        == metadata(web=1, a=5)["dataset_info"]
    )
    assert merge(single, single.text, single.record()).text == single.text


def test_there_is_one_default_configuration() -> None:
    ours = Card({"configs": [{"config_name": "web", "default": True}]}, {"title": "# T"})
    theirs = Card({"configs": [{"config_name": "a", "default": True}, {"config_name": "web"}]}, {"title": "# T"})
    merged = merge(ours, theirs.text, ours.record())
    assert read(merged.text).metadata["configs"] == theirs.metadata["configs"]


def test_a_configuration_of_others_that_is_called_default_is_the_default() -> None:
    """`datasets` treats this name like `default: true`, and refuses a repository with two defaults."""
    ours = Card({"configs": [{"config_name": "web", "default": True}]}, {"title": "# T"})
    theirs = Card({"configs": [{"config_name": "default"}]}, {"title": "# T"})
    merged = merge(ours, theirs.text, None, "ours")
    assert read(merged.text).metadata["configs"] == [{"config_name": "default"}, {"config_name": "web"}]


def test_a_person_s_edit_of_a_configuration_stays_unless_its_data_are_here() -> None:
    def metadata(**paths: str) -> dict[str, Any]:
        return {"configs": [{"config_name": name, "data_files": path} for name, path in paths.items()]}

    before = Card(metadata(glotcc="glotcc/data", web="web/data"), {"title": "# T"})
    edited = Card(metadata(glotcc="glotcc/data", web="web/train"), {"title": "# T"}).text
    for after in (before, Card(metadata(glotcc="glotcc/data"), {"title": "# T"})):  # if its data moved, ours drops it
        merged = merge(after, edited, before.record(), local={"glotcc"})
        assert read(merged.text).metadata == metadata(glotcc="glotcc/data", web="web/train")
    assert read(merge(before, edited, before.record(), local={"web"}).text).metadata == before.metadata
    removed = Card(metadata(glotcc="glotcc/data"), {"title": "# T"}).text
    assert read(merge(before, removed, before.record(), local={"glotcc"}).text).metadata == metadata(
        glotcc="glotcc/data"
    )
    gone = merge(Card(metadata(glotcc="glotcc/data"), {"title": "# T"}), before.text, before.record(), local={"glotcc"})
    assert read(gone.text).metadata == metadata(glotcc="glotcc/data"), "nobody edited it, and its data are gone"


def test_a_section_that_a_person_removed_stays_removed_until_ours_changes() -> None:
    edited = FIRST.text.replace(mark("use", "Two."), "")
    assert "use" not in read(merge(SECOND, edited, FIRST.record()).text).sections
    changed = Card(FIRST.metadata, {**FIRST.sections, "use": "2."})
    assert merge(changed, edited, FIRST.record()).conflicts


def test_a_new_section_follows_its_predecessor_and_an_old_one_is_removed() -> None:
    new = Card(FIRST.metadata, {"about": "# Title\n\nOne.", "between": "1½.", "use": "Two."})
    text = merge(new, FIRST.text, FIRST.record()).text
    assert text == new.text
    assert merge(FIRST, text, new.record()).text == FIRST.text


def test_a_card_that_existed_before_ours_is_kept_and_its_metadata_may_conflict() -> None:
    merged = merge(FIRST, "---\nlanguage:\n- ro\n---\n\n# Mine\n\nText.\n", None)
    assert not merged.conflicts
    assert read(merged.text).body.startswith("# Mine\n\nText.\n\n<!-- lrl:begin about -->")
    assert merge(FIRST, "---\nlicense: mit\n---\n# Mine\n", None).conflicts


@pytest.mark.parametrize(
    "readme", ["---\na: [\n---\n", "---\n- a\n---\n", "<!-- lrl:begin use -->\nno end", mark("a", "1") + mark("a", "2")]
)
def test_an_unreadable_readme_is_reported(readme: str) -> None:
    with pytest.raises(CardError):
        merge(FIRST, readme, FIRST.record())


BEFORE = Card({"language": ["ro"], "license": "cc0-1.0", "tags": ["lrl"]}, {"about": "# T\n\nOne.", "use": "Two."})
AFTER = Card({"language": ["ro"], "license": "mit", "pretty_name": "x: y"}, {"about": "# T\n\n1.", "limits": "3."})
LAUGH = "\n".join(
    f"{name}: &{name} [{', '.join([f'*{previous}'] * 9)}]" for previous, name in zip("abcdef", "bcdefg", strict=True)
)
MERGED = "\n".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{previous}'] * 9)}]}}"
    for previous, name in zip("abcdef", "bcdefg", strict=True)
)


def edited_readme(head: str, body: str = "# Mine\n") -> str:
    return f"---\n{head}\n---\n{body}"


REFUSED = {
    "a date that no month has": "date: 2024-13-45",
    "a number of 4,301 digits": f"n: {'1' * 4301}",
    "a number in hexadecimal": f"n: 0x{'f' * 290}",
    "a number to the base of 60": f"n: 1{':30' * 200}",
    "a list in a list in a list": f"a: {'[' * 500}{']' * 500}",
    "dashes": "- " * 1000,
    "a billion laughs": f"a: &a [x, x]\n{LAUGH}",
    "a billion laughs of merge keys": f"a: &a {{x: y}}\n{MERGED}",
    "a list in itself": "a: &a [*a]",
    "a mapping in itself": "a: &a {<<: *a}",
    "an alias of nothing": f"a: *{'b' * 1000}",
    "a list as a key": "? [a, b]\n: c",
    "a number as a key": "1: a",
    "nothing as a key": "~: a",
    "a truth as a key": "no: a",
    "NaN as a key": "a: {.nan: b}",
    "keys that are one number": "a: {1: b, true: c}",
    "a key twice": "tags: [a]\nlicense: mit\ntags: [b]",
    "a key twice below": "a:\n- b: 1\n  b: 2",
    "a set": "a: !!set {b, c}",
    "bytes": "a: !!binary aGk=",
    "an object of Python": "a: !!python/object/apply:os.system [id]",
    "a tag of its own": "a: !mine b",
    "no truth": "a: !!bool b",
    "no number": "a: !!int ''",
    "no date": "a: !!timestamp b",
    "a time zone of a hundred hours": "a: 2001-01-01 00:00:00+99:99",
    "half a surrogate pair": 'a: "\\ud800"',
    "a letter beyond Unicode": 'a: "\\UFFFFFFFF"',
    "a control character": "a: \x01",
    "a list alone": "- a",
    "a text alone": "a",
    "false alone": "false",
    "two documents": "a: b\n...\nc: d",
    "what it is": f"a: {'b' * LONGEST_HEAD}",
}


@pytest.mark.parametrize("head", REFUSED.values(), ids=REFUSED.keys())
def test_unsupported_metadata_is_reported(head: str) -> None:
    with pytest.raises(CardError) as caught:
        merge(AFTER, edited_readme(head), BEFORE.record())
    assert lint(edited_readme(head)) == [str(caught.value)]
    assert len(str(caught.value)) < 300


def test_a_duplicate_key_is_reported_with_its_line() -> None:
    (fault,) = lint(edited_readme("license: mit\n# mine\nlicense: cc0-1.0"))
    assert fault == "line 4: the metadata cannot be read: the key 'license' is duplicated; keep one of them"


def test_a_huge_readme_is_handled_quickly() -> None:
    for readme in ("x" * (LONGEST + 1), "\n" * (LINES + 1)):
        with pytest.raises(CardError, match="at most"):
            read(readme)
    for text in ("[" * 100_000, "[](" * 100_000, "`" * 100_000, "<!-- lrl:begin x -->\n" * 10_000, "````` ` " * 10_000):
        assert isinstance(lint(edited_readme("language: ro", "# T\n\n" + text), {"a"}), list)


ODD = (  # metadata that YAML allows and nobody expects
    "language: [[ro]]", "language: {a: b}", "language: 2024-01-01", "language: .nan", "language: no",
    "license: [[mit], {a: b}]", "license: {}", "base_model: [[a], 1, .inf]", "base_model_relation: [a]", "tags: {a: 1}",
    "tags: [1, ~, [2]]", "task_categories: [{a: b}, [c]]", "pipeline_tag: [fill-mask, [x]]", "size_categories: 1e400",
    "configs: [{config_name: [a]}]", "configs: {config_name: a}", "configs: [{config_name: a, data_files: 1}]",
    "dataset_info: [{config_name: [a]}, {config_name: b}, 1, {a: b}]", "dataset_info: a", "model-index: a",
    "model-index: [{name: x, results: ~}]", "model-index: [{name: x, results: [a, {task: [b], metrics: d}]}]",
    "model-index: [{name: x, results: [{metrics: [1, {type: [a], value: 9" + "9" * 250 + "}]}]}]",
    "model-index: [{name: x, results: [{task: {type: [a]}, metrics: [{type: a, value: 0x" + "f" * 240 + "}]}]}]",
    "extra: &e [1, 2]", "more: *e", "when: 2001-12-14t21:59:43.10-05:00", "not: .nan", "<<: {from: merge}",
    "mine: {1: a, ~: b}", "long: |+\n  # no comment\n  text\n\n", "folded: >-  # ☃ behind it\n  text",
    'quoted: "a\n  b # no comment"', "? key\n: value",
    "pretty_name: [x,  # ☃ within\n  y]", "own:\n- a\n# ☃ between\n- b", "# ☃ alone", "'a: b': c", "é: ü", "null_: ~",
    "other: {a: 1}  # ☃ at its end", "base60: 1:30", "octal: 010", "license: mit  # ☃ by us",
)  # fmt: skip
HEADS = (
    "b: &x a\n*x : 2  # ☃ by its other name",
    "{license: mit, a: [b]}  # ☃ all in one",
    "a: b\n...",
    "  a: b\n  c: d  # ☃ indented",
    "# ☃ nothing else",
)
BODIES = (
    "# T",
    "---",
    "```\n",
    "<!-- a comment -->",
    "<!-- lrl:x -->",
    "a\r\nb",
    "  text  ",
    "- [x](y)",
    "{{ z }}",
    "None",
)
BROKEN = (
    "<!-- lrl:begin use -->",
    "<!-- lrl:end use -->\n",
    "<!-- lrl:begin x",
    "<!-- lrl:end X -->",
    "<!-- lrl:begin a -->x",
)


def odd_readme(rng: random.Random) -> tuple[str, list[str]]:
    """Return a README that a person and lrl wrote, and those texts in it that are the person's."""
    head = "\n".join(rng.sample(ODD, rng.randrange(5))) if rng.random() < 0.85 else rng.choice(HEADS)
    if rng.random() < 0.3:
        head = f"{head}\nlanguage:\n- ro".strip()
    theirs = []
    parts = [f"<!-- lrl:begin {name} -->\n{text}\n<!-- lrl:end {name} -->" for name, text in BEFORE.sections.items()]
    for index in sorted(rng.choices(range(len(parts) + 1), k=3), reverse=True):
        words = "\n".join(rng.choices(BODIES, k=2)) + f"\n☂{index}{rng.random()}"
        parts.insert(index, words)
        theirs.append(words.replace("\r\n", "\n"))
    if rng.random() < 0.1:
        parts.insert(rng.randrange(len(parts)), rng.choice(BROKEN))
    return edited_readme(head, "\n\n".join(parts) + "\n"), theirs + re.findall("# ☃.*", head)


def test_any_readme_is_either_merged_without_loss_or_refused() -> None:
    assert all(isinstance(fault, str) for head in (*ODD, *HEADS) for fault in lint(edited_readme(head)))
    rng, merges = random.Random(7), 0
    for _ in range(300):
        readme, theirs = odd_readme(rng)
        assert all(isinstance(fault, str) for fault in lint(readme, {"README.md"}))
        record = rng.choice((BEFORE.record(), None, AFTER.record()))
        try:
            merged = merge(AFTER, readme, record, rng.choice(("ask", "ours", "theirs")))
        except CardError:
            continue
        merges += 1
        result, before = read(merged.text), read(readme)
        for words in theirs:
            assert words in merged.text.replace("\r\n", "\n"), (readme, merged.text)
        own_keys = before.metadata.keys() - AFTER.metadata.keys() - BEFORE.metadata.keys()
        assert all(same(result.metadata[key], before.metadata[key]) for key in own_keys)
        assert merge(AFTER, merged.text, AFTER.record(), "theirs").text == merged.text
    assert merges > 150


@pytest.mark.parametrize(
    ("head", "merged"),
    [
        ("license: cc0-1.0  # asked\n# of tags\ntags: [lrl]", "# asked\nlicense: mit\n# of tags\n"),
        ("license: cc0-1.0\nx: .nan  # kept\ntags: [lrl]", "license: mit\nx: .nan  # kept\n"),
        ("tags:\n- lrl\n# why\nlicense: cc0-1.0\na: &a [b]\nc: *a", "# why\nlicense: mit\na: &a [b]\nc: *a\n"),
        ("{license: cc0-1.0, tags: [lrl], a: b}  # mine", "# mine\n"),
        ("license: |-  # odd\n  cc0-1.0\ntags: [lrl]", "# odd\nlicense: mit\n"),
    ],
)
def test_comments_next_to_a_key_of_ours_stay_when_it_changes(head: str, merged: str) -> None:
    ours = replace(AFTER, metadata={"license": "mit"})
    text = merge(ours, edited_readme(head), {"metadata": {"license": "cc0-1.0", "tags": ["lrl"]}, "sections": {}}).text
    assert text.startswith(f"---\n{merged}")
    assert read(text).metadata["license"] == "mit"
    assert "tags" not in read(text).metadata


def test_a_horizontal_rule_in_the_text_does_not_end_the_metadata() -> None:
    assert read("---\n---\n\n# Mine\n\n---\nText.\n").body == "# Mine\n\n---\nText.\n"


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=12)
TEXTS = (
    st.lists(WORDS, max_size=3)
    .map(lambda lines: "\n".join(["x", *lines]).strip())
    .filter(lambda text: "lrl:" not in text)
)
CARDS = st.builds(
    Card,
    st.dictionaries(st.sampled_from("abcd"), st.one_of(st.booleans(), st.integers(0, 9), WORDS), min_size=1),
    st.dictionaries(st.sampled_from(["one", "two", "three", "four"]), TEXTS, min_size=1),
)


@given(CARDS, CARDS)
def test_without_edits_any_card_becomes_any_other_and_stays_so(before: Card, after: Card) -> None:
    merged = merge(after, before.text, before.record())
    assert not merged.conflicts
    result = read(merged.text)
    assert (dict(result.metadata), dict(result.sections)) == (dict(after.metadata), dict(after.sections))
    assert merge(after, merged.text, after.record()).text == merged.text


@given(CARDS, CARDS, TEXTS)
def test_a_person_s_text_survives_any_change_of_ours(before: Card, after: Card, words: str) -> None:
    name = next(iter(before.sections))
    edited = (
        before.text.replace(f"<!-- lrl:begin {name} -->", f"{words} ☂\n\n<!-- lrl:begin {name} -->") + f"\n{words} ☃\n"
    )
    merged = merge(after, edited, before.record())
    assert not merged.conflicts
    assert f"{words} ☂" in merged.text
    assert f"{words} ☃" in merged.text
    assert dict(read(merged.text).sections) == dict(after.sections)
