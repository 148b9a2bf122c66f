"""Everyday use: models that share a name, runs that resume with other settings, wrong tokenizers, fusions."""

import json
import shutil
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from inspect import unwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from grids import write_recipe
from oracle import HAS_ADAPTERS
from safetensors.torch import load_file
from transformers import AutoConfig

import lrldata
from lrldata import manifest as manifests
from lrldata.errors import ModelError, StorageError, UsageError
from lrldata.manifest import ADAPTER, MANIFEST, read_manifest, write_manifest
from lrldata.progress import Progress
from lrltrain import artifact, methods
from lrltrain.config import EvalConfig, FitConfig
from lrltrain.evaluation import score_text
from lrltrain.fitting import estimate
from lrltrain.fitting.fit import fit
from lrltrain.fitting.runs import refuse_other_base, run_folder, start_or_resume
from lrltrain.grid import places
from lrltrain.grid.act import _files
from lrltrain.grid.config import Fits, load_grid_config
from lrltrain.grid.job import Job
from lrltrain.grid.jobs import jobs_of
from lrltrain.grid.models import models_of
from lrltrain.grid.records import Records
from lrltrain.grid.select import select
from lrltrain.methods import check_base, load_adapted
from lrltrain.models import Base, find_base, load_tokenizer, mini_path
from lrltrain.modules.insert import inserted
from lrltrain.names import distinct, public_id
from lrltrain.reading import check_tokenizer
from lrltrain.training.checkpoints import seal_checkpoint
from lrltrain.training.loop import Loop

QUIET = Progress(quiet=True)
SENTENCE = "Casa numărul {} are {} ferestre mari și o ușă verde spre grădină."


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("text") / "ro.txt"
    file.write_text("".join(SENTENCE.format(number, number % 7) + "\n" for number in range(200)))
    return file


def config_for(text: Path, out: Path, **options: Any) -> FitConfig:
    small = {"base": "lrl-mini", "batch_size": 2, "max_length": 32, "steps": 2, "out": out, "cache": out / "cache"}
    return FitConfig(**{"lang": "ro", "text": [text], "reduction_factor": 4, **small, **options})


@pytest.fixture(scope="module")
def fitted(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an adapter with an invertible part; tests modify only copies of it."""
    return fit(config_for(text, tmp_path_factory.mktemp("fitted")), QUIET).path


def with_base(folder: Path, source: Path, **base: Any) -> Path:
    """Copy an adapter's folder, and change what its manifest says about the base model."""
    shutil.copytree(source, folder)
    manifest = read_manifest(folder, ADAPTER) or {}
    write_manifest(folder / MANIFEST, ADAPTER, manifest | {"base": manifest["base"] | base})
    return folder


# Models that share a name


def model_folders(tmp_path: Path) -> list[str]:
    folders = [tmp_path / "org-a" / "bert", tmp_path / "org-b" / "bert"]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "config.json").write_text('{"model_type": "bert"}')
    return [str(folder) for folder in folders]


def jobs(tmp_path: Path, models: list[str]) -> list[Job]:
    recipe = write_recipe(tmp_path, tmp_path / "out")
    recipe.write_text(recipe.read_text().replace('["lrl-mini"]', json.dumps(models)))
    return jobs_of(load_grid_config(recipe, {}))


def test_two_model_folders_with_the_same_name_get_separate_folders_names_and_ids(tmp_path: Path) -> None:
    all_jobs = jobs(tmp_path, model_folders(tmp_path))
    homes = [places.home_of(job) for job in all_jobs if job.kind == "fit"]
    assert len(homes) == len(set(homes)) == 8
    assert len({job.name for job in all_jobs}) == len(all_jobs)
    ids = {job.settings["base"][-10:]: job.settings.get("base_id") for job in all_jobs if job.kind in ("fit", "eval")}
    assert ids == {"org-a/bert": None, "org-b/bert": "org-b--bert"}, "the report distinguishes them by id"
    for job in all_jobs:
        if job.kind == "eval" and "adapter" in job.settings:
            (needed,) = [fit_job for fit_job in all_jobs if fit_job.id in job.needs and fit_job.kind == "fit"]
            assert job.settings["adapter"] == [places.home_of(needed)]
    second = select(all_jobs, ["model=org-b--bert"])
    assert {job.settings["base"][-10:] for job in second if job.kind == "fit"} == {"org-b/bert"}


