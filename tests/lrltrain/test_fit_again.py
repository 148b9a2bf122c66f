"""Fits that go on in other company, and what is said of them: time, estimates, full disks, models with parents."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from lrldata.errors import LrlError, StorageError, UsageError
from lrldata.progress import Progress
from lrltrain.config import load_fit_config, load_fit_configs
from lrltrain.fitting.estimate import estimate
from lrltrain.fitting.fit import fit
from lrltrain.fitting.groups import fit_all
from lrltrain.fitting.plan import Adapter, prepare
from lrltrain.fitting.runs import translate_errors
from lrltrain.methods import attach
from lrltrain.models import find_base, load_model, mini_path
from lrltrain.training.corpus import tokenize
from lrltrain.training.loop import Loop

QUIET = Progress(quiet=True)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdeilmnorstu", k=draw.randint(2, 8))) for _ in range(40)]
    lines = (" ".join(draw.choices(words, k=draw.randint(3, 20))) for _ in range(300))
    (tmp_path / "text.txt").write_text("\n".join(lines), "utf-8")
    return {
        "text": [tmp_path / "text.txt"], "base": "lrl-mini", "method": "seq_bn", "steps": 12, "eval_every": 2,
        "batch_size": 2, "max_length": 32, "out": tmp_path / "ws", "cache": tmp_path / "cache",
    }  # fmt: skip


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the steps that are taken, by the number of adapters; after as many as the last entry says it is stopped."""
    taken: list[int] = []
    take = Loop._take  # noqa: SLF001

    def counted(loop: Loop, batches: Any) -> Any:
        if len(taken) == counted.stop:  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        taken.append(len(loop.members))
        return take(loop, batches)

    counted.stop = 9  # type: ignore[attr-defined]
    monkeypatch.setattr(Loop, "_take", counted)
    return taken


def run(settings: dict[str, Any], lang: str) -> list[Adapter]:
    return fit_all(load_fit_configs(None, settings | {"lang": lang}), QUIET)


