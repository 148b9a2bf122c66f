"""The Hub's rules for cards, checked without the Hub."""

from typing import Any

import pytest

from hub_cards.cards.card import Card
from hub_cards.cards.lint import is_repository, lint, rules
from lrldata.language import languages

GOOD: dict[str, Any] = {
    "language": ["ro"],
    "license": "cc-by-sa-4.0",
    "size_categories": ["n<1K"],
    "task_categories": ["fill-mask"],
    "configs": [{"config_name": "a", "default": True, "data_files": [{"split": "train", "path": "a/*"}]}],
    "dataset_info": {"config_name": "a", "features": [{"name": "text"}], "splits": [{"name": "train"}]},
}
NAN = float("nan")
RESULT: dict[str, Any] = {
    "task": {"type": "fill-mask"},
    "dataset": {"name": "FLORES-200", "type": "openlanguagedata/flores_plus"},
    "metrics": [{"type": "perplexity", "value": 12.5}],
}


def readme(body: str = "# Title\n\nText.", **changes: Any) -> str:
    metadata = {key: value for key, value in (GOOD | changes).items() if value is not None}
    return Card(metadata, {"about": body}).text


def test_a_good_card_has_no_fault() -> None:
    assert lint(readme()) == []
    assert lint(readme(**{"model-index": [{"name": "x", "results": [RESULT]}]})) == []
    assert lint(readme(license="other", license_name="x", license_link="https://x.org")) == []


def test_min_nan_is_a_language_and_nan_no_value() -> None:
    assert lint(readme("# lrl-mini-nan-text-lora\n\n`my-org/lrl-nan` and adapters/nan/x.")) == []
    for value in ("None", "nan", "NaN"):
        assert "None or nan" in str(lint(readme(f"# Title\n\nThe loss is {value}.")))


def test_no_is_norwegian_and_is_written_in_quotes() -> None:
    assert "'no'" in readme(language=["no"])
    assert lint(readme(language=["no"])) == []
    assert lint(readme().replace("- ro", "- no")) == ['language: `no` is a boolean in YAML; write "no"']


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"language": ["ron_Latn"]}, "ISO 639"),
        ({"language": ["RO"]}, "ISO 639"),
        ({"language": None}, "language: missing"),
        ({"license": "cc-by-sa"}, "license"),
        ({"license": None}, "license: missing"),
        ({"license": "other"}, "license_name"),
        ({"size_categories": ["n<2K"]}, "size_categories"),
        ({"task_categories": ["masked-language-modeling"]}, "task_categories"),
        ({"task_ids": ["fill-mask"]}, "task_ids"),
        ({"pipeline_tag": "filling"}, "pipeline_tag"),
        ({"tags": ["a", 1]}, "tags"),
        ({"base_model": "a/b/c"}, "base_model"),
        ({"base_model": "/home/me/model"}, "base_model"),
        ({"base_model_relation": "adapter"}, "without base_model"),
        ({"base_model": "a/b", "base_model_relation": "child"}, "base_model_relation"),
        ({"datasets": ["lrl--ro"]}, "datasets"),
        ({"configs": []}, "default"),
        ({"configs": GOOD["configs"] * 2}, "duplicated"),
        ({"configs": [{"config_name": "a", "default": True}]}, "data_files"),
        ({"dataset_info": {"config_name": "b"}}, "not described"),
        ({"dataset_info": {"config_name": "a"}}, "no features"),
        ({"model-index": [{"name": "x"}]}, "name and results"),
        ({"model-index": [{"name": "x", "results": [RESULT | {"task": {"type": "pppl"}}]}]}, "task"),
        ({"model-index": [{"name": "x", "results": [RESULT | {"dataset": {"name": "x"}}]}]}, "no type"),
        ({"model-index": [{"name": "x", "results": [RESULT | {"metrics": [{"type": "x", "value": None}]}]}]}, "number"),
        ({"model-index": [{"name": "x", "results": [RESULT | {"metrics": [{"type": "x", "value": NAN}]}]}]}, "number"),
        ({"pretty_name": ""}, "pretty_name"),
    ],
)  # fmt: skip
def test_each_fault_is_found(changes: dict[str, Any], words: str) -> None:
    faults = lint(readme(**changes))
    assert any(words in fault for fault in faults), faults


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("no title", "no title"),
        ("# T\n\n{{ name }}", "filled in"),
        ("# T\n\nIt took None seconds.", "None"),
        ("# T\n\n```python\n", "not closed"),
        ("# T\n\n![x](pictures/gone.png)", "pictures/gone.png"),
    ],
)
def test_each_fault_in_the_text_is_found(body: str, words: str) -> None:
    faults = lint(readme(body), present={"README.md"})
    assert any(words in fault for fault in faults), faults


def test_code_may_contain_what_prose_may_not() -> None:
    assert lint(readme("# T\n\n`{{ x }}`\n\n```bibtex\n@a{title = {{X}}, year = {None}}\n```")) == []


def test_a_path_in_a_link_may_have_percent_encoded_spaces() -> None:
    assert lint(readme("# T\n\n![x](pictures/a%20b.png)"), present={"pictures/a b.png"}) == []


def test_a_value_of_the_wrong_type_is_a_fault_and_not_an_error() -> None:
    results = [RESULT | {"task": {"type": ["fill-mask"]}, "metrics": ["x", {"type": "x", "value": [1]}]}, "x"]
    faults = lint(readme(language=[["ro"]], license=[{}], **{"model-index": [{"name": "x", "results": results}]}))
    assert len(faults) == 6, faults
    assert all(len(fault) < 250 for fault in lint(readme(language=["x" * 10_000], base_model=[["x"] * 1000] * 9)))


def test_every_language_in_our_table_has_a_code_that_the_hub_accepts() -> None:
    hub_codes = rules()["languages"]
    assert len(hub_codes) > 8_000
    assert [row.code for row in languages() if row.hub_code not in hub_codes] == []


@pytest.mark.parametrize("name", ["a", "my-org/lrl-ro", "my-org/xlm-roberta-base-kas_Deva-text-seq_bn_inv"])
def test_valid_ids_of_repositories(name: str) -> None:
    assert is_repository(name)


@pytest.mark.parametrize("name", ["", "a/b/c", "a--b", "a..b", "-a", "a.", "a/b.git", "é", "a b", "x" * 97, None])
def test_invalid_ids_of_repositories(name: object) -> None:
    assert not is_repository(name)