def test_two_hub_models_with_the_same_name_keep_their_ids(tmp_path: Path) -> None:
    fits = [job for job in jobs(tmp_path, ["org-a/bert", "org-b/Bert"]) if job.kind == "fit"]
    settings = {job.labels["model"]: (job.settings.get("base_id"), job.settings.get("base_folder")) for job in fits}
    assert settings == {"org-a/bert": (None, None), "org-b/Bert": (None, "org-b--Bert")}, "file systems may ignore case"


def test_a_base_model_is_evaluated_at_the_revision_its_adapters_were_trained_on(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, tmp_path / "out")
    content = recipe.read_text().replace('["lrl-mini"]', '["org/bert"]')
    recipe.write_text(content.replace("steps = 4", 'steps = 4\nbase-revision = "v1"'))
    evals = [job for job in jobs_of(load_grid_config(recipe, {})) if job.kind == "eval"]
    revisions = {("adapter" in job.settings, job.settings.get("base_revision")) for job in evals}
    assert revisions == {(True, None), (False, "v1")}, "an adapter records its commit itself"


@pytest.mark.parametrize("key", ["base_revision", "base_id", "base_folder"])
def test_a_model_has_one_revision_id_and_folder_in_a_study(key: str) -> None:
    table = {"sources": ["conceptnet"], "models": ["a/b"], "methods": ["lora"]}
    fits = [Fits(**table, **{key: value}) for value in ("v1", "v1", "v2")]
    models_of(fits[:2])
    message = rf"\[\[fit\]\] 3: {key.replace('_', '-')} v2 of a/b conflicts with v1"
    with pytest.raises(UsageError, match=message):
        models_of(fits)


def test_an_adapter_is_evaluated_on_the_commit_it_was_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(score_text, "find_base", lambda *arguments: calls.append(arguments))
    manifest = {"base": {"id": "org/bert", "revision": "a" * 40, "objective": "mlm"}}
    for base, revision in (("org/bert", None), (None, None), ("folder", None), ("org/bert", "v9")):
        score_text.base_of(manifest, EvalConfig(adapter=[Path("a")], base=base, base_revision=revision))
    assert [call[1] for call in calls] == ["a" * 40, "a" * 40, None, "v9"]


def test_jobs_of_models_with_distinct_names_stay_the_same(tmp_path: Path) -> None:
    fits = [job for job in jobs(tmp_path, ["org-a/bert", "org-a/xlm"]) if job.kind == "fit"]
    assert not any({"base_id", "base_folder"} & (job.settings.keys() | job.labels.keys()) for job in fits)
    assert {str(places.home_of(job)).split("/")[2] for job in fits} == {"bert", "xlm"}


def test_adapters_of_a_folder_that_states_its_id_are_expected_where_fit_writes_them(tmp_path: Path) -> None:
    (first, _) = model_folders(tmp_path)
    Path(first, "config.json").write_text('{"model_type": "bert", "_name_or_path": "my-org/my-bert"}')
    assert public_id(first) == "my-org/my-bert"
    homes = [str(places.home_of(job)) for job in jobs(tmp_path, [first]) if job.kind == "fit"]
    assert all("/my-bert/" in home for home in homes)


@pytest.mark.parametrize(("cached", "public"), [("models--org--bert", "org/bert"), ("models--gpt2", "gpt2")])
def test_a_folder_in_the_cache_of_the_hub_has_the_id_of_its_repository(
    cached: str, public: str, tmp_path: Path
) -> None:
    folder = tmp_path / cached / "snapshots" / ("6" * 40)
    folder.mkdir(parents=True)
    assert public_id(str(folder)) == public


@pytest.mark.parametrize("data", [None, "flores"])
def test_all_tasks_on_the_data_of_the_paper_include_perplexity(data: str | None) -> None:
    assert EvalConfig(task="all", data=data, adapter=[Path("a")]).measures_text


