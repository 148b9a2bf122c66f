"""A workspace that outlives versions and machines: finished work stays valid, and problems are named."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import lrldata
from hub_cards.artifacts import open_workspace
from lrldata.errors import StorageError
from lrldata.manifest import ADAPTER, DATASET, MANIFEST, read_manifest, write_manifest
from lrldata.progress import Progress
from lrltrain.artifact import open_adapter
from lrltrain.config import load_fit_config
from lrltrain.fitting import plan as plans
from lrltrain.fitting.fit import fit, fit_group
from lrltrain.fitting.runs import differs_in_libraries_only, run_folder
from lrltrain.grid.handlers import HANDLERS
from lrltrain.grid.job import Job
from lrltrain.grid.records import records_of
from lrltrain.training.checkpoints import STATE, whole_steps
from lrltrain.training.loop import Loop

QUIET = Progress(quiet=True)
SMALL: dict[str, Any] = {"base": "lrl-mini", "method": "lora", "steps": 4, "batch_size": 2, "max_length": 32}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    lrldata.build("ro", sample=True, out=tmp_path / "ws", cache=tmp_path / "cache", quiet=True)
    return tmp_path / "ws"


def fit_config(workspace: Path, **more: Any) -> Any:
    return load_fit_config(None, SMALL | {"lang": "ro", "out": workspace, "cache": workspace.parent / "cache"} | more)


def rewrite_manifest(workspace: Path, **more: Any) -> None:
    """Rewrite the dataset's manifest as if another version of a library had built the same rows."""
    folder = workspace / "datasets" / "ro" / "conceptnet"
    manifest = read_manifest(folder, DATASET) or {}
    made_with = manifest["made_with"] | {"polars": "9.0"}
    write_manifest(folder / MANIFEST, DATASET, manifest | {"made_with": made_with, "recipe": "0" * 64} | more)


def test_a_dataset_rebuilt_to_the_same_rows_counts_as_the_same(workspace: Path) -> None:
    fitted = fit(fit_config(workspace), QUIET)
    tokens = sorted((workspace.parent / "cache" / "tokens").iterdir())
    rewrite_manifest(workspace)
    assert fit(fit_config(workspace), QUIET).status == "unchanged"
    opened = open_workspace(workspace)
    (adapter,) = opened.adapters["ro"]
    linked = opened.dataset_of(adapter.manifest["inputs"][0]["manifest_sha256"])
    assert linked == opened.datasets["ro"][0], "its card names the dataset, its licence and its version"
    assert fit(fit_config(workspace, variant="b"), QUIET).status == "fitted"
    assert sorted((workspace.parent / "cache" / "tokens").iterdir()) == tokens, "read from the cache"
    manifest = read_manifest(workspace / "datasets" / "ro" / "conceptnet", DATASET) or {}
    rewrite_manifest(workspace, history=[manifest["history"][0] | {"content": "1" * 64}])
    with pytest.raises(StorageError, match=r"already holds an adapter \(inputs\)"):
        fit(fit_config(workspace), QUIET)
    assert fitted.manifest["inputs"][0]["content"] == manifest["history"][0]["content"]


