"""The Python API of lrltrain and hub_cards: from a dataset to a score and a plan of publication, in one process."""

import doctest
import inspect
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clients import TOKEN

import hub_cards
import lrldata
import lrltrain
from hub_cards.config import PushConfig
from hub_cards.local_hub import start
from lrldata.output import note
from lrltrain import api
from lrltrain.config import EvalConfig, FitConfig
from lrltrain.models import find_base, load_model, mini_path
from lrltrain.prompting.config import PromptConfig

SMALL: dict[str, Any] = {"base": "lrl-mini", "steps": 2, "batch_size": 2, "max_length": 32, "quiet": True}


@pytest.fixture
def dataset(tmp_path: Path) -> lrldata.Dataset:
    return lrldata.build("ro", source="conceptnet", sample=True, out=tmp_path, cache=tmp_path / "cache", quiet=True)


def test_the_api_is_these_names_and_no_others() -> None:
    assert set(dir(lrltrain)) == {
        *("Adapter", "Scores", "Study", "evaluate", "fit", "load_adapter", "prompt", "report", "run_grid"),
        *("save_adapter", "unload_adapter"),
    }
    assert set(dir(hub_cards)) == {"Pushed", "check_card", "push", "render_card"}
    for package in (lrltrain, hub_cards):
        assert all(getattr(package, name) for name in package.__all__)
        with pytest.raises(AttributeError):
            _ = package.nonsense


@pytest.mark.parametrize(
    ("function", "config", "first", "lacks"),
    [
        (lrltrain.fit, FitConfig, "data", {"lang", "dry_run"}),
        (lrltrain.evaluate, EvalConfig, "adapter", {"adapter"}),
        (lrltrain.prompt, PromptConfig, "lang", {"dry_run", "lang", "export_lm_eval"}),
        (hub_cards.push, PushConfig, "lang", {"lang"}),
    ],
)
def test_keyword_arguments_are_the_options_of_the_command(
    function: Any, config: Any, first: str, lacks: set[str]
) -> None:
    named = inspect.signature(function).parameters
    assert set(named) - {first} == (config.model_fields.keys() - lacks) | {"config", "quiet"}
    told = inspect.getdoc(function) or ""
    assert all(part in told for part in ("Args:", "Returns:", "Raises:"))


def test_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = doctest.testmod(api)
    assert ran.attempted >= 6
    assert not ran.failed