def test_names_become_distinct_whatever_characters_they_contain() -> None:
    origins = ["a/bert", "x/a/bert", "a b/bert", "ö/bert", "org/a--bert"]
    names = distinct(
        {origin: origin.rsplit("/", maxsplit=1)[-1] for origin in origins}, {origin: origin for origin in origins}
    )
    assert list(names.values())[:2] == ["bert", "a--bert"]
    assert len(set(names.values())) == 5
    assert all(name.isascii() and "/" not in name and " " not in name for name in names.values())


def test_one_base_id_for_several_models_is_refused(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, tmp_path)
    content = recipe.read_text().replace('["lrl-mini"]', '["a/bert", "b/bert"]')
    recipe.write_text(content.replace("steps = 4", 'steps = 4\nbase-id = "my/bert"'))
    with pytest.raises(UsageError, match=r"\[\[fit\]\] 1: base-id applies to one model, not to 2"):
        models_of(load_grid_config(recipe, {}).fit)


def test_fit_refuses_a_folder_of_another_base_model(text: Path, fitted: Path, tmp_path: Path) -> None:
    parent = tmp_path / "adapters" / "ro" / "lrl-mini"
    with_base(parent / "glotcc-lora", fitted, id="org-b/lrl-mini", content=None)
    for options in ({}, {"overwrite": True}):
        with pytest.raises(
            StorageError, match="adapters of org-b/lrl-mini, a different base model than lrl-mini"
        ) as raised:
            fit(config_for(text, tmp_path, **options), QUIET)
        assert "--base-folder" in raised.value.hint
    with pytest.raises(StorageError, match="org-b/lrl-mini"):
        estimate.estimate(config_for(text, tmp_path, dry_run=True), QUIET)
    adapter = fit(config_for(text, tmp_path, base_folder="mini-2"), QUIET)
    assert adapter.path == tmp_path / "adapters" / "ro" / "mini-2" / "text-seq_bn_inv"
    assert adapter.manifest["recipe"] == (read_manifest(fitted, ADAPTER) or {})["recipe"], (
        "the folder does not affect the weights"
    )


def test_a_model_with_the_same_id_and_other_weights_is_a_different_one(fitted: Path, tmp_path: Path) -> None:
    base = find_base("lrl-mini")
    home = with_base(tmp_path / "bert" / "glotcc-lora", fitted, content="0" * 64).with_name("text-seq_bn")
    with pytest.raises(StorageError, match="has different weights"):
        refuse_other_base(home, base, overwrite=False)
    refuse_other_base(home, base, overwrite=True)
    refuse_other_base(home, replace(base, content=None, revision="1"), overwrite=False)
    shutil.rmtree(home.with_name("glotcc-lora"))
    home.with_name("link").symlink_to(tmp_path / "nowhere")
    home.with_name("notes.txt").write_text("mine")
    refuse_other_base(home, replace(base, content="0" * 64), overwrite=False)


def test_a_job_that_writes_nothing_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrltrain.grid.act.HANDLERS", {"fit": lambda *_: []})
    labels = {"lang": "ro", "source": "conceptnet", "model": "bert", "method": "lora"}
    with pytest.raises(StorageError, match="fit ro conceptnet bert lora: wrote no files"):
        _files(Job("fit", labels, {}), Records(tmp_path), tmp_path)


# Runs that resume


def recipe_of(**settings: Any) -> dict[str, Any]:
    inputs = [settings.pop("text", "a")]
    return {"base": {"id": "x"}, "inputs": inputs, "settings": {"steps": 9, "lora_r": 8, "batch_size": 4, **settings}}


@pytest.fixture
def stopped(tmp_path: Path) -> tuple[Path, Path]:
    """Return the home and run folders of an unfinished adapter that was stopped at step 5 of 9."""
    home, run = tmp_path / "home", tmp_path / ".home.run"
    start_or_resume(home, run, recipe_of(), FitConfig(lang="ro"))
    (run / "checkpoint-5").mkdir()
    seal_checkpoint(run / "checkpoint-5")
    return home, run