def test_runs_that_are_at_a_step_go_on_from_it_when_another_joins(settings: dict[str, Any], steps: list[int]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(settings, "ro,bg")
    assert steps == [2] * 9
    steps.clear()
    setattr(Loop._take, "stop", -1)  # noqa: B010, SLF001
    made = run(settings, "ro,bg,mt")
    assert sorted(steps) == [1] * 12 + [2] * 4, "two from step 8, and the third from the beginning"
    assert [each.manifest["trained"]["steps"] for each in made] == [12, 12, 12]
    assert "group" not in made[2].manifest


def test_what_is_of_one_step_goes_on_together(settings: dict[str, Any], steps: list[int]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(settings, "ro,bg")
    last = max((settings["out"] / "adapters/ro/lrl-mini").glob(".*.run/checkpoint-*"), key=lambda path: path.name)
    shutil.rmtree(last)  # as a kill leaves it that came between the checkpoints of the two
    steps.clear()
    setattr(Loop._take, "stop", -1)  # noqa: B010, SLF001
    run(settings, "ro,bg")
    assert steps == [2] * 6, "from step 6, which both have"


def test_time_is_that_of_all_processes_and_shared_by_a_group(settings: dict[str, Any], steps: list[int]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(settings, "ro")
    (state,) = (settings["out"] / "adapters/ro/lrl-mini").glob(".*.run/checkpoint-8/state.json")
    told = json.loads(state.read_text()) | {"seconds": 1000.0}
    state.write_text(json.dumps(told))
    from lrltrain.training.checkpoints import seal_checkpoint  # noqa: PLC0415

    (state.parent / "files.json").unlink()
    seal_checkpoint(state.parent)
    setattr(Loop._take, "stop", -1)  # noqa: B010, SLF001
    (made,) = run(settings, "ro")
    assert 1000 < json.loads((made.path / "run.json").read_text())["seconds"] < 1100
    both = run(settings, "bg,mt")
    seconds = [json.loads((each.path / "run.json").read_text())["seconds"] for each in both]
    assert seconds[0] == pytest.approx(seconds[1], rel=0.5)
    assert sum(seconds) < 60
    assert len(steps) > 9


@pytest.mark.parametrize("batching", ["packed", "joined", "line"])
def test_an_estimate_counts_what_a_fit_reads(batching: str, settings: dict[str, Any], tmp_path: Path) -> None:
    text = settings["text"][0]
    lines = text.read_text("utf-8").split("\n")
    text.write_text("\n".join(" ".join(lines[n : n + 6]) for n in range(0, 300, 2)), "utf-8")  # beyond 32 tokens
    config = load_fit_config(None, settings | {"lang": "ro", "batching": batching, "accumulate": 50})
    told, plan = estimate(config, QUIET), prepare(config)
    read = tokenize(plan.text, "train", plan.tokenizer, batching=batching, max_length=32, cache=tmp_path / "other")
    assert told["tokens"] == read.counts.tokens
    assert told["blocks"] == pytest.approx(len(read), rel=0.02)
    a_step = 2 * 50 * told["tokens"] / told["blocks"]
    assert told["tokens_to_train_on"] == pytest.approx(12 * a_step, rel=0.01), "of all epochs"


def test_an_estimate_refuses_what_a_fit_refuses(settings: dict[str, Any], tmp_path: Path) -> None:
    settings |= {"lang": "ro"}
    for odd in ({"max_length": 100_000}, {"text": [tmp_path / "one.txt"]}):
        (tmp_path / "one.txt").write_text("Bun.\n", "utf-8")
        for call in (estimate, fit):
            with pytest.raises(LrlError, match=r"reads 256 tokens at most|no line of text for validation"):
                call(load_fit_config(None, settings | odd), QUIET)
    fit(load_fit_config(None, settings | {"steps": 2}), QUIET)
    with pytest.raises(StorageError, match="already holds an adapter"):
        estimate(load_fit_config(None, settings | {"steps": 3}), QUIET)


def test_a_full_disk_is_said_to_be_one_by_whatever_library(tmp_path: Path) -> None:
    told = "Error while serializing: I/O error: No space left on device (os error 28)"
    with pytest.raises(StorageError, match="no space left on the disk"), translate_errors(tmp_path / "run", 1):
        raise SafetensorError(told)
    with pytest.raises(SafetensorError, match="of another kind"), translate_errors(tmp_path / "run", 1):
        raise SafetensorError("of another kind")


def test_a_folder_that_names_another_model_is_said_to_be_taken_for_it(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(mini_path(), tmp_path / "further")
    file = tmp_path / "further" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"_name_or_path": "some/parent"}))
    given = settings | {"lang": "ro", "base": str(tmp_path / "further")}
    assert prepare(load_fit_config(None, given)).base.id == "some/parent"
    assert (
        "identifies itself as some/parent. If it was trained further, name it with --base-id" in capsys.readouterr().err
    )
    assert prepare(load_fit_config(None, given | {"base_id": "my-org/further"})).base.id == "my-org/further"
    assert "trained further" not in capsys.readouterr().err


def test_dropout_is_that_of_a_fusion_too(settings: dict[str, Any]) -> None:
    members = [fit(load_fit_config(None, settings | {"lang": "ro", "steps": 2, "variant": v}), QUIET) for v in "ab"]
    for dropout, expected in ((0.0, 0.0), (0.3, 0.3), (None, 0.1)):
        given = settings | {"lang": "ro", "method": "fusion", "adapters": [each.path for each in members]}
        config = load_fit_config(None, given | {"dropout": dropout})
        fused = attach(load_model(find_base("lrl-mini")), config, ["x"], [1]).stack
        assert {fusion.dropout.p for fusion in fused.fusions.values()} == {expected}  # type: ignore[union-attr]


def test_a_folder_has_no_revision(settings: dict[str, Any], workspace: Path) -> None:
    given = {key: value for key, value in settings.items() if key != "text"}
    config = load_fit_config(
        None, given | {"lang": "ro", "dataset": str(workspace / "datasets/ro/conceptnet"), "dataset_revision": "v1"}
    )
    with pytest.raises(UsageError, match=r"--dataset-revision: .* is a folder"):
        prepare(config)
