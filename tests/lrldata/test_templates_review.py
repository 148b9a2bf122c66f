"""Template sets: forms by part of speech, spacing, capitals, and the page on which speakers correct them."""

import asyncio
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from browser import CHROMIUM, browser

from lrldata.conceptnet.config import load_config
from lrldata.conceptnet.template_sets import (
    Phrasebook,
    TemplateSet,
    all_built_in,
    built_in,
    phrasebook,
    problems,
    read_templates,
)
from lrldata.conceptnet.verbalize import verbalize
from lrldata.language import find
from lrldata.review.templates_page import templates_page


def sentences_of(book: Phrasebook, *facts: tuple[str, str, str], pos: str = "") -> list[str]:
    rows = [
        {"relation": relation, "start": start, "end": end, "pair_hash": 0, "start_node": f"/c/en/{start}/n",
         "end_node": f"/c/en/{end}{pos}", "turned": False}
        for relation, start, end in facts
    ]  # fmt: skip
    return verbalize(pl.DataFrame(rows, schema_overrides={"pair_hash": pl.UInt64}), book)["text"].to_list()


def test_a_node_marked_as_a_verb_has_its_own_sentence() -> None:
    book = Phrasebook(built_in("english"))
    fact = ("UsedFor", "knife", "cut")
    assert sentences_of(book, fact) == ["knife is used for cut."]
    assert (
        sentences_of(book, fact, pos="/v") == sentences_of(book, fact, pos="/v/wn/contact") == ["knife is used to cut."]
    )
    assert sentences_of(book, ("HasProperty", "snow", "white"), pos="/a") == ["snow can be white."]
    assert sentences_of(book, ("AtLocation", "knife", "cut"), pos="/v") == ["knife is typically found at cut."]


def test_the_part_of_speech_of_a_turned_fact_is_that_of_its_term() -> None:
    verb = {"verb": {"Synonym": ("To {start} is to {end}.",)}}
    templates = built_in("english").model_copy(update={"start_is": verb})
    row = {"relation": "Synonym", "start": "alerga", "end": "run", "pair_hash": 0, "turned": True}
    nodes = [
        {"start_node": "/c/en/run/v", "end_node": "/c/ro/alerga/n"},
        {"start_node": "/c/en/run/n", "end_node": "/c/ro/alerga/v"},
    ]
    facts = pl.DataFrame([row | node for node in nodes], schema_overrides={"pair_hash": pl.UInt64})
    plain, as_verb = verbalize(facts, Phrasebook(templates))["text"]
    assert (plain.startswith("To "), as_verb) == (False, "To alerga is to run.")


def test_a_set_in_another_language_does_not_use_the_english_variants() -> None:
    book = phrasebook("native", find("ro"))
    assert sentences_of(book, ("UsedFor", "cuțit", "tăia"), pos="/v") == sentences_of(
        book, ("UsedFor", "cuțit", "tăia")
    )


def test_thai_has_spaces_only_around_other_scripts() -> None:
    book = phrasebook("native", find("th"))
    assert sentences_of(book, ("IsA", "แมว", "สัตว์"), ("IsA", "แมว", "cat"), ("IsA", "cat", "สัตว์")) == [
        "แมวเป็นสัตว์ชนิดหนึ่ง",
        "แมวเป็น cat ชนิดหนึ่ง",
        "cat เป็นสัตว์ชนิดหนึ่ง",
    ]


def test_a_sentence_that_begins_with_a_term_begins_with_a_capital() -> None:
    assert sentences_of(phrasebook("native", find("da")), ("HasProperty", "æble", "rød")) == [
        "Æble kan beskrives som rød."
    ]
    assert sentences_of(phrasebook("native", find("az")), ("HasProperty", "it", "x"))[0].startswith("İt")
    book = phrasebook("native", find("da"))
    rows = pl.DataFrame(
        {
            "relation": ["IsA"],
            "start": ["æble"],
            "end": ["frugt"],
            "start_node": [""],
            "end_node": [""],
            "turned": [False],
        }
    ).with_columns(pair_hash=pl.lit(0, pl.UInt64))
    assert verbalize(rows, book)["start"].to_list() == ["æble"], "columns keep the terms as they are"


