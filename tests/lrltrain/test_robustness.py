"""Failures that must not pass silently: damaged checkpoints, incomplete models, same-named texts, folders in use."""

import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from polars.exceptions import ComputeError
from safetensors.torch import load_file, save_file
from warm import Warm

from lrldata.arguments import naming_arguments
from lrldata.errors import ModelError, StorageError, TrainingError
from lrldata.language import find
from lrltrain.artifact import LanguageAdapter, open_adapter
from lrltrain.config import FitConfig
from lrltrain.evaluation.stack import stack
from lrltrain.fitting.runs import group_of, start_or_resume, translate_errors
from lrltrain.grid.act import run_job
from lrltrain.grid.job import Job
from lrltrain.memory import within_memory
from lrltrain.methods import load_adapted
from lrltrain.models import find_base, load_model, mini_path
from lrltrain.modules.load import load_adapter
from lrltrain.tensors import write_tensors
from lrltrain.text import open_text
from lrltrain.training.checkpoints import seal_checkpoint, whole_steps

Run = Callable[..., subprocess.CompletedProcess[str]]
RECIPE: dict[str, Any] = {"settings": {"steps": 5}}


def checkpoint(run: Path, step: int) -> Path:
    folder = run / f"checkpoint-{step}"
    (folder / "x").mkdir(parents=True)
    for name in ("optimizer.pt", "trainer_state.json", "x/pytorch_adapter.bin"):
        (folder / name).write_text(f"{name} of step {step}")
    seal_checkpoint(folder)
    return folder


@pytest.mark.parametrize("name", ["optimizer.pt", "x/pytorch_adapter.bin", "trainer_state.json", "files.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "empty"])
def test_a_checkpoint_with_any_damaged_file_is_replaced_by_the_previous_one(
    tmp_path: Path, name: str, damage: str
) -> None:
    _, second = checkpoint(tmp_path, 10), checkpoint(tmp_path, 20)
    assert whole_steps(tmp_path) == [10, 20]
    damaged = second / name
    if damage == "gone":
        damaged.unlink()
    else:
        damaged.write_text(damaged.read_text()[:-3] if damage == "cut" else "")
    assert whole_steps(tmp_path) == [10]
    assert not second.exists()


def test_a_damaged_checkpoint_is_reported_and_an_unfinished_one_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = checkpoint(tmp_path, 10), checkpoint(tmp_path, 20)
    (second / "files.json").unlink()
    assert whole_steps(tmp_path) == [10]
    assert capsys.readouterr().err == ""
    (first / "optimizer.pt").write_text("")
    assert whole_steps(tmp_path) == []
    assert f"{first} is damaged and is removed" in capsys.readouterr().err


def test_a_checkpoint_that_cannot_be_read_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [checkpoint(tmp_path, 10), checkpoint(tmp_path, 20)]
    (folders[0] / "files.json").unlink()  # would be removed, but first all are read

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(folders[1]))

    with monkeypatch.context() as patch:
        patch.setattr("lrltrain.training.checkpoints.damaged", refuse)
        with pytest.raises(PermissionError):
            whole_steps(tmp_path)
    assert all(folder.is_dir() for folder in folders)


def test_a_run_that_resumes_keeps_the_group_that_it_started_in(tmp_path: Path) -> None:
    home, run, config = tmp_path / "home", tmp_path / ".home.run", FitConfig(lang="ro")
    start_or_resume(home, run, RECIPE, config, ["a", "b"])
    assert group_of(run) == ["a", "b"]
    start_or_resume(home, run, RECIPE, config, ["b"])
    assert group_of(run) == ["b"], "there was no checkpoint, so it starts again"
    checkpoint(run, 5)
    start_or_resume(home, run, RECIPE, config, ["a", "b"])
    assert group_of(run) == ["b"]
    other = {"settings": {"steps": 6}}
    start_or_resume(home, run, other, FitConfig(lang="ro", overwrite=True), ["b", "c"])
    assert group_of(run) == ["b", "c"]


def test_files_of_tensors_have_the_mode_and_the_errors_of_other_files(tmp_path: Path) -> None:
    tensors, previous = {"a": torch.zeros(2)}, os.umask(0o027)
    try:
        write_tensors(tensors, tmp_path / "a.safetensors")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "a.safetensors").stat().st_mode) == 0o640
    with pytest.raises(OSError, match="No such file") as caught:
        write_tensors(tensors, tmp_path / "none" / "a.safetensors")
    assert caught.value.filename == str(tmp_path / "none" / "a.safetensors")


def test_claiming_a_folder_never_removes_foreign_files(tmp_path: Path) -> None:
    home, run = tmp_path / "home", tmp_path / ".home.run"
    config = FitConfig(lang="ro", overwrite=True)
    home.mkdir()
    (home / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"notes\.txt"):
        start_or_resume(home, run, RECIPE, config)
    (home / "notes.txt").unlink()
    start_or_resume(home, run, RECIPE, config)
    saved = checkpoint(run, 5)
    start_or_resume(home, run, RECIPE, config)
    assert saved.exists(), "an interrupted --overwrite continues"
    other = {"settings": {"steps": 6}}
    with pytest.raises(StorageError, match="steps: 5 before, now 6"):
        start_or_resume(home, run, other, FitConfig(lang="ro"))
    start_or_resume(home, run, other, FitConfig(lang="ro", resume=True))
    assert saved.exists()
    start_or_resume(home, run, RECIPE, config)
    assert not saved.exists()


