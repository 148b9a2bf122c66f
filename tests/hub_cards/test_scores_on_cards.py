"""Task scores on an adapter's card: the report's scores, of these weights only, kept by later publications."""

import json
import random
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clients import TOKEN, point_at
from huggingface_hub import ModelCard
from manifests import change
from results import BASE, SHARES, predictions, put_adapter, put_perplexity, put_run, recipe
from stores import git, store
from test_hostile_cards import ADAPTER, NAMES, is_harmless, swapped

from hub_cards.artifacts import open_workspace
from hub_cards.cards.adapter_card import adapter_card
from hub_cards.cards.card import Card
from hub_cards.cards.licenses import License
from hub_cards.cards.lint import lint
from hub_cards.cards.source import Source
from hub_cards.config import PushConfig
from hub_cards.local_hub import Hub as Server
from hub_cards.publish.hub import Hub
from hub_cards.publish.local import render, repository_of
from hub_cards.publish.plan import Plan, make_plan
from hub_cards.publish.publish import prepare, publish
from hub_cards.publish.record import read_record
from hub_cards.publish.state import RemoteRepository
from lrldata.errors import PublishError, StorageError
from lrldata.manifest import file_entry, sealed
from lrldata.progress import Progress
from lrltrain.evaluation.significance import exchanges_for
from lrltrain.reporting.perplexity import read_perplexities
from lrltrain.reporting.tables import RESAMPLES, Cell, corrected
from lrltrain.reporting.task_cells import read_tasks

NAME = "my-org/xlm-roberta-base-ro-conceptnet-seq_bn_inv"
HOME = Path("adapters/ro/xlm-roberta-base/conceptnet-seq_bn_inv")


