"""A perplexity is published with the language, data and version that it was measured on."""

from typing import Any

import pytest
from huggingface_hub.repocard_data import model_index_to_eval_results

from hub_cards.cards.measured import entries as task_entries
from hub_cards.cards.measured import without_repetitions
from hub_cards.cards.perplexities import FLORES, perplexity_entries, perplexity_rows
from hub_cards.cards.render import ratio
from hub_cards.cards.source import Source

VALUE = {"value": 2.0, "low": 1.5, "high": 2.5}
HERE, OTHER = "a" * 64, "b" * 64
ADAPTER = {"language": {"code": "ug"}, "inputs": [{"kind": "dataset", "name": "web", "manifest_sha256": HERE}]}
TEXT = Source(repository="my-org/lrl-ug", version="1.2.0")


def measured(name: str, language: str = "ug", **text: Any) -> dict[str, Any]:
    result = {"metric": "pseudo-perplexity (corrected)", "data": f"{name} test", "sentences": 9, "task": "pppl"}
    test_set = {"name": name, "split": "test"}
    return result | {
        "after": VALUE,
        "before": None,
        "ratio": None,
        "of": test_set,
        "language": language,
        "text": text or None,
    }


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (measured("flores", kind="flores"), {"name": "FLORES-200", "type": FLORES, "config": "uig_Arab"}),
        (measured("flores", "ro", kind="flores"), {"name": "FLORES-200", "type": FLORES, "config": "ron_Latn"}),
        (measured("flores", "ro"), {"name": "FLORES-200", "type": FLORES, "config": "ron_Latn"}),
        (
            measured("flores", kind="flores", limit=40),
            {"name": "FLORES-200, the first 40 sentences", "type": FLORES, "config": "uig_Arab"},
        ),
        (measured("flores", kind="file"), {"name": "flores", "type": "flores"}),
        (measured("novels", kind="file"), {"name": "novels", "type": "novels"}),
        (measured("novels", "ro", kind="file"), {"name": "novels, Romanian", "type": "novels"}),
        (measured("novels"), {"name": "novels", "type": "novels"}),
        (measured("my știri (2024)"), {"name": "my știri (2024)", "type": "my-stiri-2024"}),
        (measured("བོད"), {"name": "བོད", "type": "own-data"}),
        (measured("news", kind="hub", id="org/uy-news"), {"name": "news", "type": "org/uy-news"}),
        (
            measured("web", kind="dataset", manifest_sha256=HERE),
            {"name": "web", "type": "my-org/lrl-ug", "config": "web", "revision": "v1.2.0"},
        ),
        (measured("web"), {"name": "web", "type": "my-org/lrl-ug", "config": "web", "revision": "v1.2.0"}),
        (measured("web", kind="dataset", manifest_sha256=OTHER), {"name": "web, another version", "type": "web"}),
        (measured("glotcc", kind="dataset", manifest_sha256=OTHER), {"name": "glotcc", "type": "glotcc"}),
    ],
)
def test_an_entry_names_the_data_that_was_read(result: dict[str, Any], expected: dict[str, Any]) -> None:
    (entry,) = perplexity_entries([result], "fill-mask", ADAPTER, TEXT)
    assert entry["dataset"] == expected | {"split": "test"}