def test_resume_does_not_discard_a_finished_adapter(fit: Any, lrltrain: Run, workspace: Path, tmp_path: Path) -> None:
    fit(steps=2)
    result = lrltrain(
        *("fit", "--lang", "ro", "--dataset", workspace / "datasets" / "ro" / "conceptnet", "--base", "lrl-mini"),
        *("--steps", 3, "--resume", "--out", tmp_path / "out", "--cache", workspace / "cache"),
    )
    assert result.returncode == 1
    assert "--overwrite" in result.stderr


def test_files_with_the_same_name_or_another_order_are_distinguished(tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "x.txt", tmp_path / "b" / "x.txt"]
    for path in paths:
        path.parent.mkdir()
        path.write_text(f"text of {path.parent.name}\n")
    choices = [[paths[0]], [paths[1]], paths, paths[::-1], [paths[0], paths[0]]]
    texts = [open_text(FitConfig(lang="ro", text=chosen), find("ro")) for chosen in choices]
    assert len({json.dumps(text.provenance) for text in texts}) == len(texts)


def test_a_base_model_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    for file in mini_path().iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    remaining = {name: value for name, value in weights.items() if ".layer.1." not in name}
    save_file(remaining, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks \d+ weights"):
        load_model(find_base(str(tmp_path)))
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(find_base(str(tmp_path)))


def test_an_encoder_is_not_trained_as_a_decoder() -> None:
    with pytest.raises(ModelError, match="can be trained with objective mlm, not clm"):
        find_base("lrl-mini", objective="clm")


def test_a_revision_is_refused_for_a_model_that_is_not_on_the_hub() -> None:
    for name in ("lrl-mini", str(mini_path())):
        with pytest.raises(ModelError, match=r"has no revisions, .* Omit the revision"):
            find_base(name, "v1")


def test_memory_that_ran_out_on_a_cpu_is_reported_like_that_of_a_gpu(tmp_path: Path) -> None:
    def fail() -> None:
        torch.empty(10**15)

    message = r"out of memory with 16 blocks per batch\. Lower --batch-size"
    with pytest.raises(TrainingError, match=message), translate_errors(tmp_path, 16):
        fail()
    with pytest.raises(ModelError, match=r"there is not enough memory .* Lower it"), within_memory("Lower it."):
        fail()
    with pytest.raises(RuntimeError, match="can't start new thread"), within_memory("Lower it."):
        raise RuntimeError("can't start new thread")


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no limit on address space")
def test_a_limit_on_address_space_costs_only_the_plot(scripts: Warm, tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path; from lrltrain.artifact import draw_curve;"
        "import mmap; private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS;"
        "held = mmap.mmap(-1, int(sys.argv[2]) << 30, flags=private, prot=mmap.PROT_READ);"
        "resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[3]) << 30, int(sys.argv[3]) << 30));"
        "draw_curve([{'step': 1, 'loss': 2.0}], 1, 'x', Path(sys.argv[1])); print('goes on')"
    )
    for reserved, limit in ((1, 16), (20, 80)):  # GB; a limit of 68 suffices if nothing else is reserved
        arguments = [code, str(tmp_path / "loss.png"), str(reserved), str(limit)]
        result = scripts.run(arguments, tmp_path, scripts.environment)
        assert (result.returncode, result.stdout) == (0, "goes on\n"), result.stderr
        assert not (tmp_path / "loss.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", ","], "--text: no value given"),
        (["--base-id", "../../evil"], "--base-id"),
        (["--seed", "5000000000"], "--seed"),
        (["--text", "x.txt", "--dataset-revision", "v1"], "--dataset-revision needs --dataset"),
        (["--reduction-factor", "inf"], "--reduction-factor"),
        (["--method", "fusion", "--adapters", "a,a"], "--adapters"),
    ],
)
def test_invalid_values_are_refused(lrltrain: Run, arguments: list[str], message: str) -> None:
    result = lrltrain("fit", "--lang", "ro", *arguments)
    assert result.returncode == 2
    assert message in result.stderr


def test_an_adapter_that_was_replaced_is_not_recorded_as_the_earlier_one(fit: Any) -> None:
    for method in ("lora", "full"):
        folder = fit(method=method, steps=2)
        manifest = open_adapter(folder)
        base, replaced = find_base("lrl-mini"), manifest | {"sha256": "0" * 64}
        load_adapted(folder, manifest, base)
        with pytest.raises(StorageError, match="was replaced meanwhile"):
            load_adapted(folder, replaced, base)
        adapter = LanguageAdapter(folder, replaced)
        with pytest.raises(StorageError, match="was replaced meanwhile"):
            stack(base, adapter, adapter, 16.0, [1])


def test_a_full_disk_is_called_by_its_name_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")

    def fail(*_: object, **__: object) -> None:
        raise full

    by_polars = ComputeError("parquet: underlying IO error: No space left on device")
    for error in (full, OSError("No space left on device (os error 28)"), by_polars):
        where = r"^no space left on a disk.*: set out and cache "
        with pytest.raises(StorageError, match=where), naming_arguments({"out", "cache"}):
            raise error
    monkeypatch.setattr("lrltrain.modules.load.snapshot_download", fail)
    with pytest.raises(ModelError, match=r"No space left on device\. Free some disk space, or set HF_HOME\.$"):
        load_adapter(load_model(find_base("lrl-mini")), "my-org/adapter")
    monkeypatch.setattr("lrltrain.grid.act.records_of", fail)
    record = run_job(Job("report", {}, {}).as_json(), str(tmp_path), str(tmp_path))
    assert record.error.endswith("Free some disk space and run the grid again.")
