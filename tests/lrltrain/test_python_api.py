"""The Python API of lrltrain and hub_cards: from a dataset to a score and a publication plan, in one process."""

import doctest
import inspect
import json
import shutil
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from clients import TOKEN, go_online
from datasets import IterableDataset

import hub_cards
import lrldata
import lrltrain
from hub_cards.config import PushConfig
from hub_cards.local_hub import start
from lrldata.errors import UsageError
from lrldata.output import note
from lrltrain import api
from lrltrain.config import EvalConfig, FitConfig
from lrltrain.models import find_base, load_model, mini_path
from lrltrain.prompting.config import PromptConfig

ENDLESS = IterableDataset.from_generator(lambda: ({"text": "a"} for _ in count()))
SMALL: dict[str, Any] = {"base": "lrl-mini", "steps": 2, "batch_size": 2, "max_length": 32, "quiet": True}


@pytest.fixture
def dataset(tmp_path: Path) -> lrldata.Dataset:
    return lrldata.build("ro", source="conceptnet", sample=True, out=tmp_path, cache=tmp_path / "cache", quiet=True)


def test_the_api_consists_of_exactly_these_names() -> None:
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
    ("function", "config", "first", "excluded"),
    [
        (lrltrain.fit, FitConfig, "data", {"lang", "dry_run"}),
        (lrltrain.evaluate, EvalConfig, "adapter", {"adapter"}),
        (lrltrain.prompt, PromptConfig, "lang", {"dry_run", "lang", "export_lm_eval"}),
        (hub_cards.push, PushConfig, "lang", {"lang"}),
    ],
)
def test_keyword_arguments_are_the_options_of_the_command(
    function: Any, config: Any, first: str, excluded: set[str]
) -> None:
    parameters = inspect.signature(function).parameters
    assert set(parameters) - {first} == (config.model_fields.keys() - excluded) | {"config", "quiet"}
    docstring = inspect.getdoc(function) or ""
    assert all(part in docstring for part in ("Args:", "Returns:", "Raises:"))


def test_docstring_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = doctest.testmod(api)
    assert outcome.attempted >= 6
    assert not outcome.failed