def test_native_sentences_have_both_ends_in_the_language_by_default() -> None:
    assert load_config(None, {"lang": "ro", "templates": "native"}).edges == "target"
    assert load_config(None, {"lang": "ro", "templates": "native", "edges": "any"}).edges == "any"
    assert load_config(None, {"lang": "ro", "templates": "paper"}).edges == "start"
    assert load_config(None, {"lang": "ro", "templates": "paper", "edges": "any"}).edges == "any"
    assert load_config(None, {"lang": "ro"}).edges == "any"


@pytest.mark.parametrize("name", all_built_in())
def test_built_in_sets_have_no_problems(name: str) -> None:
    assert not list(problems(built_in(name)))


def test_no_urdu_term_precedes_a_postposition_without_a_carrier_noun() -> None:
    postpositions = ("کا", "کی", "کے", "کو", "سے", "میں", "پر")
    for sentences in built_in("native/ur").relations.values():
        for sentence in sentences:
            words = sentence.split()
            for slot in ("{start}", "{end}"):
                index = words.index(slot) if slot in words else -1
                if 0 <= index < len(words) - 1 and words[index + 1] in postpositions:
                    carrier = words[index - 1] if index else ""
                    carriers = ("لفظ", "عمل", "علاقہ", "شخصیت", "پارہ", "جاندار", "کمپنی", "اور")
                    assert carrier in carriers, sentence


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_the_file_that_a_speaker_saves_can_be_used_at_once(tmp_path: Path) -> None:
    before = built_in("native/ro")
    page_file = tmp_path / "templates.html"
    page_file.write_text(templates_page(before, find("ro"), {"IsA": [("mâță", "animal")]}), encoding="utf-8")
    script = """new Promise((tell) => {
      const of = (relation) => [...document.querySelectorAll(`[data-relation="${relation}"] .one`)];
      const choose = (one, value) => one.querySelector(`[value="${value}"]`).click();
      const first = of("IsA")[0].querySelector(".filled").textContent;
      for (const one of of("IsA")) choose(one, "right");
      for (const one of of("MadeOf")) choose(one, "reject");
      const field = of("Synonym")[0].querySelector(".sentence");
      field.value = 'Cuvântul "{start}" are sensul cuvântului {end}.';
      field.dispatchEvent(new Event("input", { bubbles: true }));
      document.getElementById("name").value = "Ana";
      URL.createObjectURL = (blob) => { blob.text().then((text) => tell([first, text])); return "#"; };
      document.querySelector("button.main").click(); })"""

    async def review() -> list[str]:
        async with browser() as page:
            await page.open(page_file.as_uri())
            result: list[str] = await page.tell(script)
            assert not page.complaints
            return result

    shown, saved = asyncio.run(review())
    assert "mâță" in shown
    assert "animal" in shown
    file = tmp_path / "mine.toml"
    file.write_text(saved, encoding="utf-8")
    after: TemplateSet = read_templates(file, "mine")
    assert not list(problems(after))
    assert after.reviewed_by == ("Ana",)
    assert after.reviewed_relations == ("IsA",), "a relation counts if all its sentences were reviewed"
    assert (after.reviewed, after.capitalized) == (False, True)
    assert "MadeOf" not in after.relations
    assert after.relations["Synonym"][0] == 'Cuvântul "{start}" are sensul cuvântului {end}.'
    assert after.relations["Antonym"] == before.relations["Antonym"]
    book = phrasebook(str(file), find("ro"))
    assert book.fallback_relations == ["MadeOf"]
    assert book.as_json()["reviewed_relations"] == ["IsA"]