def add_adapter(out: Path, language: str, method: str) -> str:
    """Write an adapter whose manifest has all that a card needs; return the hash of the manifest."""
    put_adapter(out, language, method, [8, 6, 5])
    folder = out / "adapters" / language / "xlm-roberta-base" / f"conceptnet-{method}"
    (folder / "loss.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    settings = {**ADAPTER["settings"], "learning_rate": 1e-4, "weight_decay": 0.01, "seed": 1, "precision": "fp32"}
    base = {"id": BASE, "revision": "0" * 40, "objective": "mlm", "architecture": "xlm-roberta"}
    outputs = [file_entry(folder / name, folder) for name in ("log.json", "loss.png")]
    values = {"settings": settings | {"lora_r": 8, "lora_alpha": 8}, "base": base, "trained": ADAPTER["trained"]}
    return str(change(folder, **values, made_with={"lrl": "0"}, outputs=outputs)["sha256"])


def add_runs(out: Path, language: str, task: str, method: str, identity: str | None, **more: Any) -> None:
    """Write runs of a task with two seeds."""
    adapter = {"name": f"{language}_conceptnet_{method}", "manifest_sha256": identity} if identity else None
    for seed in (1, 2):
        run = recipe(language, task, method, seed, adapter=adapter)
        run["settings"] |= more
        put_run(out, run, *predictions(task, SHARES[method], 100 * seed))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace of two languages, with adapters, task runs and a perplexity, but without a dataset."""
    out = tmp_path_factory.mktemp("scored") / "ws[1]"
    for language in ("ro", "mt"):
        for task in ("topic", "ner"):
            add_runs(out, language, task, "none", None)
        for method in ("seq_bn_inv", "lora"):
            identity = add_adapter(out, language, method)
            for task in ("topic", "ner"):
                add_runs(out, language, task, method, identity)
    add_runs(out, "ro", "topic", "lora", "f" * 64)  # of weights that have been replaced since
    ours = open_workspace(out, {"ro"}).adapters["ro"][1]
    put_perplexity(out, "ro", "seq_bn_inv", ours.manifest_sha256, 0.7)
    for folder in out.glob("scores/ro/*/*/pppl-*"):
        data = json.loads((folder / "manifest.json").read_text("utf-8"))["data"]
        change(folder, data=data | {"split": "devtest"})
    return out


def cells_of(out: Path) -> tuple[Cell, ...]:
    """Compute the cells as `lrltrain report` does."""
    groups = {path.parent for path in out.glob("scores/*/*/*/*/seed-*")}
    exchanges = exchanges_for(len(groups) + len([*out.glob("scores/*/*/*/pppl-*")]))
    return corrected([*read_tasks(out, RESAMPLES, exchanges), *read_perplexities(out, exchanges)])


def card_of(folder: Path) -> str:
    repository, _ = repository_of(folder, "my-org")
    return repository.card({name: part.facts for name, part in repository.parts.items()}, "1.0.0").text


@pytest.fixture
def pushing(hub: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], list[str]]:
    """Return a function that publishes the Romanian adapter to the Hub and returns the actions taken."""
    client = Hub(hub.endpoint, TOKEN)
    point_at(hub, monkeypatch)

    def run(out: Path) -> list[str]:
        config = PushConfig(
            lang="ro", namespace="my-org", out=out, method=["seq_bn_inv"], collection=False, license="cc0-1.0"
        )
        quiet = Progress(quiet=True)
        return [repository.action for repository in publish(prepare(config, client, quiet), config, client, quiet)]

    return run


def test_huggingface_hub_reads_the_scores_back_from_a_published_card(
    filled: Path, hub: Server, fresh: Callable[..., str], pushing: Callable[[Path], list[str]]
) -> None:
    assert pushing(filled) == ["created"]
    script = (
        "import json\nfrom huggingface_hub import ModelCard\n"
        f"results = ModelCard.load({NAME!r}).data.eval_results\n"
        "print(json.dumps([vars(result) for result in results]))"
    )
    results = [result for result in json.loads(fresh(script)) if result["metric_type"] == "f1"]
    cells = {
        cell.column.task: cell
        for cell in cells_of(filled)
        if (cell.row.language, cell.row.method) == ("ro", "seq_bn_inv") and not cell.column.lower_is_better
    }
    assert [(result["task_type"], result["dataset_type"], result["dataset_config"]) for result in results] == [
        ("text-classification", "Davlan/sib200", "ron_Latn"), ("token-classification", "unimelb-nlp/wikiann", "ro"),
    ]  # fmt: skip
    for result, task, data in zip(results, ("topic", "ner"), ("sib200", "wikiann"), strict=True):
        assert result["metric_value"] == pytest.approx(cells[task].score.value, rel=1e-5)
        assert (result["dataset_name"], result["dataset_split"]) == (data, "test")
        assert "mean of 2 seeds" in result["metric_name"]

    assert pushing(filled) == ["unchanged"], "several scores come back in the order in which they were sent"
    (text, head) = (git(store(hub.root, "models", NAME), "show", f"main:{name}") for name in ("README.md", "lrl.json"))
    assert lint(text, {"README.md", "loss.png"}) == []
    assert json.loads(head)["format"] == 2


def test_the_table_of_tasks_agrees_with_the_report(filled: Path) -> None:
    text = card_of(filled / HOME)
    cells = cells_of(filled)
    compared = sum(cell.against is not None for cell in cells)
    (cell,) = (
        cell
        for cell in cells
        if (cell.row.language, cell.row.method, cell.column.task) == ("ro", "seq_bn_inv", "topic")
    )
    assert cell.against
    assert cell.sd is not None
    score, change = cell.score, cell.against.change
    expected_start = (
        f"| topic | sib200 | 60 | 2 | {100 * score.value:.1f} ± {100 * cell.sd:.1f} "
        f"({100 * score.low:.1f} to {100 * score.high:.1f}) | {100 * change.value:+.1f}† "
        f"({100 * change.low:+.1f} to {100 * change.high:+.1f}) |"
    )
    assert expected_start in text
    (row,) = (line for line in text.splitlines() if line.startswith("| topic |"))
    assert row.endswith(f"| {compared} |")
    assert compared == 9, "those of both languages and the perplexity, but none of replaced weights"
    assert "| flores devtest |" in text, "the perplexity is there too"
    assert "It has not been evaluated" not in text
    assert "has not been evaluated" not in card_of(filled / "adapters/mt/xlm-roberta-base/conceptnet-lora")


def test_an_adapter_without_a_loss_curve_is_published_without_it(filled: Path, tmp_path: Path) -> None:
    shutil.copytree(filled, out := tmp_path / "ws")
    assert "(loss.png)" in card_of(out / HOME)
    (out / HOME / "loss.png").unlink()
    change(out / HOME, outputs=[file_entry(out / HOME / "log.json", out / HOME)])
    text = card_of(out / HOME)
    assert "On its validation text, the loss changed from" in text
    assert lint(text, {"README.md"}) == []


def test_scores_of_other_weights_are_not_on_a_card(filled: Path, tmp_path: Path) -> None:
    results = ModelCard(card_of(filled / HOME.with_name("conceptnet-lora"))).data.eval_results
    assert results is not None
    assert len(results) == 2, "not the score of the previous weights"
    out = tmp_path / "ws"
    add_runs(out, "ro", "topic", "none", None)
    add_runs(out, "ro", "topic", "seq_bn_inv", "f" * 64)
    add_adapter(out, "ro", "seq_bn_inv")
    assert "model-index" not in card_of(out / HOME)


def test_scores_of_a_fusion_that_learned_the_task_are_not_on_its_card(tmp_path: Path) -> None:
    out = tmp_path / "ws"
    add_runs(out, "ro", "topic", "none", None)
    add_runs(out, "ro", "topic", "seq_bn_inv", add_adapter(out, "ro", "seq_bn_inv"))
    assert "model-index" in card_of(out / HOME)
    for path in out.glob("scores/ro/*/*/topic-*/seed-*"):
        manifest = json.loads((path / "manifest.json").read_text())
        if manifest["adapter"]:
            change(path, method="fusion-task")
    assert "model-index" not in card_of(out / HOME)


def test_scores_that_were_measured_elsewhere_stay_on_the_card(filled: Path, tmp_path: Path) -> None:
    repository, _ = repository_of(filled / HOME, "my-org")
    plan = make_plan(repository, RemoteRepository())
    record = read_record(NAME, json.dumps(plan.record))
    remote = RemoteRepository("tip", False, {}, frozenset({"v1.0.0"}), card_of(filled / HOME), record)
    out = tmp_path / "ws"
    shutil.copytree(filled / "adapters", out / "adapters")
    identity = open_workspace(out).adapters["ro"][1].manifest_sha256
    add_runs(out, "ro", "topic", "seq_bn_inv", identity, steps=20)
    elsewhere, _ = repository_of(out / HOME, "my-org")
    assert len(elsewhere.parts["adapter"].facts["results"]) == 1
    joined = make_plan(elsewhere, remote).record["parts"]["adapter"]["facts"]["results"]
    assert sorted(result["task"] for result in joined) == ["ner", "pppl", "topic", "topic"]
    text = elsewhere.card({"adapter": {**elsewhere.parts["adapter"].facts, "results": joined}}, "1.0.1").text
    rows = re.findall(r"^\| (topic[^|]*) \|", text, re.MULTILINE)
    assert sorted(rows) == ["topic (steps 10)", "topic (steps 20)"], "two scores of one task are distinguished"
    alone = make_plan(replace(elsewhere, keep_remote_scores=False), remote)
    assert [result["task"] for result in alone.record["parts"]["adapter"]["facts"]["results"]] == ["topic"]


def with_results(filled: Path, results: list[Any]) -> Plan:
    repository, _ = repository_of(filled / HOME, "my-org")
    part = repository.parts["adapter"]
    return make_plan(
        replace(repository, parts={"adapter": replace(part, facts={**part.facts, "results": results})}),
        RemoteRepository(),
    )


def test_two_test_sets_with_the_same_name_are_distinguished_as_in_the_report(filled: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(filled, tmp_path / "ws"))
    identity = open_workspace(out, {"ro"}).adapters["ro"][1].manifest_sha256
    for run in sorted(out.glob("scores/ro/*/*/topic-*/seed-*")):
        manifest = json.loads((run / "manifest.json").read_text("utf-8"))
        if (manifest["adapter"] or {}).get("manifest_sha256") == identity:
            copy = Path(shutil.copytree(run, run.parent.with_name("topic-other") / run.name))
            change(copy, data=manifest["data"] | {"sha256": "c0ffee" * 10 + "0000"})
    names = [cell.column.data for cell in cells_of(out) if cell.row.language == "ro" and cell.column.task == "topic"]
    card = card_of(out / HOME)
    results = [
        result for result in ModelCard(card).data.eval_results or [] if result.task_type == "text-classification"
    ]
    assert sorted(result.dataset_name for result in results) == sorted(set(names))
    assert len(set(names)) == 2
    assert all(f"| {name} |" in card for name in names)


def test_a_part_of_a_test_set_does_not_have_the_name_of_the_whole(tmp_path: Path) -> None:
    add_runs(tmp_path, "ro", "topic", "none", None)
    add_runs(tmp_path, "ro", "topic", "seq_bn_inv", add_adapter(tmp_path, "ro", "seq_bn_inv"))
    (whole,) = ModelCard(card_of(tmp_path / HOME)).data.eval_results or []
    for path in tmp_path.glob("scores/ro/*/*/topic-*/seed-*"):
        change(path, data=json.loads((path / "manifest.json").read_text("utf-8"))["data"] | {"sampled": 60})
    (part,) = ModelCard(card_of(tmp_path / HOME)).data.eval_results or []
    assert part.dataset_name == f"{whole.dataset_name}, at most 60"
    assert f"| {part.dataset_name} |" in card_of(tmp_path / HOME)


def test_records_without_task_scores_keep_the_first_format(filled: Path) -> None:
    repository, _ = repository_of(filled / HOME, "my-org")
    results = repository.parts["adapter"].facts["results"]
    record = with_results(filled, [result for result in results if result["task"] == "pppl"]).record
    assert record["format"] == 1
    assert read_record(NAME, json.dumps(record)) == record


def test_a_record_whose_scores_are_damaged_is_refused_or_makes_a_card(filled: Path) -> None:
    repository, _ = repository_of(filled / HOME, "my-org")
    record = dict(make_plan(repository, RemoteRepository()).record)
    rng, refused = random.Random(5), 0
    for _ in range(150):
        facts = json.loads(swapped({"results": record["parts"]["adapter"]["facts"]["results"]}, rng))
        damaged = json.loads(json.dumps(record))
        damaged["parts"]["adapter"]["facts"] |= facts
        try:
            parsed = read_record(NAME, json.dumps(damaged))
        except PublishError:
            refused += 1
            continue
        repository.card({"adapter": parsed["parts"]["adapter"]["facts"]}, "1.0.0").text.encode()
    assert 50 < refused < 150


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_of_task_data_are_text_in_the_card(name: str) -> None:
    value = {"value": 0.5, "low": 0.25, "high": 0.75}
    result: dict[str, Any] = {
        "task": "topic", "metric": name, "of": {"name": name, "split": name, "id": name, "configuration": name},
        "language": name or "zz", "transfer": {"language": name}, "settings": {name: name}, "made_with": {name: name},
        "items": 9, "seeds": 1, "score": value, "sd": None, "against": None,
    }  # fmt: skip
    is_harmless(rendered({"method": "seq_bn"}, [result, result | {"settings": {name: 1}, "made_with": {}}]))


def rendered(changes: Mapping[str, Any], results: list[dict[str, Any]]) -> Card:
    manifest: dict[str, Any] = json.loads(json.dumps(ADAPTER)) | {"made_with": {"lrl": "0"}, "inputs": []}
    manifest["base"] |= {"id": "org/base", "revision": None}
    if changes["method"] == "fusion":
        manifest["inputs"] = [{"kind": "adapter", "name": name, "manifest_sha256": "0"} for name in ("ro_a", "ro_b")]
    manifest["settings"] |= {"learning_rate": 1, "weight_decay": 0, "seed": 1, "precision": "fp32"}
    return adapter_card(
        manifest | changes, "0" * 64, {}, results, source="text", text=Source(), base="org/base",
        licence=License("cc0-1.0"), repository="my-org/x", version="1.0.0",
    )  # fmt: skip


def test_runs_that_cannot_be_read_are_named(filled: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(filled, tmp_path / "ws"))
    path = next(out.glob("scores/mt/*/none/topic-*/seed-1/predictions.parquet"))
    path.write_bytes(b"x")
    with pytest.raises(StorageError, match=r"scores/mt/.*seed-1"):
        card_of(out / HOME)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "fusion", "fused_invertible": "ro_a"}, "it uses only that of `ro_a`"),
        ({"method": "fusion", "fused_invertible": None}, "It uses no invertible adapter"),
        ({"method": "fusion"}, ""),
        ({"method": "seq_bn_inv"}, ""),
    ],
)
def test_the_card_of_a_fusion_says_which_invertible_adapter_it_uses(changes: dict[str, Any], words: str) -> None:
    limits = rendered(changes, []).sections["limits"]
    assert words in limits
    assert ("invertible" in limits) == bool(words)


def test_a_dataset_s_local_card_covers_all_sources_like_the_published_one(
    sample_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub_cards.publish.repository.draw_ledger", lambda *_: b"\x89PNG\r\n\x1a\n")
    out = Path(shutil.copytree(sample_workspace, tmp_path / "ws"))
    first = out / "datasets" / "ro" / "conceptnet"
    alone = card_of(first)
    second = Path(shutil.copytree(first, first.with_name("web")))
    manifest = json.loads((second / "manifest.json").read_text("utf-8"))
    manifest["ledger"] = {"in": {"rows": 346, "bytes": 9825}, "kept": {"rows": 346, "bytes": 9825}, "dropped": {}}
    (second / "manifest.json").write_text(json.dumps(sealed(manifest | {"source": "web"})), encoding="utf-8")
    cards = [render(folder, "my-org", None) for folder in (first, second)]
    assert cards[0] == cards[1]
    text = cards[0].markdown.read_text("utf-8")
    assert re.findall(r"config_name: (\w+)\n  d", text) == ["conceptnet", "web"]
    assert {path.name for path in cards[0].markdown.parent.joinpath("pictures").iterdir()} == {
        "conceptnet-ledger.png", "web-ledger.png",
    }  # fmt: skip
    shutil.rmtree(second)
    assert card_of(first) == alone


def test_a_change_over_fewer_seeds_than_the_score_says_so(tmp_path: Path) -> None:
    out = tmp_path / "ws"
    identity = add_adapter(out, "ro", "lora")
    add_runs(out, "ro", "topic", "none", None)
    add_runs(out, "ro", "topic", "lora", identity)
    (folder,) = out.glob("scores/ro/*/*lora*/topic-*/seed-1")
    (base,) = (path for path in out.glob("scores/ro/*/*/topic-*/seed-2") if "lora" not in str(path))
    shutil.rmtree(base)
    assert folder.is_dir()
    render(out / "adapters" / "ro" / "xlm-roberta-base" / "conceptnet-lora", "my-org", tmp_path / "card")
    card = (tmp_path / "card" / "README.md").read_text("utf-8")
    (row,) = (line for line in card.splitlines() if line.startswith("| topic"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[3] == "2"
    assert cells[5].endswith(", 1 seed")
