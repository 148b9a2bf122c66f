"""Fits that resume alone or in a group, and what is reported of fits: time, estimates, full disks, model ids."""

import json
import logging
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors import SafetensorError

import hub_cards
from lrldata.errors import LrlError, StorageError, UsageError
from lrldata.folder import lock
from lrldata.progress import Progress
from lrltrain.config import load_fit_config, load_fit_configs
from lrltrain.fitting.estimate import estimate
from lrltrain.fitting.fit import fit
from lrltrain.fitting.groups import fit_all
from lrltrain.fitting.plan import Adapter, prepare
from lrltrain.fitting.runs import translate_errors
from lrltrain.methods import attach
from lrltrain.models import find_base, load_model, mini_path
from lrltrain.training.checkpoints import seal_checkpoint
from lrltrain.training.corpus import tokenize
from lrltrain.training.loop import Loop

QUIET = Progress(quiet=True)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdeilmnorstu", k=rng.randint(2, 8))) for _ in range(40)]
    lines = (" ".join(rng.choices(words, k=rng.randint(3, 20))) for _ in range(300))
    (tmp_path / "text.txt").write_text("\n".join(lines), "utf-8")
    return {
        "text": [tmp_path / "text.txt"], "base": "lrl-mini", "method": "seq_bn", "steps": 12, "eval_every": 2,
        "batch_size": 2, "max_length": 32, "out": tmp_path / "ws", "cache": tmp_path / "cache",
    }  # fmt: skip


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the number of adapters in each step, and interrupt training after `stop` steps (9 unless changed)."""
    taken: list[int] = []
    original_take = Loop._take  # noqa: SLF001

    def counting_take(loop: Loop, batches: Any) -> Any:
        if len(taken) == counting_take.stop:  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        taken.append(len(loop.members))
        return original_take(loop, batches)

    counting_take.stop = 9  # type: ignore[attr-defined]
    monkeypatch.setattr(Loop, "_take", counting_take)
    return taken


def run(settings: dict[str, Any], lang: str) -> list[Adapter]:
    return fit_all(load_fit_configs(None, settings | {"lang": lang}), QUIET)


def test_interrupted_runs_resume_when_another_adapter_joins(settings: dict[str, Any], steps: list[int]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(settings, "ro,bg")
    assert steps == [2] * 9
    steps.clear()
    setattr(Loop._take, "stop", -1)  # noqa: B010, SLF001
    adapters = run(settings, "ro,bg,mt")
    assert sorted(steps) == [1] * 12 + [2] * 4, "two resume from step 8, and the third starts from the beginning"
    assert [adapter.manifest["trained"]["steps"] for adapter in adapters] == [12, 12, 12]
    assert "group" not in adapters[2].manifest


def test_adapters_resume_together_from_their_last_common_step(settings: dict[str, Any], steps: list[int]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(settings, "ro,bg")
    last = max((settings["out"] / "adapters/ro/lrl-mini").glob(".*.run/checkpoint-*"), key=lambda path: path.name)
    shutil.rmtree(last)  # as after a kill between the checkpoints of the two adapters
    steps.clear()
    setattr(Loop._take, "stop", -1)  # noqa: B010, SLF001
    run(settings, "ro,bg")
    assert steps == [2] * 6, "both resume from step 6, their last common checkpoint"


def test_time_is_summed_over_interrupted_runs_and_shared_by_a_group(settings: dict[str, Any], steps: list[int]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(settings, "ro")
    (state,) = (settings["out"] / "adapters/ro/lrl-mini").glob(".*.run/checkpoint-8/state.json")
    content = json.loads(state.read_text()) | {"seconds": 1000.0, "share": 0.0}  # as earlier versions wrote it
    state.write_text(json.dumps(content))
    (state.parent / "files.json").unlink()
    seal_checkpoint(state.parent)
    setattr(Loop._take, "stop", -1)  # noqa: B010, SLF001
    (adapter,) = run(settings, "ro")
    assert 1000 < json.loads((adapter.path / "run.json").read_text())["seconds"] < 1100
    began = time.perf_counter()
    both = run(settings, "bg,mt")
    assert sum(map(seconds_of, both)) <= time.perf_counter() - began
    assert len(steps) > 9


def seconds_of(adapter: Adapter) -> float:
    return float(json.loads((adapter.path / "run.json").read_text())["seconds"])


def test_each_adapter_keeps_its_share_of_the_time_of_a_group(settings: dict[str, Any], steps: list[int]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(settings, "ro,bg")
    for state in (settings["out"] / "adapters").glob("*/lrl-mini/.*.run/checkpoint-8/state.json"):
        state.write_text(json.dumps(json.loads(state.read_text()) | {"share": 500.0}))
        (state.parent / "files.json").unlink()
        seal_checkpoint(state.parent)
    setattr(Loop._take, "stop", -1)  # noqa: B010, SLF001
    alone = [run(settings, language)[0] for language in ("ro", "bg")]
    assert all(500 < seconds_of(adapter) < 560 for adapter in alone), "500 s of training were the share of each"
    assert steps


def test_waiting_for_another_run_is_not_training(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    waited = 0.0

    @contextmanager
    def lock_after_a_wait(folder: Path, **options: Any) -> Iterator[None]:
        nonlocal waited
        waited += 1_000.0
        with lock(folder, **options):
            yield

    clock = SimpleNamespace(perf_counter=lambda: time.perf_counter() + waited)
    monkeypatch.setattr("lrltrain.fitting.fit.lock", lock_after_a_wait)
    monkeypatch.setattr("lrltrain.fitting.fit.time", clock)
    (adapter,) = run(settings, "ro")
    assert waited
    assert seconds_of(adapter) < 500


@pytest.mark.usefixtures("steps")
def test_a_run_that_moves_to_a_machine_with_another_precision_says_so(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("lrltrain.fitting.runs.precision_of", lambda _: "bf16")  # as on a GPU
        with pytest.raises(KeyboardInterrupt):
            run(settings, "ro")
    setattr(Loop._take, "stop", -1)  # noqa: B010, SLF001
    with caplog.at_level(logging.INFO, "lrldata"):
        (adapter,) = run(settings, "ro")
    assert "computed in bf16 up to here, and now in fp32" in caplog.text
    assert adapter.manifest["trained"]["precision"] == "bf16, then fp32"
    card = hub_cards.render_card(adapter.path, out=settings["out"] / "card").markdown.read_text("utf-8")
    assert "| seed, precision | 42, bf16, then fp32 |" in card
    assert "the same bytes" not in card
    assert run(settings, "bg")[0].manifest["trained"]["precision"] == "fp32"


@pytest.mark.parametrize("batching", ["packed", "joined", "line"])
def test_an_estimate_counts_what_a_fit_reads(batching: str, settings: dict[str, Any], tmp_path: Path) -> None:
    text = settings["text"][0]
    lines = text.read_text("utf-8").split("\n")
    text.write_text("\n".join(" ".join(lines[n : n + 6]) for n in range(0, 300, 2)), "utf-8")  # longer than 32 tokens
    config = load_fit_config(None, settings | {"lang": "ro", "batching": batching, "accumulate": 50})
    estimated, plan = estimate(config, QUIET), prepare(config)
    corpus = tokenize(plan.text, "train", plan.tokenizer, batching=batching, max_length=32, cache=tmp_path / "other")
    assert estimated["tokens"] == corpus.counts.tokens
    assert estimated["blocks"] == pytest.approx(len(corpus), rel=0.02)
    tokens_per_step = 2 * 50 * estimated["tokens"] / estimated["blocks"]
    assert estimated["tokens_to_train_on"] == pytest.approx(12 * tokens_per_step, rel=0.01), "over all epochs"


def test_an_estimate_refuses_what_a_fit_refuses(settings: dict[str, Any], tmp_path: Path) -> None:
    settings |= {"lang": "ro"}
    for invalid in ({"max_length": 100_000}, {"text": [tmp_path / "one.txt"]}):
        (tmp_path / "one.txt").write_text("Bun.\n", "utf-8")
        for call in (estimate, fit):
            with pytest.raises(LrlError, match=r"reads 256 tokens at most|no line of text for validation"):
                call(load_fit_config(None, settings | invalid), QUIET)
    fit(load_fit_config(None, settings | {"steps": 2}), QUIET)
    with pytest.raises(StorageError, match="already holds an adapter"):
        estimate(load_fit_config(None, settings | {"steps": 3}), QUIET)


def test_a_full_disk_is_reported_as_such_whichever_library_fails(tmp_path: Path) -> None:
    message = "Error while serializing: I/O error: No space left on device (os error 28)"
    with pytest.raises(StorageError, match="no space left on the disk"), translate_errors(tmp_path / "run", 1):
        raise SafetensorError(message)
    with pytest.raises(SafetensorError, match="of another kind"), translate_errors(tmp_path / "run", 1):
        raise SafetensorError("of another kind")


def test_a_folder_that_identifies_itself_as_another_model_is_noted(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(mini_path(), tmp_path / "further")
    file = tmp_path / "further" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"_name_or_path": "some/parent"}))
    flags = settings | {"lang": "ro", "base": str(tmp_path / "further")}
    assert prepare(load_fit_config(None, flags)).base.id == "some/parent"
    assert (
        "identifies itself as some/parent. If it was trained further, name it with --base-id" in capsys.readouterr().err
    )
    assert prepare(load_fit_config(None, flags | {"base_id": "my-org/further"})).base.id == "my-org/further"
    assert "trained further" not in capsys.readouterr().err


def test_dropout_applies_to_a_fusion_too(settings: dict[str, Any]) -> None:
    members = [fit(load_fit_config(None, settings | {"lang": "ro", "steps": 2, "variant": v}), QUIET) for v in "ab"]
    for dropout, expected in ((0.0, 0.0), (0.3, 0.3), (None, 0.1)):
        flags = settings | {"lang": "ro", "method": "fusion", "adapters": [member.path for member in members]}
        config = load_fit_config(None, flags | {"dropout": dropout})
        fused = attach(load_model(find_base("lrl-mini")), config, ["x"], [1]).stack
        assert {fusion.dropout.p for fusion in fused.fusions.values()} == {expected}  # type: ignore[union-attr]


def test_a_revision_is_refused_for_a_folder(settings: dict[str, Any], workspace: Path) -> None:
    flags = {key: value for key, value in settings.items() if key != "text"}
    config = load_fit_config(
        None, flags | {"lang": "ro", "dataset": str(workspace / "datasets/ro/conceptnet"), "dataset_revision": "v1"}
    )
    with pytest.raises(UsageError, match=r"--dataset-revision: .* is a folder"):
        prepare(config)