def test_the_hub_s_client_keeps_entries_of_the_same_data_apart() -> None:
    tested = [{"kind": "flores"}, {"kind": "flores", "limit": 40}]
    results = [measured("flores", **text) for text in tested] + [measured("a", kind="file"), measured("a", "ro")]
    results += [measured("news", code, kind="hub", id="org/news") for code in ("ug", "ro")]
    entries = perplexity_entries(results, "fill-mask", ADAPTER, TEXT)
    _, read = model_index_to_eval_results([{"name": "x", "results": entries}])
    assert len({(result.unique_identifier, result.metric_name) for result in read}) == len(results)
    task = {"task": "topic", "metric": "macro_f1", "language": "ug", "seeds": 3, "made_with": {}, "score": VALUE}
    task["of"] = {"name": "sib200", "split": "test", "counts": {}}
    scores = [
        task | {"settings": {"learning_rate": rate}, "transfer": transfer}
        for rate, transfer in ((1e-4, None), (1e-3, None), (1e-4, {"language": "en"}))
    ]
    others = [
        task | {"settings": {}, "transfer": None} | changes
        for changes in (
            {"of": task["of"] | {"limit": 100, "sampled": 100}},
            {"of": task["of"] | {"name": "news", "sha256": "a" * 64}},
            {"of": task["of"] | {"name": "news", "sha256": "b" * 64}},
            {"of": task["of"] | {"name": "news", "sha256": "b" * 64}, "language": "ro"},
        )
    ]
    _, read = model_index_to_eval_results([{"name": "x", "results": task_entries(scores + others, "ug")}])
    assert len({(result.unique_identifier, result.metric_name) for result in read}) == len(scores + others)
    names = [entry["metrics"][0]["name"] for entry in task_entries(scores, "ug")]
    assert names == [
        "macro-F1, mean of 3 seeds, learning rate 0.0001",
        "macro-F1, mean of 3 seeds, learning rate 0.001",
        "macro-F1, mean of 3 seeds, trained on English",
    ]


def test_the_table_begins_with_flores_in_the_adapter_s_language() -> None:
    results = [measured("a", kind="file"), measured("flores", "ro", kind="flores"), measured("flores", kind="flores")]
    rows = perplexity_rows(results, ADAPTER)
    assert [row["data"] for row in rows] == ["flores test", "a test", "flores test in Romanian"]


def test_texts_of_two_versions_have_different_names() -> None:
    results = [measured("web", kind="dataset", manifest_sha256=identity) for identity in (HERE, OTHER)]
    assert [row["data"] for row in perplexity_rows(results, ADAPTER)] == ["web test", "web test, another version"]


def test_results_on_more_sentences_come_first() -> None:
    limits = (5, 40, None, 12)
    results = [measured("flores", kind="flores", limit=limit) | {"sentences": limit or 99} for limit in limits]
    labels = [row["data"] for row in perplexity_rows(results, ADAPTER)]
    limited = [f"flores test, the first {limit} sentences" for limit in (40, 12, 5)]
    assert labels == ["flores test", *limited]
    entries = perplexity_entries(results, "fill-mask", ADAPTER, TEXT)
    assert [entry["dataset"]["name"] for entry in entries] == [
        "FLORES-200",
        *(f"FLORES-200, the first {limit} sentences" for limit in (40, 12, 5)),
    ]


def test_a_small_deterioration_is_not_rounded_away() -> None:
    assert ratio({"value": 1.0031, "low": 1.0029, "high": 1.0042}) == "1.003 (1.003 to 1.004)"


def test_perplexities_in_other_settings_stay_and_are_told_apart() -> None:
    """Cutting sentences off lowers a perplexity."""
    old = measured("flores", kind="flores")
    short = old | {"settings": {"max_length": 8, "precision": "fp32"}, "text": {"kind": "flores", "cut": 9}}
    long = old | {"settings": {"max_length": 16, "precision": "fp32"}, "text": {"kind": "flores", "cut": 0}}
    results = without_repetitions([old, short, long, short])
    assert len(results) == 2, "an earlier version's result, without settings, gives way"
    assert without_repetitions([old]) == [old]
    labels = sorted(row["data"] for row in perplexity_rows(results, ADAPTER))
    assert labels == ["flores test, max length 16", "flores test, max length 8, 9 of 9 sentences cut off"]
    names = sorted(entry["dataset"]["name"] for entry in perplexity_entries(results, "fill-mask", ADAPTER, TEXT))
    assert names == ["FLORES-200, max length 16", "FLORES-200, max length 8, 9 of 9 sentences cut off"]
    assert [row["data"] for row in perplexity_rows([long], ADAPTER)] == ["flores test"]
