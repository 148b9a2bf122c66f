"""Reports average and compare only scores that were made under the same conditions."""

import logging
import os
import shutil
from collections import Counter
from pathlib import Path
from statistics import fmean, geometric_mean, stdev
from typing import Any

import pytest
from manifests import change
from results import BASE, predictions, put_adapter, put_perplexity, put_run, recipe

from lrldata.manifest import MANIFEST
from lrltrain.cli.tables import task_scores
from lrltrain.evaluation.record import Run, runs_in
from lrltrain.evaluation.score_tasks import TaskScore
from lrltrain.evaluation.statistics import Interval
from lrltrain.reporting.averages import ALL, averages
from lrltrain.reporting.cells import read_cells
from lrltrain.reporting.current import adapter_manifests, by_name, is_replaced
from lrltrain.reporting.data_names import content_of
from lrltrain.reporting.formatting import column_name, unused_name
from lrltrain.reporting.latex import as_tables
from lrltrain.reporting.links import by_perplexity
from lrltrain.reporting.perplexity import read_perplexities
from lrltrain.reporting.reference import Reference
from lrltrain.reporting.spreadsheets import runs_csv, scores_csv
from lrltrain.reporting.tables import OWN, Cell, Column, Comparison, Row, Table, corrected, own_sets, variant_of
from lrltrain.reporting.task_cells import read_tasks

LANGUAGES = ("bg", "mt", "ro", "ug")


def put(out: Path, language: str, method: str, share: float, settings: dict[str, Any], **changes: Any) -> Path:
    gold, predicted = predictions("topic", share, 1)
    return put_run(
        out, recipe(language, "topic", method, 1, settings={"seed": 1} | settings, **changes), gold, predicted
    )


def cells_of(out: Path) -> list[Cell]:
    return list(corrected(read_tasks(out, 100, 99)))


def test_the_same_conditions_have_the_same_name_in_all_languages(tmp_path: Path) -> None:
    for language in LANGUAGES:
        for epochs, share in ((20, 0.9), (1, 0.2)):
            if (language, epochs) != ("ug", 1):
                put(tmp_path, language, "lora", share, {"epochs": epochs})
        put(tmp_path, language, "none", 0.5, {"epochs": 20})
    cells = cells_of(tmp_path)
    rows = {(cell.row.language, cell.row.method, cell.row.variant) for cell in cells}
    usual = {(language, method, "") for language in LANGUAGES for method in ("lora", "none")}
    assert rows == usual | {(language, "lora", "epochs 1") for language in ("bg", "ro", "mt")}
    by_method = {(average.group, average.method): average for average in averages(Table(tuple(cells)))}
    assert by_method[ALL, "lora"].languages == LANGUAGES
    assert getattr(by_method[ALL, "lora"].score, "value", 0) > 0.8, "only the runs of 20 epochs"


def test_prompts_with_the_labels_of_each_language_are_averaged(tmp_path: Path) -> None:
    for number, language in enumerate(LANGUAGES):
        labels = {label: [label] for label in ["health", "sports", "politics"][: 2 + number % 2]}
        template = {"task": "topic", "question": "{text}", "labels": labels, "label_order": list(labels)}
        put(tmp_path, language, "prompt-0", 0.5, {"shots": 0, "template": template})
    assert {cell.row.variant for cell in cells_of(tmp_path)} == {""}
    (average,) = [each for each in averages(Table(tuple(cells_of(tmp_path)))) if each.group == ALL]
    assert average.languages == LANGUAGES


def test_prompts_in_each_language_are_averaged_if_their_templates_have_the_same_name(tmp_path: Path) -> None:
    english = {"task": "topic", "question": "Text: {text}", "labels": {"health": ["health", "medicine"]}}
    for language in ("am", *LANGUAGES):
        put(tmp_path, language, "prompt-0", 0.4, {"shots": 0, "template": english})
    for language in LANGUAGES:
        translated = {"name": "translated", "task": "topic", "question": f"{language}: {{text}}"}
        translated["labels"] = {"health": [f"{language}-health"]}
        put(tmp_path, language, "prompt-0", 0.9, {"shots": 0, "template": translated})
    cells = cells_of(tmp_path)
    assert Counter(cell.row.variant for cell in cells) == {"": 5, "template translated": 4}
    (average,) = [each for each in averages(Table(tuple(cells))) if each.group == ALL]
    assert average.languages == ("am", *LANGUAGES)