@contextmanager
def stopped_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Interrupt a fit in this block at a step's evaluation, before its checkpoint."""
    evaluate = Loop._evaluate  # noqa: SLF001

    def stop(self: Loop, current: int, *arguments: Any) -> Any:
        if current == step:
            raise KeyboardInterrupt
        return evaluate(self, current, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_evaluate", stop)
        with pytest.raises(KeyboardInterrupt):
            yield


def upgrade(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Replace the version of tokenizers, and return the versions before."""
    versions = plans.made_with("transformers", "tokenizers", "torch")
    monkeypatch.setattr(plans, "made_with", lambda *_: versions | {"tokenizers": "9.0"})
    monkeypatch.setattr(plans, "tokenizer_fingerprint", lambda _: "written otherwise")
    return versions


def test_a_run_resumes_after_an_upgrade_of_tokenizers(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with stopped_at(4, monkeypatch):
        fit(fit_config(workspace, eval_every=2), QUIET)
    versions = upgrade(monkeypatch)
    with pytest.raises(
        StorageError, match=r"was not finished \(tokenizers .* \(now 9\.0\)\)\. Use --resume to continue"
    ):
        fit(fit_config(workspace, eval_every=2), QUIET)
    adapter = fit(fit_config(workspace, eval_every=2, resume=True), QUIET)
    assert adapter.manifest["resumed"][0]["made_with"] == versions
    assert fit(fit_config(workspace, eval_every=2), QUIET).status == "unchanged", "as if finished before the upgrade"


def test_a_fit_of_a_study_resumes_after_an_upgrade_and_says_if_it_cannot(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = workspace.parent / "cache"

    def run_fit(seed: int = 42) -> Any:
        labels = {"lang": "ro", "source": "conceptnet", "model": "lrl-mini", "method": "lora"}
        job = Job("fit", labels, SMALL | {"lang": "ro", "eval_every": 2, "seed": seed})
        (folder,) = HANDLERS["fit"](job, records_of(str(workspace), cache), cache)
        return read_manifest(folder, ADAPTER)

    with stopped_at(4, monkeypatch):
        run_fit()
    versions = upgrade(monkeypatch)
    with stopped_at(4, monkeypatch):
        run_fit()
    assert run_fit()["resumed"] == [{"step": 2, "settings": {}, "made_with": versions}], "also after a second stop"
    with stopped_at(4, monkeypatch):
        run_fit(seed=7)
    assert "discarded" not in capsys.readouterr().err
    assert "resumed" not in run_fit(seed=8)
    assert "an unfinished run at step 2 is discarded: seed: 7 before, now 8" in capsys.readouterr().err


def test_a_run_that_an_upgrade_discards_does_not_set_back_the_others_of_its_group(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {"eval_every": 2, "resume": True}

    def configs(**of_second: Any) -> list[Any]:
        return [
            fit_config(workspace, variant="a", steps=6, **more),
            fit_config(workspace, variant="b", steps=6, **of_second),
        ]

    with stopped_at(6, monkeypatch):
        fit_group(configs(**more), QUIET)
    versions = upgrade(monkeypatch)
    first, second = fit_group(configs(eval_every=2, overwrite=True, seed=7), QUIET)
    assert first.manifest["resumed"] == [{"step": 4, "settings": {}, "made_with": versions}]
    assert "resumed" not in second.manifest


def test_the_recorded_step_is_the_one_that_all_runs_of_the_group_resume_from(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def configs(**more: Any) -> list[Any]:
        return [fit_config(workspace, variant=name, steps=8, eval_every=2, **more) for name in "ab"]

    with stopped_at(8, monkeypatch):
        fit_group(configs(), QUIET)
    run = run_folder(plans.prepare(configs()[1]).folder.resolve())
    assert whole_steps(run)[-2:] == [4, 6]
    shutil.rmtree(run / "checkpoint-6")  # as if the process had been killed before this run's checkpoint
    for adapter in fit_group(configs(learning_rate=1e-3, resume=True), QUIET):
        assert [change["step"] for change in adapter.manifest["resumed"]] == [4]


def test_a_checkpoint_that_cannot_be_read_is_not_resumed_by_a_study(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stopped_at(4, monkeypatch):
        fit(fit_config(workspace, eval_every=2), QUIET)
    upgrade(monkeypatch)
    plan = plans.prepare(fit_config(workspace, eval_every=2))
    run = run_folder(plan.folder.resolve())
    assert differs_in_libraries_only(run, plan.recipe)
    state = run / "checkpoint-2" / STATE
    state.write_text(state.read_text("utf-8").replace("{", '{"added_later": 1, ', 1), "utf-8")
    assert not differs_in_libraries_only(run, plan.recipe)


def test_an_adapter_without_its_plot_and_logs_is_used_and_not_trained_again(workspace: Path) -> None:
    adapter = fit(fit_config(workspace), QUIET)
    for name in ("loss.png", "log.json", "run.json"):
        (adapter.path / name).unlink()
        assert open_adapter(adapter.path)["name"] == adapter.name
        assert fit(fit_config(workspace), QUIET).status == "unchanged"
    weights = adapter.path / "adapter.safetensors"
    weights.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(StorageError, match=r"Git LFS pointer.*`git lfs pull`\. Copy it again from"):
        open_adapter(adapter.path)
    with pytest.raises(StorageError, match=r"same settings, but damaged: adapter\.safetensors is a Git LFS pointer"):
        fit(fit_config(workspace), QUIET)