def test_from_a_dataset_to_a_publication_plan(
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
        go_online(monkeypatch)
        pushed = hub_cards.push("ro", namespace="my-org", out=tmp_path, dry_run=True, endpoint=hub.endpoint)
        assert not any(entry["wrote"] for entry in hub.journal())
    assert [plan["action"] for plan in pushed.as_json()["plan"]] == ["create"] * 3
    lines = repr(pushed).splitlines()
    assert (len(lines), lines[1]) == (5, "  (dry run) create v1.0.0 my-org/lrl-ro")
    card = hub_cards.render_card(dataset.path, out=tmp_path / "card")
    assert hub_cards.check_card(card.markdown) == []


def test_a_card_stays_correct_when_its_dataset_is_rebuilt(dataset: lrldata.Dataset, tmp_path: Path) -> None:
    adapter = lrltrain.fit(dataset, method="lora", cache=tmp_path / "cache", **SMALL)
    before = hub_cards.render_card(adapter.path, out=tmp_path / "before").markdown.read_text("utf-8")
    (sample,) = dataset.manifest["inputs"]
    lrldata.build("ro", sample=True, edges="start", out=tmp_path, cache=tmp_path / "cache", quiet=True)
    after = hub_cards.render_card(adapter.path, out=tmp_path / "after").markdown.read_text("utf-8")
    for fragment in ("license: cc0-1.0", "the built-in sample of sentences", "--source conceptnet --sample"):
        assert fragment in before
        assert fragment in after
    assert sample["sha256"] in before
    assert sample["sha256"] in after
    assert "\\`" not in before


def test_objects_of_what_was_replaced_are_refused(
    dataset: lrldata.Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options: dict[str, Any] = {"method": "lora", "cache": tmp_path / "cache", **SMALL}
    first = lrltrain.fit(dataset, learning_rate=1e-3, **options)
    second = lrltrain.fit(dataset, learning_rate=2e-3, overwrite=True, **options)
    mixed = [first, second.path]
    for call in (lambda: lrltrain.evaluate(mixed, limit=3), lambda: lrltrain.evaluate(first), lambda: first.load(None)):
        with pytest.raises(UsageError, match=r"conceptnet-lora: the adapter has been replaced.*`variant`"):
            call()
    assert lrltrain.evaluate(second, limit=3, resamples=100).texts
    lrltrain.report(tmp_path)
    assert "training lines" not in capsys.readouterr().err
    lrldata.build("ro", sample=True, split="random", out=tmp_path, cache=tmp_path / "cache", quiet=True)
    with pytest.raises(UsageError, match=r"conceptnet: has other rows than when .*Its test split may"):
        lrltrain.evaluate(second, limit=3)
    assert lrltrain.evaluate(second, data=dataset.path, limit=3, resamples=100).texts, "as asked for"
    assert "other rows than the version that ro_conceptnet_lora was trained on" in capsys.readouterr().err
    lrltrain.report(tmp_path)
    assert "may contain training lines, since the datasets were rebuilt: ro_conceptnet_lora." in capsys.readouterr().err
    uses = (dataset.to_frame, dataset.load, dataset.report, lambda: dataset.manifest)
    uses += (lambda: lrltrain.fit(dataset, **options), lambda: lrltrain.evaluate(second, data=dataset, limit=3))
    for use in uses:
        with pytest.raises(UsageError, match=r"has been rebuilt; it is now version 1\.1\.0, and was 1\.0\.0"):
            use()


def test_a_base_model_in_a_folder_need_not_be_named_again(dataset: lrldata.Dataset, tmp_path: Path) -> None:
    folder = shutil.copytree(mini_path(), tmp_path / "own-model")
    adapter = lrltrain.fit(dataset, method="lora", out=tmp_path, **SMALL | {"base": folder})
    assert adapter.base_folder == folder
    (score,) = lrltrain.evaluate(adapter, task="pppl", limit=2, resamples=100).texts
    assert score.base == "own-model"
    other = shutil.copytree(folder, tmp_path / "other-model")
    both = [lrltrain.fit(dataset, method="lora", out=tmp_path, **SMALL | {"base": other}), adapter]
    scores = lrltrain.evaluate(both, task="pppl", limit=2, resamples=100).texts
    assert [text_score.base for text_score in scores] == ["other-model", "own-model"], (
        "each adapter uses its own base model, in the given order"
    )
    assert scores[1] == score


def test_a_settings_file_overrides_inferred_values(dataset: lrldata.Dataset, tmp_path: Path) -> None:
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


def test_a_list_of_datasets_trains_together(tmp_path: Path) -> None:
    datasets = lrldata.build(["ro", "mt"], sample=True, out=tmp_path, cache=tmp_path / "cache", quiet=True)
    adapters = lrltrain.fit(datasets, method="lora", cache=tmp_path / "cache", **SMALL)
    assert [adapter.language for adapter in adapters] == ["ro", "mt"]
    assert adapters[0].manifest["group"] == ["mt_conceptnet_lora", "ro_conceptnet_lora"]


def test_lists_of_methods_and_seeds_train_every_combination(dataset: lrldata.Dataset, tmp_path: Path) -> None:
    options = SMALL | {"cache": tmp_path / "cache", "method": ["lora", "seq_bn"], "seed": [1, 2]}
    adapters = lrltrain.fit([dataset], **options)
    assert [(adapter.method, adapter.manifest["settings"]["seed"]) for adapter in adapters] == [
        *(("lora", 1), ("lora", 2), ("seq_bn", 1), ("seq_bn", 2)),
    ]
    assert len(repr(adapters[0])) < 500, "the manifest is not printed"
    with pytest.raises(lrldata.LrlError, match="the options select several adapters"):
        lrltrain.fit(dataset, **options)
    scores = lrltrain.evaluate(adapters, task="pppl", limit=2, resamples=100, quiet=True)
    assert [score.adapter for score in scores.texts] == [adapter.name for adapter in adapters]
    assert scores._repr_html_() == scores.to_frame()._repr_html_()


def test_objects_iterators_paths_and_workspaces_are_accepted(
    dataset: lrldata.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SMALL | {"cache": tmp_path / "cache"}
    adapters = lrltrain.fit(iter([dataset]), method=["seq_bn", "seq_bn_inv"], seed=np.int64(3), **options)  # type: ignore[call-overload]
    assert [adapter.manifest["settings"]["seed"] for adapter in adapters] == [3, 3]
    fused = lrltrain.fit(dataset, method="fusion", adapters=adapters, **options)
    assert (fused.method, fused.as_json()["source"], fused.as_json()["name"]) == ("fusion", "conceptnet", fused.name)
    model = load_model(find_base("lrl-mini"))
    assert lrltrain.load_adapter(model, fused).names
    workspace = lrldata.open_workspace(tmp_path)
    paths = [path for path in workspace.adapters() if path.name.endswith("seq_bn")]
    scores = lrltrain.evaluate(paths, data=dataset, limit=2, resamples=100, quiet=True)
    assert scores.texts[0].path.is_relative_to(tmp_path / "scores"), "in their workspace, not in one in this folder"
    assert lrltrain.report(workspace).scores == 2
    monkeypatch.chdir(tmp_path)
    score = lrltrain.evaluate(
        "adapters/ro/lrl-mini/conceptnet-seq_bn", data=dataset, limit=3, resamples=100, quiet=True
    )
    assert score.texts[0].path.is_relative_to(tmp_path / "scores")
    assert not (tmp_path / "lrl-workspace").exists()
    both = lrltrain.fit((item for item in [dataset]), seed=(seed for seed in (1, 2)), method="lora,seq_bn", **options)  # type: ignore[call-overload]
    assert len(both) == 4
    with pytest.raises(lrldata.LrlError, match=r"^dataset: `data` is already a dataset\."):
        lrltrain.fit(dataset, dataset="another/one", **options)


def test_an_adapter_is_saved_only_to_a_local_folder(dataset: lrldata.Dataset, tmp_path: Path) -> None:
    adapter = lrltrain.fit(dataset, method="lora", cache=tmp_path / "cache", **SMALL)
    model = load_model(find_base("lrl-mini"))
    lrltrain.load_adapter(model, adapter)
    saved = lrltrain.save_adapter(model, f"file://{tmp_path}/saved")
    assert saved == tmp_path / "saved"
    with pytest.raises(lrldata.LrlError, match=r"saved: has no manifest\.json.*save_adapter` can be loaded, but not"):
        lrltrain.evaluate(saved, base="lrl-mini", lang="ro", data=dataset)
    assert len({dataset, lrldata.open_dataset(dataset.path), adapter, adapter}) == 3, "usable as keys"
    (tmp_path / "file").write_text("x")
    for folder, message in (
        ("s3://b/x", "folder: s3://b/x"),
        (None, "folder: None is not a path"),
        (tmp_path / "file", "is a file"),
    ):
        with pytest.raises(lrldata.LrlError, match=message):
            lrltrain.save_adapter(model, folder)  # type: ignore[arg-type]


def test_notes_name_arguments_instead_of_flags(
    dataset: lrldata.Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = Path(shutil.copytree(mini_path(), tmp_path / "mybase"))
    config = json.loads((base / "config.json").read_text("utf-8")) | {"_name_or_path": "org/theirs"}
    (base / "config.json").write_text(json.dumps(config), "utf-8")
    with caplog.at_level("INFO", "lrldata"):
        lrltrain.fit(dataset, cache=tmp_path / "cache", **SMALL | {"base": base, "steps": 2})
    (message,) = (record.getMessage() for record in caplog.records if "org/theirs" in record.getMessage())
    assert "name it with base_id" in message
    note("outside of a call it is --base-id.")
    assert "--base-id" in caplog.records[-1].getMessage()


def test_prompted_scores_convert_to_a_frame_too(tmp_path: Path) -> None:
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
    ("call", "message"),
    [
        (lambda: lrltrain.fit("mt", base="lrl-mini", out="nowhere"), "or use dataset, text."),
        (lambda: lrltrain.fit("ro", learning_rate=-1.0), "learning_rate: Input should be greater than 0."),
        (lambda: lrltrain.fit("ro", metod="lora"), "unknown argument 'metod'. Did you mean 'method'?"),
        (lambda: lrltrain.fit(Path("nowhere")), "nowhere: no finished dataset"),
        (lrltrain.evaluate, 'give adapter="DIR" (one or more), or base'),
        (lambda: lrltrain.prompt("ro", data="x"), "model is missing"),
        (hub_cards.push, 'give either lang="CODE"'),
        (lambda: lrltrain.report("nowhere"), "nowhere: no such workspace."),
        (lambda: lrltrain.report("nowhere", against=3), "against: 3 is not a name."),  # type: ignore[arg-type]
        (lambda: lrltrain.report("nowhere", against=None), "nowhere: no such workspace."),
        (lambda: lrltrain.report("nowhere", out=3), "out: 3 is not a path."),  # type: ignore[arg-type]
        (lambda: lrltrain.fit(""), "data: no dataset given."),
        (lambda: lrltrain.fit({"train": 1}), "data: {'train': 1} is not a dataset."),  # type: ignore[call-overload]
        (lambda: lrltrain.fit(pl.DataFrame({"text": ["a"]})), "data: DataFrame is not a dataset."),  # type: ignore[call-overload]
        (lambda: lrltrain.fit(ENDLESS), "data: IterableDataset is not a dataset."),  # type: ignore[call-overload]
        (lambda: lrltrain.fit({} for _ in count()), "data: {} is not a dataset."),  # type: ignore[call-overload]
        (lambda: lrltrain.evaluate("x", data=ENDLESS), "data: IterableDataset is not a path."),
        (lambda: lrltrain.fit(b"ro"), "data: b'ro' is not a dataset."),  # type: ignore[call-overload]
        (lambda: lrltrain.prompt(np.array([]), model="x"), "lang: no language given."),  # type: ignore[arg-type]
        (lambda: lrldata.explain("Un text.", "ro", scripts=[1]), "scripts: [1] is not a script."),  # type: ignore[list-item]
        (lambda: lrltrain.fit("ro", config=3), "config: 3 is not a path."),  # type: ignore[call-overload]
        (lambda: lrltrain.fit("ro", base=Path("nowhere")), "nowhere: no such file or folder"),
        (lambda: lrltrain.fit("ro", group=0), "'auto' or greater than or equal to 1"),
        (lambda: lrltrain.prompt([], model="x"), "lang: no language given."),
        (lambda: lrltrain.load_adapter(torch.nn.Linear(1, 1), "x"), "load_adapter needs a transformers model"),
        (lambda: hub_cards.render_card(".", namespace=None), "None is not a valid name of a user"),  # type: ignore[arg-type]
        (lambda: lrldata.build("ro", source="glotc"), "source: 'glotc' is not known. Did you mean 'glotcc'?"),  # type: ignore[call-overload]
        (lambda: lrldata.explain("", "ro"), "text: '' is not a text."),
        (lambda: hub_cards.render_card("nowhere"), "nowhere: no such file or folder."),
    ],
)
def test_errors_name_arguments_instead_of_flags(call: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    with pytest.raises(lrldata.LrlError) as error:
        call()
    assert message in str(error.value)
