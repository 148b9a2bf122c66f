import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lrldata.cli.review import dataset_folder
from lrldata.conceptnet.triples import in_scripts
from lrldata.errors import InputError, LanguageError, UsageError
from lrldata.langid import codes_of, load_model
from lrldata.language import COMPOSITE_SCRIPTS, find, find_recorded, language_name, languages, parse
from lrldata.manifest import DATASET, read_manifest
from lrldata.progress import Progress
from lrldata.web.build import build_web
from lrldata.web.config import WebConfig
from lrldata.web.scripts import check_known
from lrldata.workspace import Dataset, open_workspace, requested_codes

PAPER = """am az bn bo bg ku cy da el he jv ka lv mr mt mk ne ro si sk sl su sw te th ug ur uz yo ms""".split()
SPELLINGS = """ro ron rum ron_Latn ron-Latn ro-RO RO Romanian română română ro_Latn_RO""".split()


@pytest.mark.parametrize("typed", SPELLINGS)
def test_every_spelling_of_romanian_finds_it(typed: str) -> None:
    assert find(typed).code == "ro"


@pytest.mark.parametrize(
    ("typed", "code"),
    [("ckb", "ku"), ("ku-Latn", "kmr"), ("zsm_Latn", "ms"), ("swh", "sw"), ("lvs_Latn", "lv"), ("npi", "ne"),
     ("azj", "az"), ("Uyghur", "ug"), ("gre", "el"), ("sr-Cyrl", "sr"), ("id", "id"),
     ("zh-Hant-TW", "zh_Hant"), ("kas-Deva-IN", "kas_Deva"), ("ks-Deva", "kas_Deva"), ("cmn-Hant", "zh_Hant"),
     ("cmn-Hans-CN", "zh"), ("ja-Jpan", "ja"), ("ko-Kore-KR", "ko"), ("hak-Hant", "hak")],
)  # fmt: skip
def test_codes_that_automatic_mappings_get_wrong_are_found(typed: str, code: str) -> None:
    assert find(typed).code == code


def test_an_unknown_language_gets_the_nearest_names() -> None:
    with pytest.raises(LanguageError, match=r"Unknown language 'Romanain'.*Romanian \(ro\)"):
        find("Romanain")


def test_a_script_that_a_language_does_not_have_is_refused() -> None:
    with pytest.raises(LanguageError, match=r"Romanian \(ro\) is not known in the script 'Cyrl'"):
        find("ro-Cyrl")


def test_paper_means_the_thirty_languages_of_the_paper_in_order() -> None:
    assert [language.code for language in parse("paper")] == PAPER
    assert [language.code for language in parse("ug, mt,ug")] == ["ug", "mt"]


def test_every_language_of_the_paper_has_all_codes_and_a_size() -> None:
    for language in parse("paper"):
        assert language.paper
        assert language.paper.conceptnet_sentences > 1000
        assert language.conceptnet == language.code
        assert language.glotcc
        assert language.flores == language.sib200 == language.glotcc.replace("-", "_")
        assert language.wikiann
        assert language.scripts


def test_codes_are_well_formed_and_each_means_one_language() -> None:
    seen: dict[str, str] = {}
    for language in languages():
        assert re.fullmatch(r"[a-z]{2,3}([-_][A-Za-z]{3,4})?", language.code)
        assert re.fullmatch(r"[a-z]{2,3}", language.hub_code), language.code
        for spelling in language.spellings() - {(language.iso639_3 or "").casefold()}:
            assert seen.setdefault(spelling, language.code) == language.code, spelling


def test_the_pattern_engine_knows_every_script() -> None:
    for script in {script for language in languages() for script in language.scripts}:
        assert pl.DataFrame({"t": ["1"]}).select(in_scripts(pl.col("t"), [script])).item()


TALYSH = """[tly]
name = "Talysh"
native_name = "tolışi"
iso639_3 = "tly"
scripts = ["Latn", "Cyrl"]
"""