@pytest.mark.parametrize(
    ("change", "message"), [({"lora_r": 4}, "lora_r: 8 before, now 4"), ({"batch_size": 2}, "batch_")]
)
def test_a_run_cannot_resume_with_settings_of_other_shapes(
    stopped: tuple[Path, Path], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(StorageError, match=f"{message}.* cannot be resumed"):
        start_or_resume(*stopped, recipe_of(**change, steps=20), FitConfig(lang="ro", resume=True))


def test_a_run_cannot_resume_with_another_text(stopped: tuple[Path, Path]) -> None:
    for resume in (False, True):
        with pytest.raises(StorageError, match="inputs") as refused:
            start_or_resume(*stopped, recipe_of(text="b"), FitConfig(lang="ro", resume=resume))
        assert "--resume" not in refused.value.hint


def test_fewer_steps_than_already_done_is_an_error_with_both_numbers(stopped: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match="--steps 4: the unfinished run is already at step 5"):
        start_or_resume(*stopped, recipe_of(steps=4), FitConfig(lang="ro", resume=True))
    with pytest.raises(StorageError, match="was not finished") as refused:
        start_or_resume(*stopped, recipe_of(steps=4), FitConfig(lang="ro"))
    assert "--resume" not in refused.value.hint, "it would be refused"
    assert start_or_resume(*stopped, recipe_of(steps=5), FitConfig(lang="ro", resume=True))["resumed"]


def test_each_change_of_settings_on_resuming_is_recorded_in_the_recipe(stopped: tuple[Path, Path]) -> None:
    resume = FitConfig(lang="ro", resume=True)
    first = {"step": 5, "settings": {"steps": 9}}
    assert start_or_resume(*stopped, recipe_of(steps=20), resume)["resumed"] == [first]
    assert start_or_resume(*stopped, recipe_of(steps=20), resume)["resumed"] == [first], (
        "it was stopped again at the same step"
    )
    with pytest.raises(StorageError, match="resumed at step 5 of a run with steps: 9"):
        start_or_resume(*stopped, recipe_of(steps=20), FitConfig(lang="ro"))
    second = {"step": 5, "settings": {"steps": 20}}
    assert start_or_resume(*stopped, recipe_of(steps=30), resume)["resumed"] == [first, second]
    assert "resumed" not in start_or_resume(*stopped, recipe_of(steps=30), FitConfig(lang="ro", overwrite=True))


def test_a_run_started_by_an_older_version_resumes(stopped: tuple[Path, Path]) -> None:
    recipe = recipe_of() | {"base": {"id": "x", "reading": "0"}}
    assert "resumed" not in start_or_resume(*stopped, recipe, FitConfig(lang="ro"))


def test_a_resumed_adapter_records_its_changes_and_uses_the_new_learning_rate(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = config_for(text, tmp_path, method="lora", steps=20, eval_every=2)
    save = Loop._save  # noqa: SLF001 -- a run is stopped right after it

    def save_and_stop(self: Loop) -> None:
        save(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            fit(plain, QUIET)
    moved = tmp_path / "moved"
    shutil.move(tmp_path / "adapters", moved / "adapters")
    options = {"steps": 4, "learning_rate": 1e-3, "eval_every": 1, "warmup": 0.0, "resume": True}
    config = FitConfig(**(plain.model_dump() | options | {"out": moved}))
    adapter = fit(config, QUIET)
    (resumption,) = adapter.manifest["resumed"]
    assert resumption["step"] == 2
    assert resumption["settings"] == {"steps": 20, "eval_every": 2, "learning_rate": 5e-4, "warmup": 0.05}
    log = json.loads((adapter.path / "log.json").read_text())
    rates = {entry["step"]: entry["learning_rate"] for entry in log if "learning_rate" in entry}
    assert rates[3] == pytest.approx(1e-3 / 2), "in the third of four steps, the rate is half of its peak"
    assert {3, 4} <= {entry["step"] for entry in log if "eval_loss" in entry}
    assert fit(config, QUIET).status == "unchanged"
    with pytest.raises(StorageError, match=r"resumed at step 2 of a run with .*steps: 20"):
        fit(config.model_copy(update={"resume": False}), QUIET)
    assert not run_folder(adapter.path.resolve()).exists()


# Tokenizers


@pytest.fixture
def tokenizer() -> Any:
    return load_tokenizer(find_base("lrl-mini"))


def config_of(**changes: Any) -> Any:
    settings = AutoConfig.from_pretrained(mini_path())
    for key, value in changes.items():
        setattr(settings, key, value)
    return settings


def test_a_token_beyond_the_embeddings_is_named_with_its_id_and_the_embedding_count(tokenizer: Any) -> None:
    check_tokenizer("mini", tokenizer, config_of(), masked=True)
    with pytest.raises(ModelError, match=r"mini: the mask token of the tokenizer, '<mask>', has id 8,001.*8,001 embe"):
        check_tokenizer("mini", tokenizer, config_of(vocab_size=8_001), masked=True)
    tokenizer.add_tokens(["casă", "drumul"])
    with pytest.raises(ModelError, match=r"'casă' .* has id 8,002, but the model has 8,002 embeddings \(2 tokens"):
        check_tokenizer("mini", tokenizer, config_of(), masked=True)


def test_a_padding_id_beyond_the_embeddings_is_an_error(tokenizer: Any) -> None:
    with pytest.raises(ModelError, match=r"pad_token_id in config\.json is 9,000"):
        check_tokenizer("mini", tokenizer, config_of(pad_token_id=9_000), masked=True)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    with pytest.raises(ModelError, match=r"the pad token of the tokenizer, '\[PAD\]', has id 8,002"):
        check_tokenizer("mini", tokenizer, config_of(), masked=False)


def test_a_tokenizer_without_the_required_tokens_is_refused(tokenizer: Any) -> None:
    tokenizer.pad_token = None
    check_tokenizer("mini", tokenizer, config_of(), masked=True)  # it pads with the end-of-text token
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="neither a padding token nor an end-of-text token"):
        check_tokenizer("mini", tokenizer, config_of(), masked=False)
    tokenizer.mask_token = None
    with pytest.raises(ModelError, match="no mask token"):
        check_tokenizer("mini", tokenizer, config_of(), masked=True)


@pytest.fixture
def other_tokenizer(tmp_path: Path) -> Base:
    """Return lrl-mini with two pieces of its vocabulary swapped."""
    folder = shutil.copytree(mini_path(), tmp_path / "other")
    content = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary[100], vocabulary[101] = vocabulary[101], vocabulary[100]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return find_base(str(folder), public="lrl-mini")


def test_an_adapter_is_refused_with_another_tokenizer(fitted: Path, other_tokenizer: Base) -> None:
    manifest, mini = read_manifest(fitted, ADAPTER) or {}, find_base("lrl-mini")
    assert other_tokenizer.content == mini.content
    assert other_tokenizer.as_json() != mini.as_json(), "scores with one tokenizer do not count for the other"
    check_base(fitted, manifest, mini)
    with pytest.raises(ModelError, match="was trained with another tokenizer"):
        check_base(fitted, manifest, other_tokenizer)


def test_an_adapter_of_an_older_version_is_checked_against_the_tokenizer_only(
    fitted: Path, other_tokenizer: Base, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = read_manifest(fitted, ADAPTER) or {}
    older = manifest | {"base": {key: value for key, value in manifest["base"].items() if key != "reading"}}
    check_base(fitted, older, find_base("lrl-mini"))
    with pytest.raises(ModelError, match="another tokenizer"):
        check_base(fitted, older, other_tokenizer)
    check_base(fitted, older | {"made_with": {"tokenizers": "0.1"}}, other_tokenizer)
    assert "another version of transformers or tokenizers" in capsys.readouterr().err


def test_an_adapter_of_an_older_version_counts_as_unchanged(text: Path, fitted: Path, tmp_path: Path) -> None:
    config = config_for(text, tmp_path)
    folder = shutil.copytree(fitted, tmp_path / "adapters" / "ro" / "lrl-mini" / fitted.name)
    manifest = read_manifest(folder, ADAPTER) or {}
    shaping = ("language", "method", "tokenizer", "inputs", "settings", "made_with")
    base = {key: value for key, value in manifest["base"].items() if key != "reading"}
    older = {key: manifest[key] for key in shaping} | {"base": base}
    digest = manifests.fingerprint(older)
    write_manifest(folder / MANIFEST, ADAPTER, manifest | {"base": base, "recipe": digest})
    assert fit(config, QUIET).status == "unchanged"


def test_an_adapter_made_with_other_versions_of_libraries_is_kept(
    text: Path, fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_for(text, tmp_path)
    folder = shutil.copytree(fitted, tmp_path / "adapters" / "ro" / "lrl-mini" / fitted.name)
    manifest = read_manifest(folder, ADAPTER) or {}
    shaping = ("language", "method", "base", "tokenizer", "inputs", "settings", "made_with")
    older = manifest["made_with"] | {"tokenizers": "0.1"}

    def rewrite(**changes: Any) -> None:
        recipe = {key: manifest[key] for key in shaping} | changes
        write_manifest(folder / MANIFEST, ADAPTER, manifest | recipe | {"recipe": manifests.fingerprint(recipe)})

    rewrite(made_with=older, tokenizer="written otherwise by that version")
    assert fit(config, QUIET).status == "unchanged"
    assert f"made with tokenizers 0.1 (now {manifest['made_with']['tokenizers']}), and kept" in capsys.readouterr().err
    with pytest.raises(StorageError, match=r"steps: \d+ before, now 3; tokenizers 0\.1 \(now "):
        fit(config.model_copy(update={"steps": 3}), QUIET)
    rewrite(tokenizer="another one", made_with=manifest["made_with"] | {"torch": "2.9.1"})
    with pytest.raises(StorageError, match=r"\(tokenizer; torch 2\.9\.1 \(now "):
        fit(config, QUIET)


def test_the_description_of_a_hub_model_stays_the_same() -> None:
    assert "reading" not in Base("a/b", "a/b", "1", "mlm", "bert").as_json()
    assert find_base("lrl-mini").as_json()["reading"]


# Fusions


def test_a_fusion_records_whose_inverse_it_uses_and_can_use_none(text: Path, fitted: Path, tmp_path: Path) -> None:
    second = shutil.copytree(fitted, tmp_path / "second")
    pair = {"method": "fusion", "adapters": [fitted, second]}
    default = config_for(text, tmp_path, **pair)
    assert methods.fused_invertible(default) == "ro_text_seq_bn_inv"
    assert "fuse_invertible" not in default.shaping(), "earlier fusions stay unchanged"
    fusion = fit(config_for(text, tmp_path, **pair, fuse_invertible="none"), QUIET)
    assert fusion.manifest["fused_invertible"] is None
    assert fusion.manifest["settings"]["fuse_invertible"] == "none"
    for folder in sorted((fusion.path / "adapters").iterdir()):
        assert json.loads((folder / "adapter_config.json").read_text())["config"]["inv_adapter"] is None
        assert not any("invertible" in name for name in load_file(folder / "adapter.safetensors"))
    reference = load_file(fusion.path / "reference.safetensors")
    ours = load_adapted(fusion.path, fusion.manifest, find_base("lrl-mini"))
    assert all(stack.coupling is None for stack in inserted(ours))
    models = [ours]
    if HAS_ADAPTERS:
        from adapters import AutoAdapterModel  # noqa: PLC0415

        theirs = AutoAdapterModel.from_pretrained(mini_path())
        for folder in sorted((fusion.path / "adapters").iterdir()):
            theirs.load_adapter(str(folder))
        theirs.load_adapter_fusion(str(fusion.path), set_active=True)
        assert not theirs.base_model.invertible_adapters
        models.append(theirs.eval())
    for model in models:
        with torch.no_grad():
            logits = model(input_ids=reference["input_ids"]).logits[..., reference["words"]]
        torch.testing.assert_close(logits, reference["logits"], atol=1e-4, rtol=1e-4)


def test_fuse_invertible_is_accepted_only_for_fusions() -> None:
    with pytest.raises(ValueError, match="--fuse-invertible works only with --method fusion"):
        FitConfig(lang="ro", fuse_invertible="none")


# Missing libraries


def test_an_adapter_is_kept_if_its_loss_curve_cannot_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "altair", None)
    artifact.draw_curve([{"step": 1, "loss": 2.0}], 1, "x", tmp_path / "loss.png")
    assert not list(tmp_path.iterdir())
    assert "note: loss.png could not be drawn" in capsys.readouterr().err


def test_lrl_knows_its_version_without_being_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(manifests, "version", missing)
    monkeypatch.setattr(manifests, "_version", unwrap(vars(manifests)["_version"]))  # bypasses its cache
    assert manifests.made_with() == {"lrl": lrldata.__version__}
    with pytest.raises(PackageNotFoundError):
        manifests.made_with("torch")