SAVE = """document.getElementById("name").value = "%s";
      URL.createObjectURL = (blob) => { blob.text().then(tell); return "#"; };
      document.querySelector("button.main").click(); })"""
CHOOSE = """new Promise((tell) => {
      const choose = (relation, value) => {
        for (const one of document.querySelectorAll(`[data-relation="${relation}"] .one`)) {
          one.querySelector(`[value="${value}"]`).click();
        }
      };"""


def saved_set(tmp_path: Path, *pages: tuple[TemplateSet, str]) -> TemplateSet:
    """Open pages for template sets, one after the other at the same address; return what the last one saves."""

    async def review() -> str:
        async with browser() as browser_page:
            for templates, script in pages:
                tmp_path.joinpath("page.html").write_text(templates_page(templates, find("ro"), {}), "utf-8")
                await browser_page.open(tmp_path.joinpath("page.html").as_uri())
                result: str = await browser_page.tell(script)
            assert not browser_page.complaints
            return result

    file = tmp_path / "saved.toml"
    file.write_text(asyncio.run(review()), encoding="utf-8")
    after = read_templates(file, "saved")
    assert not list(problems(after))
    return after


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_answers_are_not_restored_into_another_set(tmp_path: Path) -> None:
    before = built_in("native/ro")
    changed = {**before.relations, "IsA": ("{start} e un fel de {end}.", *before.relations["IsA"])}
    changed |= {"MadeOf": before.relations["MadeOf"][1:]}
    assert changed["MadeOf"], "as many sentences as before"
    other = before.model_copy(update={"relations": changed})
    answer = CHOOSE + 'choose("IsA", "right"); choose("UsedFor", "right");' + SAVE % "Ana"
    after = saved_set(tmp_path, (before, answer), (other, CHOOSE + SAVE % "Ana"))
    assert after.relations == changed
    assert after.reviewed_relations == ("UsedFor",), "its sentences did not change, and IsA has a new one"


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_an_earlier_review_is_kept_and_forms_by_part_of_speech_are_reviewed(tmp_path: Path) -> None:
    forms = {"verb": {"UsedFor": ("{start} servește ca să {end}.",), "IsA": ("A {start} e a {end}.",)}}
    reviewed = {"reviewed_by": ("Ana",), "reviewed_relations": ("IsA", "PartOf"), "end_is": forms}
    earlier = built_in("native/ro").model_copy(update=reviewed)
    after = saved_set(tmp_path, (earlier, CHOOSE + 'choose("HasA", "right");' + SAVE % "Ben"))
    assert after.reviewed_by == ("Ana", "Ben")
    assert sorted(after.reviewed_relations) == ["HasA", "IsA", "PartOf"]
    assert after.end_is == forms
    assert saved_set(tmp_path, (earlier, CHOOSE + SAVE % "Cora")).reviewed_by == ("Ana",), "she checked nothing"
    after = saved_set(tmp_path, (earlier, CHOOSE + 'choose("UsedFor", "reject");' + SAVE % ""))
    assert "UsedFor" not in after.relations
    assert after.end_is == {"verb": {"IsA": forms["verb"]["IsA"]}}
    assert after.reviewed_by == ("Ana",)


def test_sentences_are_shown_in_their_own_direction() -> None:
    for code, direction in (("ug", "rtl"), ("ro", "auto")):
        page = templates_page(phrasebook("native", find(code)).chosen, find(code), {})
        assert set(re.findall(r'<input class="sentence".*? dir="(.*?)"', page)) == {direction}


def test_a_language_without_sentences_is_told_to_write_some(
    lrldata: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    for options, message in (
        ([], "No sentences in Quechua (qu) yet. Write a file like"),
        (["--templates", "english"], "has sentences in English, not in Quechua"),
    ):
        result = lrldata("templates", "review", "--lang", "qu", *options)
        assert result.returncode == 2
        assert message in " ".join(result.stderr.split())