@pytest.fixture
def custom_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path in LRL_LANGUAGES, which is set after the built-in languages were read."""
    assert find("ro").code == "ro"
    assert codes_of(["tly_Latn"]) == {"tly_Latn": None}
    monkeypatch.setenv("LRL_LANGUAGES", str(tmp_path / "own.toml"))
    return tmp_path / "own.toml"


def test_a_custom_language_is_found_and_built(
    custom_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    custom_file.write_text(TALYSH, "utf-8")
    assert codes_of(["tly_Latn"]) == {"tly_Latn": "tly"}
    assert {find(typed).code for typed in ("tly", "Talysh", "tolışi", "tly_Latn")} == {"tly"}
    assert languages()[-1].scripts == ("Latn", "Cyrl")
    (tmp_path / "a.txt").write_text(
        "\n".join(f"Az tolışi zıvonədə qəp jəydəm, {number} ruj çok be." for number in range(9)), "utf-8"
    )
    options: dict[str, Any] = {"lang": "tly", "source": "web", "input": tmp_path / "a.txt", "documents": "lines"}
    options |= {"out": tmp_path, "cache": tmp_path, "workers": 1}
    with pytest.raises(UsageError, match=r"does not know Talysh \(tly\).*--lid none"):
        build_web(WebConfig(**options), Progress(quiet=True))
    (dataset,) = build_web(WebConfig(**options, lid="none"), Progress(quiet=True))
    assert sum(dataset.rows.values()) == 9
    custom_file.write_text(TALYSH.replace('["Latn", "Cyrl"]', '["Cyrl"]'), "utf-8")
    with pytest.raises(InputError, match="wrong_script 9"):  # a session notices that the table has changed
        build_web(WebConfig(**options, lid="none"), Progress(quiet=True))
    custom_file.write_text(TALYSH, "utf-8")
    manifest = read_manifest(dataset.path, DATASET) or {}
    assert (manifest["settings"]["lid"], manifest["language"]["name"]) == ("none", "Talysh")
    monkeypatch.delenv("LRL_LANGUAGES")  # as for anybody who receives the dataset
    with pytest.raises(LanguageError):
        find("tly")
    assert Dataset.open(dataset.path).language == find_recorded(manifest["language"])
    assert Dataset.open(dataset.path).language.scripts == ("Latn", "Cyrl")
    assert open_workspace(tmp_path).dataset("tly", "web").path == dataset.path
    assert requested_codes("tly, mt", tmp_path) == ["tly", "mt"]
    assert dataset_folder(tmp_path, "tly", None) == dataset.path.resolve()
    assert language_name("tly") == "tly"
    for wrong in ("tlx", "tly/web"):
        with pytest.raises(LanguageError, match=wrong):
            requested_codes(wrong, tmp_path)
    assert find_recorded({"code": "tly", "name": "Talysh", "hub_code": "tly"}).hub_code == "tly"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("[tly", "Expected"),
        ('[tly]\nnam = "x"', "nam"),
        ('[ro]\nname = "x"', r"\[ro\]: already known as Romanian"),
        ('[zz]\nname = "x"\niso639_3 = "ron"', "already known as Romanian"),
        ('[rum]\nname = "x"', "already known as Romanian"),
        ('[xa]\nname = "x"\niso639_3 = "xyz"\n[xyz]\nname = "y"', r"\[xyz\]: already known as x"),
        ('[xyz]\nname = "x"\nscripts = ["latn"]', "unknown script 'latn'"),
        ('[xyz]\nname = "x"\nscripts = ["Xyzz"]', "unknown script 'Xyzz'"),
        ('[xyz]\nname = "x"\nscripts = ["Mark"]', "unknown script 'Mark'"),  # a property of Unicode, but no script
        ('["../x"]\nname = "x"', "not a language code"),
        ("a = 1", "own.toml"),
    ],
)
def test_an_invalid_file_of_custom_languages_is_refused(custom_file: Path, text: str | None, message: str) -> None:
    if text is not None:
        custom_file.write_text(text)
    with pytest.raises(LanguageError, match=message):
        languages()


def test_every_language_of_the_paper_is_known_to_the_built_in_model() -> None:
    for language in languages():
        if language.paper:
            check_known(language, load_model())


def test_a_tag_with_a_script_of_the_language_is_that_language() -> None:
    for language in languages():
        for script in language.scripts:
            if not set("_-") & set(language.code) and language.code != "fil" and script not in COMPOSITE_SCRIPTS:
                assert find(f"{language.code}-{script}") is language
    assert find("fil-Latn").code == "tl", "as GlotCC calls Tagalog"
    assert (find("srp-Latn").code, find("id-Latn").code) == ("sr", "id")
    assert (find("ku-Latn").code, find("ku-Arab").code) == ("kmr", "ku")


def test_a_second_script_is_a_row_of_its_own_with_the_same_iso_code(custom_file: Path) -> None:
    second = '[tly_Cyrl]\nname = "Talysh in Cyrillic"\niso639_3 = "tly"\nscripts = ["Cyrl"]\n'
    custom_file.write_text(TALYSH + second + second.replace("tly", "ug").replace('"ug"', '"uig"'), "utf-8")
    assert (find("tly_Cyrl").hub_code, find("tly-Cyrl").code, find("tly").code) == ("tly", "tly_Cyrl", "tly")
    assert find("ug_Cyrl").scripts == ("Cyrl",)
    custom_file.write_text(TALYSH + second.replace('iso639_3 = "tly"\n', ""), "utf-8")
    assert find("tly_Cyrl").hub_code == "tly"
    custom_file.write_text(TALYSH + TALYSH.replace("[tly]", "[tlx]"), "utf-8")
    with pytest.raises(LanguageError, match="already known as Talysh"):
        find("tly")


def test_labels_of_a_language_without_scripts_are_known_in_every_script(custom_file: Path) -> None:
    custom_file.write_text('[tly]\nname = "Talysh"\n', "utf-8")
    assert codes_of(["tly_Latn", "tly-Cyrl", "tly", "ron_Latn"]) == dict.fromkeys(
        ("tly_Latn", "tly-Cyrl", "tly"), "tly"
    ) | {"ron_Latn": "ro"}