def test_prompts_with_another_wording_are_not_compared_even_if_their_names_are_the_same(tmp_path: Path) -> None:
    for method, question in (("prompt-0", "Text: {text}"), ("prompt-0+lora", "Other: {text}")):
        template = {"name": "mine", "task": "topic", "question": question, "labels": {"health": ["health", "medicine"]}}
        put(tmp_path, "mt", method, 0.5, {"shots": 0, "template": template})
    cells = {cell.row.method: cell for cell in read_tasks(tmp_path, 100, 99, against=Reference("prompt-0"))}
    assert cells["prompt-0+lora"].against is None


def test_prompts_with_and_without_examples_are_compared(tmp_path: Path) -> None:
    for shots, share in ((0, 0.3), (4, 0.9)):
        data = {"name": "sib200", "files": [{"path": name, "sha256": name} for name in ("test.tsv", "train.tsv")]}
        data["files"] = data["files"][: 1 + (shots > 0)]
        put(tmp_path, "mt", f"prompt-{shots}", share, {"shots": shots, "form": "chat"}, data=data)
    cells = {cell.row.method: cell for cell in read_tasks(tmp_path, 100, 99, against=Reference("prompt-0"))}
    assert cells["prompt-4"].against is not None
    assert cells["prompt-4"].against.change.value > 0.3


def test_files_of_a_report_have_distinct_names_even_if_case_is_ignored() -> None:
    assert unused_name("a", ()) == "a"
    assert unused_name("a-b", ["A-B", "a-b--2"]) == "a-b--3"


def put_own(out: Path, language: str, method: str, share: float, epochs: int, seeds: tuple[int, ...] = (1, 2)) -> None:
    """Put scores on a test set that only this language has."""
    data = {"name": f"sentiment-{language}", "files": {}, "counts": {}}
    for seed in seeds:
        settings = {"seed": seed, "epochs": epochs, "batch_size": 2 * epochs, "learning_rate": epochs * 1e-4}
        run = recipe(language, "sentiment", method, seed, data=data, settings=settings)
        put_run(out, run, *predictions("topic", share, 10 * seed + epochs))


def test_conditions_are_named_in_the_columns_of_the_table(tmp_path: Path) -> None:
    """In Romanian, other settings were tried with more seeds; in all languages together, they are unusual."""
    for language in ("bg", "mt", "ro", "ug"):
        put_own(tmp_path, language, "lora", 0.7, 20)
    put_own(tmp_path, "ro", "lora", 0.9, 5, (1, 2, 3))
    cells = read_cells(tmp_path, 100, together=True)
    assert len({(cell.row, cell.column) for cell in cells}) == len(cells) == 5
    assert {cell.column.data for cell in cells} == {OWN}
    usual = [cell for cell in cells if not cell.row.variant]
    assert ({cell.row.language for cell in usual}, {cell.seeds for cell in usual}) == ({"bg", "mt", "ro", "ug"}, {2})
    (average,) = [average for average in averages(Table(cells)) if average.group == ALL]
    assert average.languages == ("bg", "mt", "ro", "ug")


def test_samples_are_not_averaged_with_whole_test_sets(tmp_path: Path) -> None:
    for language in ("bg", "mt", "ro"):
        put_own(tmp_path, language, "lora", 0.7, 20)
        for run in runs_in(tmp_path) if language == "ro" else ():
            if run.language == "ro":
                change(run.folder, data=dict(run.manifest["data"]) | {"sampled": 20})
    cells = read_cells(tmp_path, 100, together=True)
    assert sorted(cell.row.variant for cell in cells) == ["", "", "limit 20"]
    assert [average.languages for average in averages(Table(cells)) if average.group == ALL] == [("bg", "mt")]


def put_training_seeds(out: Path, language: str, seeds: dict[int, str]) -> None:
    """Put scores of adapters with training seeds, each learned from a training file, given by its hash."""
    for seed, train in seeds.items():
        adapter = {"name": f"{language}_glotcc_lora_seed_{seed}", "manifest_sha256": str(seed) * 64}
        files = [{"path": "train.tsv", "sha256": train * 64}, {"path": "test.tsv", "sha256": "0" * 64}]
        data = {"name": "sib200", "files": files, "counts": {}}
        run = recipe(language, "topic", "lora", 1, data=data, adapter=adapter, source="glotcc")
        put_run(out, run, *predictions("topic", 0.7, seed))


