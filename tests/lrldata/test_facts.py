"""From edges to sentences: reasons for dropping edges, directions, phrasings and splits."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from dumps import line
from hypothesis import given
from hypothesis import strategies as st

from lrldata.conceptnet.build import make_rows
from lrldata.conceptnet.config import BuildConfig
from lrldata.conceptnet.index import make_index
from lrldata.conceptnet.relations import relations, symmetric_relations
from lrldata.conceptnet.template_sets import (
    Phrasebook,
    TemplateSet,
    all_built_in,
    built_in,
    expected_sets,
    missing,
    phrasebook,
    problems,
)
from lrldata.conceptnet.triples import in_scripts
from lrldata.conceptnet.verbalize import choose_template, finished
from lrldata.errors import InputError, UsageError
from lrldata.language import find
from lrldata.ledger import Ledger, Tally

Rows = Callable[..., tuple[pl.DataFrame, Ledger]]


@pytest.fixture
def rows_of(make_dump: Callable[..., Path], tmp_path: Path) -> Rows:
    def make(lines: list[str], lang: str = "ro", **settings: object) -> tuple[pl.DataFrame, Ledger]:
        language, config = find(lang), BuildConfig(lang=lang, **settings)  # type: ignore[arg-type]
        edges = pl.read_parquet(make_index(make_dump(lines), tmp_path).edges)
        touching = edges.filter(
            (pl.col("start_lang") == language.conceptnet) | (pl.col("end_lang") == language.conceptnet)
        )
        return make_rows(touching, language, phrasebook(config.templates, language), config)

    return make


DROPS = {
    line("ExternalURL", "ro:a", "http://ro.example.org/a"): "external_url",
    line("RelatedTo", "ro:_", "ro:b"): "empty_term",
    line("RelatedTo", "ro:a\u0007", "ro:b"): "control_character",
    line("RelatedTo", "ro:banc/n", "ro:banc/v"): "self_loop",
    line("RelatedTo", "ro:radio", "en:radio"): "same_term_in_two_languages",
    line("RelatedTo", "ro:лимбэ", "ro:limbă"): "wrong_script",
    line("RelatedTo", "ro:limbă", "ro:лимбэ"): "wrong_script",
    line("NotIsA", "ro:a", "ro:b"): "relation_unsaid",
    line("RelatedTo", "ro:slab", "ro:tare", 0.1): "below_min_weight",
}


@pytest.mark.parametrize("dropped", DROPS, ids=DROPS.values())
def test_an_edge_is_dropped_for_each_reason(dropped: str, rows_of: Rows) -> None:
    kept, ledger = rows_of([dropped, line("IsA", "ro:câine", "ro:animal")], min_weight=0.25)
    assert {reason: tally.rows for reason, tally in ledger.dropped.items()} == {DROPS[dropped]: 1}
    assert kept["start"].to_list() == ["câine"]
    assert ledger.came_in.rows == 2


def test_nothing_is_kept_of_a_language_that_has_only_links(rows_of: Rows) -> None:
    kept, ledger = rows_of([line("ExternalURL", "am:a", "http://am.example.org/a")], lang="am")
    assert kept.is_empty()
    assert {reason: tally.rows for reason, tally in ledger.dropped.items()} == {"external_url": 1}


def test_foreign_terms_and_numbers_need_not_be_in_the_script_of_the_language(rows_of: Rows) -> None:
    kept, _ = rows_of([line("Synonym", "ro:limbă", "ru:язык"), line("RelatedTo", "ro:112", "ro:urgență")])
    assert sorted(kept["start"]) == ["112", "limbă"]


def test_every_script_is_kept_on_request(rows_of: Rows) -> None:
    kept, _ = rows_of([line("RelatedTo", "ro:лимбэ", "ro:limbă")], scripts="any")
    assert len(kept) == 1
    kurdish = [line("Synonym", "ku:ئاو", "en:water"), line("Synonym", "ku:av", "en:water")]
    assert [rows_of(kurdish, lang=lang)[0]["start"].to_list() for lang in ("ckb", "kmr")] == [["ئاو"], ["av"]]


def test_edges_are_selected_by_the_ends_that_are_in_the_language(rows_of: Rows) -> None:
    lines = [line("IsA", "ro:a", "ro:b"), line("IsA", "ro:c", "en:d"), line("IsA", "en:e", "ro:f")]
    kept = {mode: sorted(rows_of(lines, edges=mode)[0]["start"]) for mode in ("any", "start", "target")}
    assert kept == {"any": ["a", "c", "e"], "start": ["a", "c"], "target": ["a"]}
    _, ledger = rows_of(lines, edges="target")
    assert {reason: tally.rows for reason, tally in ledger.dropped.items()} == {
        "language_only_at_end": 1,
        "language_only_at_start": 1,
    }


@pytest.mark.parametrize("relation", symmetric_relations())
def test_a_symmetric_fact_is_the_same_in_either_direction(relation: str, rows_of: Rows) -> None:
    backward, forward = line(relation, "ro:b", "ro:a"), line(relation, "ro:a", "ro:b")
    columns = ["text", "start", "end"]
    single = [rows_of([stored])[0].select(columns).rows() for stored in (backward, forward)]
    both, ledger = rows_of([backward, forward])
    assert single[0] == single[1] == both.select(columns).rows()
    assert ledger.dropped == {"stored_both_ways": Tally(1, 2 * len("/c/ro/a"))}


def test_the_word_of_the_language_comes_first_in_a_symmetric_fact(rows_of: Rows) -> None:
    kept, _ = rows_of([line("Synonym", "en:house/n", "ro:casă"), line("IsA", "en:castle", "ro:casă")])
    assert kept.sort("relation").select("start", "start_lang", "end", "end_lang").rows() == [
        ("castle", "en", "casă", "ro"),
        ("casă", "ro", "house", "en"),
    ]
    assert "/a/[/r/Synonym/,/c/en/house/n/,/c/ro/casă/]" in kept["edge_uri"].to_list()


def test_the_choice_between_equal_duplicates_does_not_depend_on_the_order_of_lines(rows_of: Rows) -> None:
    lines = [line("IsA", "ro:a", "ro:b", dataset="/d/x"), line("IsA", "ro:a", "ro:b", dataset="/d/y")]
    kept = [rows_of(ordered)[0]["source_dataset"].to_list() for ordered in (lines, lines[::-1])]
    assert kept == [["/d/x"], ["/d/x"]]


def test_the_duplicate_with_the_largest_weight_is_kept(rows_of: Rows) -> None:
    lines = [line("IsA", "ro:banc/n", "ro:glumă", 1.0), line("IsA", "ro:banc/n/wikt/ro_1", "ro:glumă", 2.0)]
    lines += [line("IsA", "ro:Banc", "ro:glumă", 0.5)]
    kept, ledger = rows_of(lines)
    assert kept["weight"].to_list() == [2.0]
    assert {reason: tally.rows for reason, tally in ledger.dropped.items()} == {
        "exact_duplicate": 1,
        "normalised_duplicate": 1,
    }


_letters = st.text("abc", min_size=1, max_size=2)
_edges = st.tuples(
    st.sampled_from(["IsA", "RelatedTo", "Synonym", "NotIsA", "HasA"]),
    _letters,
    _letters,
    st.sampled_from(["ro", "en"]),
)


@given(st.lists(_edges, min_size=1, max_size=40, unique=True))
def test_ledgers_add_up_and_no_pair_straddles_splits(facts: list[tuple[str, str, str, str]]) -> None:
    lines = [line(relation, f"ro:{start}", f"{lang}:{end}") for relation, start, end, lang in facts]
    edges = [edge.split("\t") for edge in lines]
    index = pl.DataFrame(
        {
            "relation": [edge[1] for edge in edges],
            "start": [edge[2] for edge in edges],
            "end": [edge[3] for edge in edges],
            "start_lang": ["ro"] * len(facts),
            "end_lang": [lang for *_, lang in facts],
            "tail": ['"weight": 1.0}'] * len(facts),
            "head": ['{"dataset": "/d/x", "license": "cc:by/4.0'] * len(facts),
        }
    )
    language = find("ro")
    rows, ledger = make_rows(index, language, phrasebook("english", language), BuildConfig(lang="ro"))
    assert ledger.came_in.rows == len(facts) == ledger.kept.rows + sum(tally.rows for tally in ledger.dropped.values())
    assert ledger.kept.rows == len(rows)
    splits: dict[frozenset[str], set[str]] = {}
    for start, end, split in rows.select("start", "end", "split").iter_rows():
        splits.setdefault(frozenset((start, end)), set()).add(split)
    assert all(len(names) == 1 for names in splits.values())
    assert rows["text"].is_unique().all()


def test_a_ledger_that_does_not_add_up_cannot_be_made() -> None:
    with pytest.raises(AssertionError, match="does not add up"):
        Ledger(Tally(3, 3), Tally(1, 1), {"self_loop": Tally(1, 1)}, {})


# --- sentences -----------------------------------------------------------------------------------------------


def test_built_in_sets_have_no_faults_and_none_is_missing() -> None:
    assert sorted(all_built_in()) == sorted(expected_sets())
    for name in all_built_in():
        assert list(problems(built_in(name))) == [], name
    assert missing(built_in("english")) == []
    for name in expected_sets()[2:]:
        assert len(missing(built_in(name))) <= 5, name


def test_problems_of_a_template_set_are_found() -> None:
    bad = TemplateSet(
        name="bad",
        language="bg",
        description="",
        reviewed=False,
        reviewed_by=(),
        relations={"IsA": ("{start} is a {end}.",), "HasA": ("{start} има.",), "Nonsense": ("{start} и {end}.",),
                   "PartOf": ("{start} е и\u0306 {end}.",)},
    )  # fmt: skip
    report = "\n".join(problems(bad))
    assert "is, a is not in Cyrl" in report
    assert "'{start} има.' must have {start} and {end} exactly once each" in report
    assert "Nonsense: not a relation" in report
    assert "is not in NFC" in report


def test_the_paper_set_equals_the_table_of_the_paper(shared: Path) -> None:
    table = pl.read_csv(shared / "paper" / "predicates.tsv", separator="\t")
    assert len(table) == 33
    phrasings = {relation: (f"{{start}} {predicate} {{end}}.",) for relation, predicate in table.iter_rows()}
    assert dict(built_in("paper").relations) == phrasings


def test_the_default_set_uses_the_directions_of_conceptnet_and_not_of_the_paper(rows_of: Rows) -> None:
    # Readings of the examples in ConceptNet's documentation that no phrasing may give.
    wrong = {
        "HasA": "bird belongs to wing",
        "AtLocation": "butter is a typical location",
        "HasSubevent": "eating is something that happens during chewing",
        "CreatedBy": "cake creates bake",
        "ObstructedBy": "sleep is an obstacle",
        "MotivatedByGoal": "The goal of win",
        "PartOf": "car is a part of gearshift",
    }
    for relation, reading in wrong.items():
        start, end = relations()[relation].example
        for phrasing in built_in("english").relations[relation]:
            assert reading not in phrasing.format(start=start, end=end)
    paper, _ = rows_of([line("HasA", "ro:pasăre", "ro:aripă")], templates="paper")
    assert paper["text"].to_list() == ["pasăre belongs to aripă."]
    english, _ = rows_of([line("HasA", "ro:pasăre", "ro:aripă")])
    assert english["text"].item() in ("pasăre has aripă.", "Something that pasăre has is aripă.")


def test_the_paper_set_keeps_the_stored_direction_of_facts(rows_of: Rows) -> None:
    lines = [
        line("Synonym", "en:house", "ro:casă"),
        line("Synonym", "ro:casă", "en:house"),
        line("RelatedTo", "ro:radio", "en:radio"),
    ]
    kept, _ = rows_of(lines, templates="paper", edges="any")
    assert sorted(kept["text"]) == [
        "casă is a synonym of house.",
        "house is a synonym of casă.",
    ], "a fact with the same text at both ends is left out, as in the paper"
    by_start, _ = rows_of(lines, templates="paper")
    assert by_start["text"].to_list() == ["casă is a synonym of house."]


def test_native_falls_back_to_english_relation_by_relation() -> None:
    complete = phrasebook("native", find("yo"))
    assert complete.fallback_relations == []
    remaining = {
        name: phrasings for name, phrasings in complete.chosen.relations.items() if not name.startswith("dbpedia/gen")
    }
    book = Phrasebook(complete.chosen.model_copy(update={"relations": remaining}), complete.fallback)
    assert book.fallback_relations == ["dbpedia/genre", "dbpedia/genus"]
    assert set(book.sentences) == set(relations())
    with pytest.raises(UsageError, match="No sentences in Finnish"):
        phrasebook("native", find("fi"))


def test_one_toml_file_adds_templates_for_a_new_language(rows_of: Rows, tmp_path: Path) -> None:
    file = tmp_path / "fi.toml"
    file.write_text(
        'language = "fi"\ndescription = ""\nreviewed = true\nreviewed_by = ["x"]\n'
        '[relations]\nIsA = ["{start} on {end}."]\n'
    )
    kept, _ = rows_of(
        [line("IsA", "fi:koira", "fi:eläin"), line("HasA", "fi:lintu", "fi:siipi")], lang="fi", templates=str(file)
    )
    assert "koira on eläin." in kept["text"].to_list()
    assert len(kept) == 2  # HasA falls back to English
    foreign = line("IsA", "fi:koira", "sv:djur")
    options = {"lang": "fi", "templates": str(file)}
    assert rows_of([foreign], **options)[0].is_empty(), (
        "a sentence in Finnish has no foreign terms, as with native ones"
    )
    assert len(rows_of([foreign], **options, edges="any")[0]) == 1
    with pytest.raises(UsageError, match=r"fi.toml: its sentences are in Finnish \(fi\), not in Estonian"):
        phrasebook(str(file), find("et"))
    assert phrasebook(str(file), find("fi")).as_json()["file"] == "fi.toml"
    english = tmp_path / "english.toml"
    for spelling in ("english", "en-US", "EN"):
        english.write_text(file.read_text().replace('"fi"', f'"{spelling}"'))
        assert BuildConfig(lang="fi", templates=str(english)).edges == "any"
    other_spelling = tmp_path / "finnish.toml"
    other_spelling.write_text(file.read_text().replace('"fi"', '"Finnish"'))
    assert phrasebook(str(other_spelling), find("fi")).chosen.language == "fi"
    valid = file.read_text()
    for broken in ('"{start} on."', '"{start} on {end} {end}."', '"{start} \\n {end}."', '""'):
        file.write_text(valid.replace('"{start} on {end}."', broken))
        with pytest.raises(InputError, match=r"fi\.toml: IsA"):
            phrasebook(str(file), find("fi"))
    for entry, message in (
        ("revewed = true", "revewed: Extra inputs"),
        ('script = "Foo"', r"script: 'Foo' is not a script; .* Latn\."),
        ('name = "x"', "unknown key 'name'"),
        ('language = "klingonish"', "language: Unknown language 'klingonish'"),
    ):
        key = entry.partition(" ")[0]
        file.write_text("\n".join([entry, *(kept for kept in valid.splitlines() if not kept.startswith(f"{key} ="))]))
        with pytest.raises(InputError, match=rf"fi\.toml: {message}"):
            phrasebook(str(file), find("fi"))


def facts_of(relations: list[str], starts: list[str], ends: list[str]) -> pl.DataFrame:
    columns = {"relation": relations, "start": starts, "end": ends, "pair_hash": range(len(starts))}
    return pl.DataFrame(columns, schema_overrides={"pair_hash": pl.UInt64})


def test_slots_are_filled_only_once() -> None:
    facts = facts_of(["IsA", "Other"], ["{end}", "a"], ["{start}", "b"])
    sentences = choose_template(facts, {"IsA": ("A {end} is what {start} is.",)})["text"].to_list()
    assert sentences == ["A {start} is what {end} is.", None]


def test_all_phrasings_are_used_about_equally() -> None:
    phrasings = ("{start} a {end}", "{start} b {end}", "{end} c {start}")
    counts = Counter(choose_template(facts_of(["IsA"] * 3000, ["x"] * 3000, ["y"] * 3000), {"IsA": phrasings})["text"])
    assert len(counts) == 3
    assert min(counts.values()) == max(counts.values()) == 1000


@pytest.mark.parametrize(
    ("term", "scripts", "accepted"),
    [("casă", ["Latn"], True), ("лимба", ["Latn"], False), ("dvd плеър", ["Cyrl"], True), ("112", ["Latn"], True),
     ("oʻzbek", ["Latn"], True), ("日本", ["Hira", "Hani"], True), ("anything", [], True), ("ئۇيغۇر", ["Arab"], True)],
)  # fmt: skip
def test_terms_are_checked_against_scripts(term: str, scripts: list[str], accepted: bool) -> None:
    assert pl.DataFrame({"t": [term]}).select(in_scripts(pl.col("t"), scripts)).item() is accepted


@pytest.mark.parametrize(
    ("code", "text", "initial"),
    [("tr", "istanbul", "İ"), ("tr", "ev", "E"), ("ro", "insulă", "I"), ("ka", "ადამიანი", "ა"), ("hr", "ǆep", "ǅ"),
     ("de", "1", "1")],
)  # fmt: skip
def test_the_first_letter_is_capitalized_by_the_rules_of_the_language(code: str, text: str, initial: str) -> None:
    templates = built_in("english").model_copy(update={"language": code, "capitalized": True})
    sentence = pl.DataFrame({"text": [text]}).select(finished(pl.col("text"), templates))["text"][0]
    assert sentence[0] == initial
    assert sentence[1:] == text[1:]
