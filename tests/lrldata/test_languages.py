import re

import polars as pl
import pytest

from lrldata.conceptnet.triples import in_scripts
from lrldata.errors import LanguageError
from lrldata.language import find, languages, parse

PAPER = """am az bn bo bg ku cy da el he jv ka lv mr mt mk ne ro si sk sl su sw te th ug ur uz yo ms""".split()
SPELLINGS = """ro ron rum ron_Latn ron-Latn ro-RO RO Romanian română ro_Latn_RO""".split()


@pytest.mark.parametrize("typed", SPELLINGS)
def test_every_spelling_of_romanian_finds_it(typed: str) -> None:
    assert find(typed).code == "ro"


@pytest.mark.parametrize(
    ("typed", "code"),
    [("ckb", "ku"), ("ku-Latn", "kmr"), ("zsm_Latn", "ms"), ("swh", "sw"), ("lvs_Latn", "lv"), ("npi", "ne"),
     ("azj", "az"), ("Uyghur", "ug"), ("gre", "el"), ("sr-Cyrl", "sr"), ("id", "id")],
)  # fmt: skip
def test_codes_that_automatic_mappings_get_wrong(typed: str, code: str) -> None:
    assert find(typed).code == code


def test_an_unknown_language_gets_the_nearest_names() -> None:
    with pytest.raises(LanguageError, match=r"Unknown language 'Romanain'.*Romanian \(ro\)"):
        find("Romanain")


def test_a_script_in_which_a_language_is_not_known_is_refused() -> None:
    with pytest.raises(LanguageError, match=r"Romanian \(ro\) is not known in the script 'Cyrl'"):
        find("ro-Cyrl")


def test_paper_means_its_thirty_in_its_order() -> None:
    assert [language.code for language in parse("paper")] == PAPER
    assert [language.code for language in parse("ug, mt,ug")] == ["ug", "mt"]


def test_every_row_of_the_paper_has_every_code_and_a_size() -> None:
    for language in parse("paper"):
        assert language.paper
        assert language.paper.conceptnet_sentences > 1000
        assert language.conceptnet == language.code
        assert language.glotcc
        assert language.flores == language.sib200 == language.glotcc.replace("-", "_")
        assert language.wikiann
        assert language.scripts


def test_codes_have_their_form_and_mean_one_row() -> None:
    seen: dict[str, str] = {}
    for language in languages():
        assert re.fullmatch(r"[a-z]{2,3}([-_][A-Za-z]{3,4})?", language.code)
        assert re.fullmatch(r"[a-z]{2,3}", language.hub_code), language.code
        for spelling in language.spellings() - {(language.iso639_3 or "").casefold()}:
            assert seen.setdefault(spelling, language.code) == language.code, spelling


def test_every_script_is_one_that_the_pattern_engine_knows() -> None:
    for script in {script for language in languages() for script in language.scripts}:
        assert pl.DataFrame({"t": ["1"]}).select(in_scripts(pl.col("t"), [script])).item()