def test_training_seeds_that_learned_from_other_items_keep_rows_of_their_own(tmp_path: Path) -> None:
    put_training_seeds(tmp_path, "ro", {1: "a", 2: "a", 3: "a", 4: "b", 5: "b"})
    cells = read_cells(tmp_path, 100, together=True)
    assert len({(cell.row, cell.column) for cell in cells}) == len(cells) == 3
    assert min((cell.row.variant.partition(" ")[0], cell.train_seeds) for cell in cells) == ("", 3)
    assert not [average for average in averages(Table(cells)) if len(average.languages) > 1]


def test_the_only_training_seed_of_a_language_is_averaged_with_the_others(tmp_path: Path) -> None:
    for language in ("bg", "ro"):
        put_training_seeds(tmp_path, language, {1: "a", 2: "a"})
    put_training_seeds(tmp_path, "ug", {1: "a"})
    cells = read_cells(tmp_path, 100, together=True)
    assert [(cell.row.language, cell.row.variant) for cell in cells] == [("bg", ""), ("ro", ""), ("ug", "")]
    assert {average.languages for average in averages(Table(cells)) if average.group == ALL} == {("bg", "ro", "ug")}


@pytest.mark.parametrize("newest", [10, 20, 25, 30])
def test_the_newest_of_equally_many_scores_are_the_usual_ones(
    newest: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for position, epochs in enumerate(sorted((10, 20, 25, 30), key=lambda value: value == newest)):
        for language in LANGUAGES:
            folder = put(tmp_path, language, "lora", 0.5 + epochs / 100, {"epochs": epochs})
            os.utime(folder / MANIFEST, (1e9 + 90 * position, 1e9 + 90 * position))
    with caplog.at_level(logging.INFO):
        cells = cells_of(tmp_path)
    variants = {f"epochs {epochs}" for epochs in (10, 20, 25, 30) if epochs != newest} | {""}
    assert {cell.row.variant for cell in cells} == variants
    assert "12 scores were made with other settings than most of their kind" in caplog.text
    put(tmp_path, "si", "lora", 0.9, {"epochs": 25})
    assert "epochs 25" not in {cell.row.variant for cell in cells_of(tmp_path)}, (
        "the most frequent setting is the usual one, even if others are newer"
    )


def put_seeds(out: Path, language: str, seeds: tuple[int, ...], task_seeds: tuple[int, ...] = (1, 2)) -> None:
    """Write task runs of the base model and of an adapter per training seed, each with every task seed."""
    for task_seed in task_seeds:
        gold, predicted = predictions("topic", 0.5, task_seed)
        put_run(out, recipe(language, "topic", "none", task_seed), gold, predicted)
        for seed in seeds:
            name = f"{language}_conceptnet_lora_seed_{seed}"
            adapter = {"name": name, "manifest_sha256": f"{seed}" * 64}
            gold, predicted = predictions("topic", 0.7 + 0.05 * seed, 10 * seed + task_seed)
            put_run(out, recipe(language, "topic", "lora", task_seed, adapter=adapter), gold, predicted)


def test_adapters_trained_with_several_seeds_are_one_method(tmp_path: Path) -> None:
    for language in ("ro", "mt"):
        put_seeds(tmp_path, language, (1, 2, 3))
    separate = {cell.row.variant: cell for cell in cells_of(tmp_path) if cell.row[:3] == ("ro", BASE, "lora")}
    assert set(separate) == {"seed-1", "seed-2", "seed-3"}, "as adapter cards list them"
    cells = list(corrected(read_tasks(tmp_path, 400, 999, together=True)))
    assert [cell.row.variant for cell in cells] == [""] * 4
    (lora,) = (cell for cell in cells if cell.row[:3] == ("ro", BASE, "lora"))
    assert (lora.seeds, lora.train_seeds) == (6, 3)
    means = [cell.score.value for cell in separate.values()]
    assert lora.score.value == pytest.approx(fmean(means))
    assert lora.sd == pytest.approx(stdev(means)), "between the means of the adapters"
    (none,) = (cell for cell in cells if cell.row[:3] == ("ro", BASE, "none"))
    assert lora.against is not None
    assert lora.against.change.value == pytest.approx(lora.score.value - none.score.value)
    assert lora.verdict == "gain"
    seed_columns = [line.split(",")[8:10] for line in runs_csv(Table((lora,))).splitlines()[1:]]
    assert seed_columns == [["1", "1"], ["1", "2"], ["2", "1"], ["2", "2"], ["3", "1"], ["3", "2"]]
    (average,) = (entry for entry in averages(Table(tuple(cells))) if (entry.group, entry.method) == (ALL, "lora"))
    assert average.languages == ("mt", "ro")


def test_training_seeds_that_disagree_are_not_a_gain(tmp_path: Path) -> None:
    for task_seed in (1, 2):
        gold, predicted = predictions("topic", 0.5, task_seed)
        put_run(tmp_path, recipe("ro", "topic", "none", task_seed), gold, predicted)
        for seed, share in ((1, 0.2), (2, 0.98), (3, 0.98)):
            adapter = {"name": f"ro_conceptnet_lora_seed_{seed}", "manifest_sha256": f"{seed}" * 64}
            gold, predicted = predictions("topic", share, 10 * seed + task_seed)
            put_run(tmp_path, recipe("ro", "topic", "lora", task_seed, adapter=adapter), gold, predicted)
    (lora,) = (cell for cell in corrected(read_tasks(tmp_path, 400, 999, together=True)) if cell.row.method == "lora")
    assert lora.against is not None
    assert lora.against.p_corrected < 0.01, "for these three seeds, over items"
    assert lora.verdict == "", "a fourth seed may be like the first"


def test_an_adapter_without_a_seed_in_its_name_is_kept_apart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for language in ("ro", "mt"):
        put_seeds(tmp_path, language, (1, 2))
    gold, predicted = predictions("topic", 0.9, 7)
    put_run(tmp_path, recipe("ro", "topic", "lora", 1), gold, predicted)
    with caplog.at_level(logging.INFO):
        cells = read_tasks(tmp_path, 100, 99, together=True)
    seed_counts = {(cell.row.language, cell.row.variant): cell.seeds for cell in cells if cell.row.method == "lora"}
    assert seed_counts == {("ro", ""): 4, ("ro", "one seed"): 1, ("mt", ""): 4}, (
        "the plain name means the same in all languages"
    )
    assert "1 task scores are of an adapter whose name has no seed" in caplog.text


def test_seeds_with_other_settings_are_not_joined(tmp_path: Path) -> None:
    for seed, steps, share in ((1, 10, 0.3), (2, 10, 0.35), (3, 500, 0.95)):
        adapter = {"name": f"ro_conceptnet_lora_seed_{seed}", "manifest_sha256": f"{seed}" * 64}
        put(tmp_path, "ro", "lora", share, {"steps": steps}, adapter=adapter)
    cells = read_tasks(tmp_path, 100, 99, together=True)
    assert {cell.row.variant: cell.train_seeds for cell in cells} == {"": 2, "seed-3 steps 500": 1}


def test_training_seeds_have_equal_weight(tmp_path: Path) -> None:
    for seed, task_seeds in ((1, (1, 2, 3)), (2, (1,))):
        adapter = {"name": f"ro_conceptnet_lora_seed_{seed}", "manifest_sha256": f"{seed}" * 64}
        for task_seed in task_seeds:
            gold, predicted = predictions("topic", 0.4 * seed, 10 * seed + task_seed)
            put_run(tmp_path, recipe("ro", "topic", "lora", task_seed, adapter=adapter), gold, predicted)
    (cell,) = read_tasks(tmp_path, 100, 99, together=True)
    assert [run[:2] for run in cell.runs] == [(1, 1), (2, 1)], "only the task seeds that both adapters have"
    assert cell.score.value == pytest.approx(fmean(run[2] for run in cell.runs))


def test_seeds_of_an_adapter_of_another_language_are_joined_too(tmp_path: Path) -> None:
    for seed in (1, 2):
        adapter = {"name": f"ro_conceptnet_lora_seed_{seed}", "manifest_sha256": f"{seed}" * 64}
        put(tmp_path, "mt", "lora", 0.5, {}, adapter=adapter)
    (cell,) = read_tasks(tmp_path, 100, 99, together=True)
    assert (cell.row.variant, cell.train_seeds) == ("ro_conceptnet_lora", 2)


def test_perplexities_of_several_seeds_are_joined_too(tmp_path: Path) -> None:
    after = [
        put_perplexity(tmp_path, "ro", "lora", f"{seed}" * 64, 0.6 + 0.1 * seed, f"_seed_{seed}") for seed in (1, 2)
    ]
    assert len([cell for cell in read_perplexities(tmp_path, 99) if cell.row.method == "lora"]) == 2
    (lora,) = (cell for cell in read_perplexities(tmp_path, 999, together=True) if cell.row.method == "lora")
    assert (lora.row.variant, lora.train_seeds) == ("", 2)
    assert lora.score.value == pytest.approx(geometric_mean(after))
    assert lora.sd == pytest.approx(stdev(after))
    assert lora.against is not None
    assert lora.against.p == 1 / 1000
    interval = lora.against.change
    assert interval.low < 0.9 * interval.value < 1.1 * interval.value < interval.high, (
        "wider than the interval over sentences only"
    )


@pytest.mark.parametrize("older", [{"lrl": "0.9"}, {"lrl": "0.1.5"}, {"lrl": "0", "torch": "2.9"}])
def test_a_perplexity_measured_again_is_taken_from_the_newest_version(
    older: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="lrldata")
    newer = {**older, "lrl": "0.10"}
    put_perplexity(tmp_path, "ro", "lora", "1" * 64, 0.5, made_with=older)
    after = put_perplexity(tmp_path, "ro", "lora", "1" * 64, 0.8, made_with=newer)
    none, lora = read_perplexities(tmp_path, 999)
    assert lora.score.value == pytest.approx(after)
    assert (none.row.variant, lora.row.variant) == ("", "")
    assert "1 perplexities are left out, because newer versions measured them again: lrl" in caplog.text


def test_older_perplexities_of_a_sample_are_recognized(tmp_path: Path) -> None:
    sampled: dict[str, Any] = {"data": {"name": "flores", "sentences": 40, "sha256": "a"}}
    put_perplexity(tmp_path, "ro", "lora", "1" * 64, 0.5, **sampled)
    put_perplexity(tmp_path, "mt", "lora", "2" * 64, 0.5, **sampled, text={"kind": "flores", "limit": 40})
    put_perplexity(tmp_path, "ug", "lora", "3" * 64, 0.5, text={"kind": "flores", "limit": None})
    data_names = {cell.row.language: cell.column.data for cell in read_perplexities(tmp_path, 99)}
    assert data_names == {"ro": "flores, at most 40", "mt": "flores, at most 40", "ug": "flores"}


def test_a_text_shorter_than_the_limit_shares_the_column_of_the_others(tmp_path: Path) -> None:
    put_perplexity(tmp_path, "mt", "lora", "2" * 64, 0.5, text={"kind": "flores", "limit": 40})
    short: dict[str, Any] = {"data": {"name": "flores", "sentences": 25, "sha256": "a"}, "text": {"kind": "flores"}}
    put_perplexity(tmp_path, "bg", "lora", "3" * 64, 0.5, **short)
    assert {cell.column.data for cell in read_perplexities(tmp_path, 99)} == {"flores"}


def test_a_corrected_test_set_is_noted_and_has_its_own_column(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for language, digest in (("mt", "a" * 64), ("mt", "b" * 64), ("bg", "c" * 64)):
        data = {"name": "sib", "files": [{"path": "test.tsv", "sha256": digest}], "counts": {}}
        put(tmp_path, language, "lora", 0.8, {}, data=data)
    with caplog.at_level(logging.INFO):
        assert {cell.column.data for cell in cells_of(tmp_path)} == {"sib", "sib aaaaaa", "sib bbbbbb"}
    assert "sib (mt): test sets with the same name have different content" in caplog.text
    assert "(bg)" not in caplog.text


def test_language_specific_test_sets_share_one_column(tmp_path: Path) -> None:
    def put_set(language: str, name: str, method: str = "lora", **fields: Any) -> None:
        data = {"name": name, "files": {}, "counts": {}} | fields
        put(tmp_path, language, method, 0.8, {}, data=data)

    for language in ("ro", "mt"):
        put_set(language, f"{language}_sa")
        put_set(language, f"{language}_sa", "none")
    cells = own_sets(cells_of(tmp_path))
    assert {(cell.column.data, cell.data) for cell in cells} == {(OWN, "ro_sa"), (OWN, "mt_sa")}
    (average, _) = (entry for entry in averages(Table(tuple(cells))) if entry.group == ALL)
    assert average.languages == ("mt", "ro")
    assert [row.split(",")[6] for row in scores_csv(Table(tuple(cells))).splitlines()[1:]] == [
        *2 * ["mt_sa"],
        *2 * ["ro_sa"],
    ]
    put_set("si", "shared")
    put_set("yo", "shared")
    assert {cell.column.data for cell in own_sets(cells_of(tmp_path))} == {OWN, "shared"}
    put_set("ro", "another")
    assert OWN not in {cell.column.data for cell in own_sets(cells_of(tmp_path))}, (
        "it is unclear which of the two test sets is meant"
    )


def test_each_language_s_own_sets_are_averaged_only_under_the_same_conditions(tmp_path: Path) -> None:
    for language, epochs in (("ro", 1), ("mt", 20), ("bg", 20)):
        data = {"name": f"{language}_sa", "files": {}, "counts": {}}
        put(tmp_path, language, "lora", 0.8, {"epochs": epochs}, data=data)
    cells = read_cells(tmp_path, 100, together=True)
    assert {(cell.column.data, cell.row.language, cell.row.variant) for cell in cells} == {
        (OWN, "bg", ""), (OWN, "mt", ""), (OWN, "ro", "epochs 1")
    }  # fmt: skip
    (average,) = (entry for entry in averages(Table(cells)) if entry.group == ALL)
    assert average.languages == ("bg", "mt")


def test_scores_learned_from_other_training_items_are_not_compared(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def put_trained(method: str, train: str, share: float) -> None:
        files = [{"path": f"{split}.tsv", "sha256": digest * 64} for split, digest in (("train", train), ("test", "0"))]
        put(tmp_path, "ro", method, share, {}, data={"name": "sib200", "files": files, "counts": {}})

    put_trained("none", "a", 0.5)
    put_trained("lora", "b", 0.9)
    with caplog.at_level(logging.INFO):
        assert [cell.against for cell in cells_of(tmp_path)] == [None, None]
    assert "measured under other conditions" in caplog.text
    put_trained("none", "b", 0.6)
    cells = cells_of(tmp_path)
    (lora,) = (cell for cell in cells if cell.row.method == "lora")
    assert lora.against is not None
    assert {cell.row.variant.split()[0] if cell.row.variant else "" for cell in cells} == {"", "training"}


def test_the_variant_of_a_transferred_adapter_is_kept() -> None:
    row = Row("ro", BASE, "lora-from-am", "conceptnet")
    assert variant_of("ro_conceptnet_lora_r_8", row) == "r-8"
    assert variant_of("ro_conceptnet_lora", row) == ""
    assert variant_of("ro_conceptnet_lora_seed_2", row) == "seed-2"


def test_samples_of_a_test_set_are_kept_apart(tmp_path: Path) -> None:
    put(tmp_path, "ro", "lora", 0.8, {})
    sampled = {"name": "sib200", "files": {}, "counts": {}, "sampled": 30}
    put(tmp_path, "mt", "lora", 0.8, {}, data=sampled)
    assert {cell.column.data for cell in own_sets(cells_of(tmp_path))} == {"sib200", "sib200, at most 30"}


def test_samples_of_prompts_and_of_adapters_share_one_column(tmp_path: Path) -> None:
    data: dict[str, Any] = {"name": "sib200", "files": [{"path": "test.tsv", "sha256": "a" * 64}], "counts": {}}
    put(tmp_path, "ro", "none", 0.4, {}, data=data | {"sampled": 30})
    put(tmp_path, "ro", "prompt-0", 0.6, {"limit": 30}, data=data)
    put(tmp_path, "ro", "prompt-4", 0.6, {"limit": None}, data=data)
    columns = {cell.row.method: cell.column.data for cell in cells_of(tmp_path)}
    assert columns == dict.fromkeys(("none", "prompt-0"), "sib200, at most 30") | {"prompt-4": "sib200"}


def test_a_score_is_compared_only_under_its_own_conditions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path, "ro", "none", 0.2, {"epochs": 1})
    put(tmp_path, "ro", "lora", 0.9, {"epochs": 12})
    with caplog.at_level(logging.INFO):
        assert [cell.against for cell in cells_of(tmp_path)] == [None, None]
    assert "1 scores are not compared, because `none` was measured under other conditions: ro lora topic" in caplog.text
    put(
        tmp_path,
        "ro",
        "none",
        0.9,
        {"epochs": 12},
        base=recipe("ro", "topic", "none", 1)["base"] | {"revision": "1" * 40},
    )
    assert all(cell.against is None for cell in cells_of(tmp_path)), (
        "another revision of the base model is another condition"
    )
    put(tmp_path, "ro", "none", 0.9, {"epochs": 12}, made_with={"lrl": "1"})
    (against,) = (cell.against for cell in cells_of(tmp_path) if cell.against)
    assert against.change.value == 0, "library versions may differ"


def test_a_sample_of_a_test_set_has_its_own_column(tmp_path: Path) -> None:
    for language in LANGUAGES:
        put(tmp_path, language, "lora", 0.9, {})
        gold, predicted = predictions("topic", 0.3, 1)
        sample = recipe(language, "topic", "lora", 1, data={"name": "sib200", "files": {}, "sampled": 30})
        put_run(tmp_path, sample, gold[:30], predicted[:30])
    cells = cells_of(tmp_path)
    assert {(cell.column.data, cell.items, cell.row.variant) for cell in cells} == {
        ("sib200", 60, ""),
        ("sib200, at most 30", 30, ""),
    }
    assert {
        average.column.data: len(average.languages) for average in averages(Table(tuple(cells))) if average.group == ALL
    } == {
        "sib200": 4,
        "sib200, at most 30": 4,
    }


def test_scores_of_a_retrained_adapter_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    current = put_adapter(tmp_path, "ro", "lora", [8, 6, 5])
    for manifest, share in (("0" * 64, 0.2), (current, 0.9)):
        put(tmp_path, "ro", "lora", share, {}, adapter={"name": "ro_conceptnet_lora", "manifest_sha256": manifest})
        put_perplexity(tmp_path, "ro", "lora", manifest, 0.7)
    with caplog.at_level(logging.INFO):
        (cell,) = cells_of(tmp_path)
        perplexities = read_perplexities(tmp_path, 99)
    assert (cell.row.variant, cell.score.value > 0.8) == ("", True)
    assert sorted((perplexity.row.method, perplexity.row.variant) for perplexity in perplexities) == [
        ("lora", ""),
        ("none", ""),
    ]
    assert caplog.text.count("have since been retrained: ro_conceptnet_lora") == 2


def test_two_base_models_with_the_same_name_have_separate_adapters(tmp_path: Path) -> None:
    put_adapter(tmp_path, "ro", "lora", [6, 5])
    home = tmp_path / "adapters/ro/xlm-roberta-base/conceptnet-lora"
    other = tmp_path / "adapters/ro/other--xlm-roberta-base/conceptnet-lora"
    shutil.copytree(home, other)
    hashes = {home: change(home)["sha256"], other: change(other, base={"id": "other/xlm-roberta-base"})["sha256"]}
    adapters = by_name(adapter_manifests(tmp_path))
    for folder, model in ((home, BASE), (other, "other/xlm-roberta-base")):
        adapter = {"name": "ro_conceptnet_lora", "manifest_sha256": hashes[folder]}
        score = {"base": {"id": model}, "adapter": adapter}
        assert not is_replaced(score, adapters)
        assert is_replaced(score | {"adapter": adapter | {"manifest_sha256": "0" * 64}}, adapters)


def test_an_unusual_perplexity_formula_is_named() -> None:
    columns = [Column("pppl", "t1", f"pseudo-perplexity ({name})") for name in ("corrected", "paper")]
    columns += [Column("pppl", "t2", "perplexity"), Column("topic", "sib200", "macro_f1")]
    assert list(map(column_name, columns)) == ["pppl, t1", "pppl (paper), t1", "pppl, t2", "topic, sib200"]
    cells = tuple(Cell(Row("ro", BASE, "none", None), column, 1, 9, Interval(9.0, 8.0, 10.0)) for column in columns[:2])
    assert set(as_tables(Table(cells))) == {"pppl-t1-xlm-roberta-base", "pppl-paper-t1-xlm-roberta-base"}
    assert set(as_tables(Table(cells[1:]))) == {"pppl-paper-t1-xlm-roberta-base"}, "even if it is the only one"


@pytest.mark.parametrize("name", ["test.tsv", "test.txt", "sub/test.conll"])
def test_a_test_set_is_identified_by_its_file_whatever_else_was_read(name: str) -> None:
    test = {"path": name, "sha256": "1" * 64}
    both = [{"name": "d1", "files": [*others, test]} for others in ([], [{"path": "train.txt", "sha256": "2" * 64}])]
    assert content_of(both[0]) == content_of(both[1] | {"labels": ["a"]}) == "1" * 64


def test_an_adapter_of_another_language_is_named(tmp_path: Path) -> None:
    same_language = {"name": "ro_conceptnet_lora", "manifest_sha256": "1" * 64}
    other_language = {"name": "bg_conceptnet_lora", "manifest_sha256": "2" * 64}
    for adapter in (same_language, other_language):
        put(tmp_path, "ro", "lora", 0.9, {}, adapter=adapter)
    assert sorted(cell.row.variant for cell in cells_of(tmp_path)) == ["", "bg_conceptnet_lora"]


def test_ratios_of_different_formulas_do_not_share_an_axis() -> None:
    cells = []
    for language in LANGUAGES:
        row = Row(language, BASE, "lora", "glotcc")
        gain = Comparison(Interval(0.1, 0.0, 0.2), 0.5)
        cells.append(Cell(row, Column("topic", "sib200", "f1"), 1, 60, Interval(0.5, 0.4, 0.6), against=gain))
        for metric, ratio in (("corrected", 0.9), *([("paper", 0.3)] if language in ("mt", "ro") else [])):
            comparison = Comparison(Interval(ratio, ratio, ratio), 0.5)
            cells.append(
                Cell(row, Column("pppl", "flores", metric), 1, 60, Interval(5.0, 4.0, 6.0), against=comparison)
            )
    points_by_column = by_perplexity(Table(tuple(cells)))
    points_by_metric = {
        column.metric: [(point.language, point.x) for point in points] for column, points in points_by_column.items()
    }
    assert points_by_metric == {"corrected": [(code, 0.9) for code in LANGUAGES], "paper": [("mt", 0.3), ("ro", 0.3)]}


def test_transfer_is_compared_with_the_transfer_of_the_base_model(tmp_path: Path) -> None:
    transfer = {"transfer": {"language": "bg", "data": {"name": "sib200"}, "adapter": None}}
    put(tmp_path, "ro", "none", 0.9, {})
    put(tmp_path, "ro", "none-from-bg", 0.4, {}, adapter=None, source=None, **transfer)
    put(tmp_path, "ro", "lora-from-bg", 0.4, {}, **transfer)
    changes = {cell.row.method: cell.against and cell.against.change.value for cell in cells_of(tmp_path)}
    assert changes == {"none": None, "none-from-bg": None, "lora-from-bg": 0.0}


def test_a_seed_under_newer_libraries_does_not_hide_earlier_seeds(tmp_path: Path) -> None:
    gold, predicted = predictions("topic", 0.9, 1)
    for seed in (1, 2, 3):
        put_run(tmp_path, recipe("ro", "topic", "lora", seed, settings={"seed": seed}), gold, predicted)
    put_run(tmp_path, recipe("ro", "topic", "lora", 4, settings={"seed": 4}, made_with={"lrl": "1"}), gold, predicted)
    assert {cell.row.variant: cell.seeds for cell in cells_of(tmp_path)} == {"": 3, "lrl 1": 1}


def test_a_base_model_score_on_a_replaced_text_is_left_out(tmp_path: Path) -> None:
    put_perplexity(tmp_path, "ro", "lora", "1" * 64, 0.7)
    base = next(tmp_path.glob("scores/ro/*/base/pppl-*"))
    copy = base.with_name("pppl-flores-corrected-other")
    copy.mkdir()
    for name in ("manifest.json", "sentences.parquet"):
        (copy / name).write_bytes((base / name).read_bytes())
    change(copy, data={"name": "flores", "sha256": "f" * 64})
    assert {cell.column.data for cell in read_perplexities(tmp_path, 99)} == {"flores"}


def test_the_command_names_adapters_that_would_look_alike_in_a_table(tmp_path: Path) -> None:
    gold, predicted = predictions("topic", 0.9, 1)
    runs = []
    for name in ("ro_conceptnet_lora", "bg_conceptnet_lora"):
        run_recipe = recipe(
            "ro", "topic", "lora", 1, adapter={"name": name, "manifest_sha256": f"{ord(name[0]):x}"[:1] * 64}
        )
        put_run(tmp_path, run_recipe, gold, predicted, name)
    shared = {"overlap": {"test_in_train": {"exact": 0, "near": 0, "items": 9}}}
    for run in runs_in(tmp_path):
        result = {"result": {"macro_f1": 0.5}, "contamination": None}
        runs.append(Run(run.folder, {**run.manifest, **shared, **result}))
    scores = [TaskScore((run,)) for run in runs]
    columns = [list(task_scores(selected).columns[1].cells) for selected in (scores, scores[:1], scores[1:])]
    assert columns == [
        ["lora (bg_conceptnet_lora)", "lora (ro_conceptnet_lora)"],
        ["lora (bg_conceptnet_lora)"],
        ["lora (conceptnet)"],
    ]