def test_from_a_dataset_to_a_plan_of_publication(
    dataset: lrldata.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = lrltrain.fit(dataset, method="seq_bn_inv", cache=tmp_path / "cache", **SMALL)
    assert adapter.path == tmp_path / "adapters/ro/lrl-mini/conceptnet-seq_bn_inv"
    assert (adapter.language, adapter.method, adapter.base) == ("ro", "seq_bn_inv", "lrl-mini")
    assert adapter.manifest["source"] == "conceptnet"
    assert lrltrain.fit(dataset, method="seq_bn_inv", cache=tmp_path / "cache", **SMALL).status == "unchanged"

    model = load_model(find_base("lrl-mini"), torch.float32).eval()
    ids = torch.arange(20, 30)[None]
    with torch.no_grad():
        before = model(ids).logits
        adapter.load(model)
        assert not torch.equal(model(ids).logits, before)

    score = lrltrain.evaluate(adapter, task="pppl", limit=3, resamples=100)
    (row,) = score.to_frame().to_dicts()
    assert row["data"].startswith("conceptnet")
    assert row["low"] < row["value"] < row["high"]
    assert row["ratio"] == pytest.approx(row["value"] / row["before"])
    assert lrltrain.report(tmp_path).page.is_file()

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with start(tmp_path / "hub") as hub:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        pushed = hub_cards.push("ro", namespace="my-org", out=tmp_path, dry_run=True, endpoint=hub.endpoint)
        assert not any(entry["wrote"] for entry in hub.journal())
    assert [plan["action"] for plan in pushed.as_json()["plan"]] == ["create"] * 3
    shown = repr(pushed).splitlines()
    assert (len(shown), shown[1]) == (5, "  (dry run) create v1.0.0 my-org/lrl-ro")
    card = hub_cards.render_card(dataset.path, out=tmp_path / "card")
    assert hub_cards.check_card(card.markdown) == []


def test_a_card_stays_true_when_its_dataset_is_built_again(dataset: lrldata.Dataset, tmp_path: Path) -> None:
    adapter = lrltrain.fit(dataset, method="lora", cache=tmp_path / "cache", **SMALL)
    before = hub_cards.render_card(adapter.path, out=tmp_path / "before").markdown.read_text("utf-8")
    lrldata.build("ro", sample=True, edges="start", out=tmp_path, cache=tmp_path / "cache", quiet=True)
    after = hub_cards.render_card(adapter.path, out=tmp_path / "after").markdown.read_text("utf-8")
    for told in ("license: cc0-1.0", "the built-in sample of sentences", "--source conceptnet --sample"):
        assert told in before
        assert told in after
    (sample,) = dataset.manifest["inputs"]
    assert sample["sha256"] in before
    assert sample["sha256"] in after
    assert "\\`" not in before


def test_a_base_model_in_a_folder_need_not_be_named_again(dataset: lrldata.Dataset, tmp_path: Path) -> None:
    folder = shutil.copytree(mini_path(), tmp_path / "own-model")
    adapter = lrltrain.fit(dataset, method="lora", out=tmp_path, **SMALL | {"base": folder})
    assert adapter.base_folder == folder
    (score,) = lrltrain.evaluate(adapter, task="pppl", limit=2, resamples=100).texts
    assert score.base == "own-model"
    other = shutil.copytree(folder, tmp_path / "other-model")
    both = [lrltrain.fit(dataset, method="lora", out=tmp_path, **SMALL | {"base": other}), adapter]
    told = lrltrain.evaluate(both, task="pppl", limit=2, resamples=100).texts
    assert [each.base for each in told] == ["other-model", "own-model"], "each with its own, in the order given"
    assert told[1] == score


def test_a_settings_file_stands_above_what_is_inferred(dataset: lrldata.Dataset, tmp_path: Path) -> None:
    settings = tmp_path / "fit.toml"
    settings.write_text(f"out = {str(tmp_path / 'elsewhere')!r}\n", "utf-8")
    adapter = lrltrain.fit(dataset, method="lora", config=settings, **SMALL)
    assert adapter.path.is_relative_to(tmp_path / "elsewhere")
    lines = tmp_path / "own.txt"
    lines.write_text("Drumul este lung.\nCasa este mare.\n", "utf-8")
    settings.write_text(f"data = {str(lines)!r}\nout = {str(tmp_path / 'scores')!r}\nresamples = 100\n", "utf-8")
    (score,) = lrltrain.evaluate(adapter, config=settings).texts
    assert score.data.startswith("own")
    assert (tmp_path / "scores/scores/ro").is_dir()


def test_a_list_trains_together(tmp_path: Path) -> None:
    datasets = lrldata.build(["ro", "mt"], sample=True, out=tmp_path, cache=tmp_path / "cache", quiet=True)
    made = lrltrain.fit(datasets, method="lora", cache=tmp_path / "cache", **SMALL)
    assert [each.language for each in made] == ["ro", "mt"]
    assert made[0].manifest["group"] == ["mt_conceptnet_lora", "ro_conceptnet_lora"]


def test_lists_of_methods_and_seeds_train_each_with_each(dataset: lrldata.Dataset, tmp_path: Path) -> None:
    given = SMALL | {"cache": tmp_path / "cache", "method": ["lora", "seq_bn"], "seed": [1, 2]}
    made = lrltrain.fit([dataset], **given)
    assert [(each.method, each.manifest["settings"]["seed"]) for each in made] == [
        *(("lora", 1), ("lora", 2), ("seq_bn", 1), ("seq_bn", 2)),
    ]
    assert len(repr(made[0])) < 500, "the manifest is not printed"
    with pytest.raises(lrldata.LrlError, match="the options select several adapters"):
        lrltrain.fit(dataset, **given)
    scores = lrltrain.evaluate(made, task="pppl", limit=2, resamples=100, quiet=True)
    assert [each.adapter for each in scores.texts] == [each.name for each in made]
    assert scores._repr_html_() == scores.to_frame()._repr_html_()


def test_what_lies_in_a_folder_is_given_as_it_is(
    dataset: lrldata.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = SMALL | {"cache": tmp_path / "cache"}
    made = lrltrain.fit(iter([dataset]), method=["seq_bn", "seq_bn_inv"], seed=np.int64(3), **given)  # type: ignore[call-overload]
    assert [each.manifest["settings"]["seed"] for each in made] == [3, 3]
    fused = lrltrain.fit(dataset, method="fusion", adapters=made, **given)
    assert (fused.method, fused.as_json()["source"], fused.as_json()["name"]) == ("fusion", "conceptnet", fused.name)
    model = load_model(find_base("lrl-mini"))
    assert lrltrain.load_adapter(model, fused).names
    workspace = lrldata.open_workspace(tmp_path)
    paths = [path for path in workspace.adapters() if path.name.endswith("seq_bn")]
    scores = lrltrain.evaluate(paths, data=dataset, limit=2, resamples=100, quiet=True)
    assert scores.texts[0].path.is_relative_to(tmp_path / "scores"), "their workspace, and not one in this folder"
    assert lrltrain.report(workspace).scores == 2
    monkeypatch.chdir(tmp_path)
    score = lrltrain.evaluate(
        "adapters/ro/lrl-mini/conceptnet-seq_bn", data=dataset, limit=3, resamples=100, quiet=True
    )
    assert score.texts[0].path.is_relative_to(tmp_path / "scores")
    assert not (tmp_path / "lrl-workspace").exists()
    both = lrltrain.fit((each for each in [dataset]), seed=(each for each in (1, 2)), method="lora,seq_bn", **given)  # type: ignore[call-overload]
    assert len(both) == 4
    with pytest.raises(lrldata.LrlError, match=r"^dataset: `data` is already a dataset\."):
        lrltrain.fit(dataset, dataset="another/one", **given)


def test_an_adapter_is_saved_in_a_folder_of_this_machine(dataset: lrldata.Dataset, tmp_path: Path) -> None:
    adapter = lrltrain.fit(dataset, method="lora", cache=tmp_path / "cache", **SMALL)
    model = load_model(find_base("lrl-mini"))
    lrltrain.load_adapter(model, adapter)
    saved = lrltrain.save_adapter(model, f"file://{tmp_path}/saved")
    assert saved == tmp_path / "saved"
    (tmp_path / "file").write_text("x")
    for folder, says in (
        ("s3://b/x", "folder: s3://b/x"),
        (None, "folder: None is not a path"),
        (tmp_path / "file", "is a file"),
    ):
        with pytest.raises(lrldata.LrlError, match=says):
            lrltrain.save_adapter(model, folder)  # type: ignore[arg-type]


def test_notes_name_arguments_and_no_flags(
    dataset: lrldata.Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = Path(shutil.copytree(mini_path(), tmp_path / "mybase"))
    config = json.loads((base / "config.json").read_text("utf-8")) | {"_name_or_path": "org/theirs"}
    (base / "config.json").write_text(json.dumps(config), "utf-8")
    with caplog.at_level("INFO", "lrldata"):
        lrltrain.fit(dataset, cache=tmp_path / "cache", **SMALL | {"base": base, "steps": 2})
    (told,) = (record.getMessage() for record in caplog.records if "org/theirs" in record.getMessage())
    assert "name it with base_id" in told
    note("note: outside of a call it is --base-id.")
    assert "--base-id" in caplog.records[-1].getMessage()


def test_prompted_scores_are_a_frame_too(tmp_path: Path) -> None:
    home = tmp_path / "sib200" / "ron_Latn"
    home.mkdir(parents=True)
    rows = [("1", "travel", "Un tren."), ("2", "health", "Un medic."), ("3", "sports", "Un meci.")]
    home.joinpath("test.tsv").write_text("index_id\tcategory\ttext\n" + "".join("\t".join(row) + "\n" for row in rows))
    answers = "".join(f"{label}\t{text}\ttravel\n" for _, label, text in rows)
    tmp_path.joinpath("ron_Latn.tsv").write_text(f"category\ttext\tanswer\n{answers}")
    scores = lrltrain.prompt(
        [lrldata.find_language("ro")],
        data=tmp_path / "sib200",
        answers=tmp_path / "ron_Latn.tsv",
        model_id="some-model",
        out=tmp_path / "out",
        quiet=True,
    )
    (row,) = scores.to_frame().to_dicts()
    assert (row["language"], row["base"], row["method"]) == ("ro", "some-model", "prompt-0")
    assert row["value"] == pytest.approx(scores.tasks[0].runs[0].result["macro_f1"])
    assert scores.tasks[0].runs[0].predictions["predicted"].to_list() == ["travel"] * 3


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: lrltrain.fit("mt", base="lrl-mini", out="nowhere"), "or use dataset, text."),
        (lambda: lrltrain.fit("ro", learning_rate=-1.0), "learning_rate: Input should be greater than 0."),
        (lambda: lrltrain.fit("ro", metod="lora"), "unknown argument 'metod'. Did you mean 'method'?"),
        (lambda: lrltrain.fit(Path("nowhere")), "nowhere: no finished dataset"),
        (lrltrain.evaluate, 'give adapter="DIR" (one or more), or base'),
        (lambda: lrltrain.prompt("ro", model="x"), "data is missing"),
        (hub_cards.push, 'give either lang="CODE"'),
        (lambda: lrltrain.report("nowhere"), "nowhere: no such workspace."),
        (lambda: lrltrain.report("nowhere", against=3), "against: 3 is not a name."),  # type: ignore[arg-type]
        (lambda: lrltrain.report("nowhere", against=None), "nowhere: no such workspace."),
        (lambda: lrltrain.report("nowhere", out=3), "out: 3 is not a path."),  # type: ignore[arg-type]
        (lambda: lrltrain.fit(""), "data: no dataset given."),
        (lambda: lrltrain.fit({"train": 1}), "data: {'train': 1} is not a dataset."),  # type: ignore[call-overload]
        (lambda: lrltrain.fit(b"ro"), "data: b'ro' is not a dataset."),  # type: ignore[call-overload]
        (lambda: lrltrain.prompt(np.array([]), model="x"), "lang: no language given."),  # type: ignore[arg-type]
        (lambda: lrldata.explain("Un text.", "ro", scripts=[1]), "scripts: [1] is not a script."),  # type: ignore[list-item]
        (lambda: lrltrain.fit("ro", config=3), "config: 3 is not a path."),  # type: ignore[call-overload]
        (lambda: lrltrain.fit("ro", base=Path("nowhere")), "nowhere: no such file or folder"),
        (lambda: lrltrain.fit("ro", group=0), "'auto' or greater than or equal to 1"),
        (lambda: lrltrain.prompt([], model="x"), "lang: no language given."),
        (lambda: lrltrain.load_adapter(torch.nn.Linear(1, 1), "x"), "load_adapter takes a model"),
        (lambda: hub_cards.render_card(".", namespace=None), "None is not a valid name of a user"),  # type: ignore[arg-type]
        (lambda: lrldata.build("ro", source="glotc"), "source: 'glotc' is not known. Did you mean 'glotcc'?"),  # type: ignore[call-overload]
        (lambda: lrldata.explain("", "ro"), "text: '' is not a text."),
        (lambda: hub_cards.render_card("nowhere"), "nowhere: no such file or folder."),
    ],
)
def test_errors_name_arguments_and_no_flags(call: Any, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    with pytest.raises(lrldata.LrlError) as raised:
        call()
    assert says in str(raised.value)
