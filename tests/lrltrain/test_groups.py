"""Adapters trained as a group: they end as if trained alone, resume together, and fail individually."""

import json
import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torture_fit import differing
from transformers import AutoConfig, AutoModel, Trainer
from warm import FIXED, Warm

from lrldata.errors import DivergedError, TrainingError, UsageError
from lrldata.progress import Progress
from lrltrain.artifact import open_adapter
from lrltrain.config import FitConfig
from lrltrain.costs import Shape
from lrltrain.fitting import groups
from lrltrain.fitting.fit import fit, fit_group
from lrltrain.fitting.plan import Adapter
from lrltrain.training.loop import Loop
from lrltrain.training.weights import SCALE, Rates, Weights, _is_plain

QUIET = Progress(quiet=True)
LANGUAGES = ("ro", "mt", "ug")
TINY = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("texts")
    files = {}
    for number, language in enumerate(LANGUAGES):
        rng = random.Random(number)
        words = ["".join(rng.choices("abcdeilmnorstu", k=rng.randint(2, 8))) for _ in range(40)]
        lines = [" ".join(rng.choices(words, k=rng.randint(3, 20))) for _ in range(150 + 60 * number)]
        files[language] = folder / f"{language}.txt"
        files[language].write_text("\n".join(lines), "utf-8")
    return files


def config(texts: dict[str, Path], out: Path, language: str, **options: Any) -> FitConfig:
    small = {"base": "lrl-mini", "batch_size": 2, "max_length": 32, "learning_rate": 5e-3, "reduction_factor": 4}
    paths = {"lang": language, "text": [texts[language]], "out": out, "cache": out / "cache"}
    return FitConfig(**(small | paths | {"steps": 100, "eval_every": 25, "dropout": 0.0} | options))


@pytest.mark.parametrize("method", ["seq_bn_inv", "lora"])
def test_an_adapter_of_a_group_ends_as_if_trained_alone(method: str, texts: dict[str, Path], tmp_path: Path) -> None:
    options = {"method": method, "batching": "line" if method == "lora" else "packed"}
    adapters = fit_group([config(texts, tmp_path / "group", code, **options) for code in LANGUAGES], QUIET)
    for language, grouped in zip(LANGUAGES, adapters, strict=True):
        alone = fit(config(texts, tmp_path / "alone", language, **options), QUIET)
        assert grouped.manifest["group"] == [f"{code}_text_{method}" for code in sorted(LANGUAGES)]
        assert "group" not in alone.manifest
        assert grouped.manifest["recipe"] == alone.manifest["recipe"]
        logs = [json.loads((adapter.path / "log.json").read_text("utf-8")) for adapter in (grouped, alone)]
        assert len(logs[0]) == len(logs[1])
        for one, other in zip(*logs, strict=True):
            assert one.keys() == other.keys()
            losses = ({key: entry[key] for key in entry if key.endswith("loss")} for entry in (one, other))
            assert next(losses) == pytest.approx(next(losses), abs=1e-5)
        weights, expected = (load_file(adapter.path / "adapter.safetensors") for adapter in (grouped, alone))
        assert weights.keys() == expected.keys()
        for name, value in weights.items():
            torch.testing.assert_close(value, expected[name], atol=1e-4, rtol=0)
        assert grouped.manifest["trained"]["validation_loss"] < grouped.manifest["trained"]["validation_loss_before"]


def test_only_the_adapter_whose_loss_is_not_a_number_stops(
    texts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = Loop._evaluate  # noqa: SLF001 -- weights are spoiled right after it

    def evaluate_and_spoil(self: Loop, number: int) -> None:
        evaluate(self, number)
        if number == 2:
            self.weights.put(1, [value * torch.nan for value in self.weights.values(1)])  # ro is second when sorted

    monkeypatch.setattr(Loop, "_evaluate", evaluate_and_spoil)
    configs = [config(texts, tmp_path, language, steps=6, eval_every=2) for language in LANGUAGES]
    with pytest.raises(
        TrainingError, match="ro_text_seq_bn_inv: the loss is nan at step 3, in the batch of blocks"
    ) as raised:
        fit_group(configs, QUIET)
    assert "mt_text" not in raised.value.message
    monkeypatch.undo()
    undisturbed = [
        fit(config(texts, tmp_path / "alone", language, steps=6, eval_every=2), QUIET) for language in ("mt", "ug")
    ]
    for adapter in undisturbed:
        folder = tmp_path / adapter.path.relative_to(tmp_path / "alone")
        weights, expected = (load_file(path / "adapter.safetensors") for path in (folder, adapter.path))
        assert all(torch.allclose(weights[name], expected[name], atol=1e-4) for name in expected)
    assert not (tmp_path / "adapters" / "ro" / "lrl-mini" / "text-seq_bn_inv" / "manifest.json").exists()


def test_a_loss_that_is_checked_later_is_reported_with_the_step_at_which_it_failed(
    texts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where each check has to wait for the device."""
    check = Loop._check  # noqa: SLF001 -- runs at every step on a CPU

    def check_rarely(self: Loop, odd: torch.Tensor, losses: torch.Tensor) -> None:
        checks.append(odd.tolist())
        if len(checks) == 5:
            check(self, odd, losses)

    evaluate = Loop._evaluate  # noqa: SLF001

    def evaluate_and_spoil(self: Loop, number: int) -> None:
        evaluate(self, number)
        if number == 2:
            self.weights.put(0, [value * torch.nan for value in self.weights.values(0)])

    monkeypatch.setattr(Loop, "_evaluate", evaluate_and_spoil)
    messages: list[str] = []
    for check_function in (check, check_rarely):
        checks: list[list[int]] = []
        monkeypatch.setattr(Loop, "_check", check_function)
        with pytest.raises(TrainingError) as raised:
            fit(config(texts, tmp_path / check_function.__name__, "ro", steps=6, eval_every=2), QUIET)
        messages.append(raised.value.message)
    assert messages[0] == messages[1]
    assert "the loss is nan at step 3, in the batch of blocks" in messages[0]


def test_an_adapter_whose_validation_loss_is_not_a_number_does_not_stop_the_others(
    texts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = Loop.validation_losses
    monkeypatch.setattr(Loop, "validation_losses", lambda self: [*losses(self)[:-1], float("nan")])
    configs = [config(texts, tmp_path, language, steps=4, eval_every=2) for language in LANGUAGES[:2]]
    with pytest.raises(TrainingError, match="the validation loss was never finite") as raised:
        fit_group(configs, QUIET)
    assert "The others are finished" in raised.value.hint
    assert len(list(tmp_path.glob("adapters/*/*/*/manifest.json"))) == 1
    with pytest.raises(TrainingError, match="was never finite") as raised:
        fit(config(texts, tmp_path / "alone", "mt", steps=4, eval_every=2), QUIET)
    assert "others" not in raised.value.hint


def spoil(monkeypatch: pytest.MonkeyPatch, name: str, stop_at: int | None = None) -> None:
    """Make one adapter's weights NaN after step 2, and interrupt the run at a later evaluation."""
    evaluate = Loop._evaluate  # noqa: SLF001

    def evaluate_and_spoil(self: Loop, number: int) -> None:
        evaluate(self, number)
        for place, member in enumerate(self.members):
            if member.name.startswith(name) and number == 2:
                self.weights.put(place, [value * torch.nan for value in self.weights.values(place)])
        if number == stop_at:
            raise KeyboardInterrupt

    monkeypatch.setattr(Loop, "_evaluate", evaluate_and_spoil)


def test_after_an_interruption_a_failed_adapter_does_not_stop_the_others(
    texts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configs = [config(texts, tmp_path, language, steps=8, eval_every=2) for language in ("mt", "ug")]
    with monkeypatch.context() as patch:
        spoil(patch, "mt", stop_at=8)  # the first by name, so its group comes first
        with pytest.raises(KeyboardInterrupt):
            groups.fit_all(configs, QUIET)
    spoil(monkeypatch, "mt")
    with pytest.raises(DivergedError, match="mt_text_seq_bn_inv: the loss is nan at step") as raised:
        groups.fit_all(configs, Progress())
    assert "The others are finished. Fit only this again with a lower" in raised.value.hint
    assert [path.parent.parent.parent.name for path in tmp_path.glob("adapters/*/*/*/manifest.json")] == ["ug"]
    assert "validation loss nan" not in capsys.readouterr().err


def test_a_method_that_fails_does_not_stop_the_next_one(
    texts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, "ro_text_seq_bn_inv")
    configs = [config(texts, tmp_path, "ro", method=method, steps=4, eval_every=2) for method in ("seq_bn_inv", "lora")]
    with pytest.raises(DivergedError, match="seq_bn_inv: the loss is nan at step 3"):
        groups.fit_all(configs, QUIET)
    assert [path.parent.name for path in tmp_path.glob("adapters/*/*/*/manifest.json")] == ["text-lora"]


def test_a_group_consists_of_similar_fits(texts: dict[str, Path], tmp_path: Path) -> None:
    alike = [config(texts, tmp_path, language) for language in LANGUAGES]
    other = [
        config(texts, tmp_path, language, method=method) for language in ("ro", "mt") for method in ("lora", "full")
    ]
    assert list(groups.groups([*alike, *other])) == [[0, 1, 2], [3, 5], [4], [6]]
    assert list(groups.groups([fit_config.model_copy(update={"group": 2}) for fit_config in alike])) == [[0, 1], [2]]
    with pytest.raises(UsageError, match="two of these adapters would be written to this folder"):
        fit_group([alike[0], alike[0]], QUIET)


@pytest.mark.parametrize(
    "cause", [torch.OutOfMemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError()]
)
def test_a_group_that_does_not_fit_into_memory_is_halved(
    cause: Exception, texts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[list[str]] = []

    def fit_one_only(configs: list[FitConfig], _progress: Progress) -> list[Adapter]:
        attempts.append([fit_config.lang for fit_config in configs])
        if len(configs) > 1:
            raise TrainingError("out of memory", "hint") from cause
        return [Adapter(Path(configs[0].lang), "fitted", {}, 0.0, tmp_path)]

    monkeypatch.setattr(groups, "fit_group", fit_one_only)
    configs = [config(texts, tmp_path, language) for language in LANGUAGES]
    adapters = groups.fit_all(configs, QUIET)
    assert [str(adapter.path) for adapter in adapters] == list(LANGUAGES)
    assert attempts == [["ro", "mt", "ug"], ["ro", "mt"], ["ro"], ["mt"], ["ug"]]
    with pytest.raises(TrainingError, match="out of memory"):
        groups.fit_all([fit_config.model_copy(update={"group": 3}) for fit_config in configs], QUIET)


def test_groups_similar_to_one_that_did_not_fit_are_not_tried(
    texts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[tuple[str, int]] = []

    def fit_two_at_most(configs: list[FitConfig], _progress: Progress) -> list[Adapter]:
        attempts.append((configs[0].method, len(configs)))
        if len(configs) > 2 and configs[0].method == "seq_bn":
            raise TrainingError("out of memory", "hint") from torch.OutOfMemoryError()
        return [Adapter(Path(fit_config.variant or ""), "fitted", {}, 0.0, tmp_path) for fit_config in configs]

    monkeypatch.setattr(groups, "fit_group", fit_two_at_most)
    fit_configs = [
        config(texts, tmp_path, "ro", method=method, variant=str(number))
        for method, count in (("seq_bn", 14), ("lora", 5))
        for number in range(count)
    ]
    adapters = groups.fit_all(fit_configs, QUIET)
    assert [str(adapter.path) for adapter in adapters] == [fit_config.variant for fit_config in fit_configs]
    first = [("seq_bn", 8), ("seq_bn", 4)]
    assert attempts == [*first, *[("seq_bn", 2)] * 7, ("lora", 5)], "only two sizes that do not fit are tried"


@pytest.mark.parametrize(
    ("free", "bf16", "size"),
    [(800e9, True, 32), (80e9, True, 12), (34e9, True, 3), (15e9, True, 1), (80e9, False, 4), (34e9, False, 1)],
)
def test_a_group_on_a_gpu_starts_with_the_size_that_memory_may_hold(
    free: float, bf16: bool, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bf16)  # otherwise, auto is fp32
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free, 80e9))
    monkeypatch.setattr(groups, "shape_of", lambda _: Shape(7_000_000_000, 2_048, 16, 32_000, decoder=True))
    several = [FitConfig(lang="ro", base="x/y", variant=str(number), out=tmp_path) for number in range(40)]
    assert max(map(len, groups.groups(several))) == size
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    properties = SimpleNamespace(total_memory=80e9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    expected = 12 if bf16 else 4
    assert max(map(len, groups.groups(several))) == expected, "the same in all processes, however much memory is free"


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [("gpt2", {"n_embd": 8, "n_layer": 1, "n_head": 2}), ("bloom", {"hidden_size": 8, "n_layer": 1, "n_head": 2}),
     ("xlm", {"emb_dim": 8, "n_layers": 1, "n_heads": 2}), ("bert", TINY), ("llama", TINY), ("qwen3", TINY)],
)  # fmt: skip
def test_weight_decay_applies_to_the_same_parameters_as_in_the_trainer_of_transformers(
    kind: str, sizes: dict[str, Any]
) -> None:
    model = AutoModel.from_config(AutoConfig.for_model(kind, vocab_size=20, **sizes))
    theirs = Trainer.get_decay_parameter_names(None, model)  # type: ignore[arg-type]
    assert {name for name, _ in model.named_parameters() if not _is_plain(name)} == set(theirs)


def test_gradients_are_clipped_and_moments_kept_separately_for_each_adapter() -> None:
    small, large = torch.randn(1, 3, 4), torch.randn(1, 3, 4) * 100
    results = []
    for gradients in (small, large, torch.cat([small, large])):
        parameter = torch.nn.Parameter(torch.ones(len(gradients), 3, 4))
        weights = Weights([("x.weight", parameter)], len(gradients), stacked=True)
        weights.optimizer(Rates(0.1, 0.0, 0.01))
        for _ in range(3):
            weights.set_rate(0.1)
            assert parameter.grad is not None
            parameter.grad.copy_(gradients)
            norm = weights.update()
            torch.testing.assert_close(norm, gradients.flatten(1).norm(dim=1))
        results.append(parameter.detach().clone())
    torch.testing.assert_close(results[2], torch.cat(results[:2]))


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_step_that_overflows_in_fp16_is_skipped_for_its_adapter_only(value: float) -> None:
    parameter = torch.nn.Parameter(torch.ones(2, 3, 4))
    weights = Weights([("x.weight", parameter)], 2, stacked=True, half=True)
    weights.optimizer(Rates(0.1, 0.0, 0.0))
    weights.set_rate(0.1)
    assert parameter.grad is not None
    parameter.grad.copy_(torch.stack([torch.full((3, 4), value), torch.ones(3, 4)]))
    before = weights.scale.tolist()
    weights.update()
    assert torch.equal(parameter[0], torch.ones(3, 4))
    assert (parameter[1] < 1).all()
    assert weights.scale.tolist() == [before[0] / 2, before[1]]

    parameter.grad.copy_(torch.ones(2, 3, 4))
    weights.update()  # builds up momentum, which moves the weights even without a gradient
    held, state = parameter.detach().clone(), [tensor.clone() for tensor in weights.tensors(0).values()]
    parameter.grad.copy_(torch.stack([torch.full((3, 4), value), torch.ones(3, 4)]))
    weights.update()
    assert torch.equal(parameter[0], held[0]), "neither momentum nor decay is applied"
    assert (parameter[1] < held[1]).all()
    names = list(weights.tensors(0))
    changed = {name for name, old in zip(names, state, strict=True) if not torch.equal(weights.tensors(0)[name], old)}
    assert changed == {"scale", "fitted"}


def test_one_adapter_skips_a_step_as_several_do_and_resumes_from_a_checkpoint() -> None:
    def train(count: int, stop: int = 0) -> tuple[torch.Tensor, list[float]]:
        parameter, state = torch.nn.Parameter(torch.ones(count, 3, 4)), dict[str, torch.Tensor]()
        for first, last in ((0, stop), (stop, 7)):
            weights = Weights([("x.weight", parameter)], count, stacked=True, half=True)
            weights.optimizer(Rates(0.1, 0.0, 0.01))
            if first:
                parameter.data.zero_()
                for name, value in state.items():
                    weights.tensors(0)[name].copy_(value)
                weights.set_step(first)
            for number in range(first, last):
                weights.set_rate(0.1)
                assert parameter.grad is not None
                parameter.grad.fill_(torch.inf if number in (0, 1, 4) else float(number))
                weights.update()
            state = {name: value.clone() for name, value in weights.tensors(0).items()}
        return parameter.detach()[0], [float(value) for value in weights.steps()]

    alone, steps = train(1)
    for other, other_steps in (train(2), train(1, stop=3)):
        torch.testing.assert_close(other, alone, atol=0, rtol=0)
        assert other_steps == steps == [7.0]


def test_the_loss_scale_in_fp16_grows_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrltrain.training.weights.GROWN_AFTER", 3)
    parameter = torch.nn.Parameter(torch.ones(1, 3, 4))
    weights = Weights([("x.weight", parameter)], 1, stacked=True, half=True)
    weights.optimizer(Rates(0.1, 0.0, 0.0))
    scales = []
    for value in (torch.inf, torch.inf, *[1.0] * 9):
        assert parameter.grad is not None
        parameter.grad.fill_(value)
        weights.update()
        scales.append(weights.scale.item() / SCALE)
    assert scales == [0.5, 0.25, 0.25, 0.25, 0.5, 0.5, 0.5, 1, 1, 1, 1], "it does not grow beyond its initial value"


def test_three_languages_in_one_command_end_in_the_same_bytes_after_kills(
    texts: dict[str, Path], lrltrain: Callable[..., subprocess.CompletedProcess[str]], warm: Warm, tmp_path: Path
) -> None:
    """Each kill follows a checkpoint of one language; `python tools/torture_fit.py` kills at other moments."""
    command = [
        *("fit", "--lang", "ro,mt,ug", "--text", texts["ro"], "--base", "lrl-mini", "--batch-size", 2, "--steps", 24),
        *("--max-length", 32, "--eval-every", 3, "--learning-rate", 5e-3, "--cache", tmp_path / "cache", "--json"),
    ]
    result = lrltrain(*command, "--out", tmp_path / "whole")
    assert result.returncode == 0, result.stderr
    folders = [Path(adapter["path"]) for adapter in json.loads(result.stdout)]
    assert [open_adapter(folder)["language"]["code"] for folder in folders] == list(LANGUAGES)
    arguments, out = [*map(str, command), "--out", str(tmp_path / "killed")], tmp_path / "killed"
    for language, step in zip(LANGUAGES, (3, 9, 15), strict=True):
        checkpoint = out / "adapters" / language / "lrl-mini" / ".text-seq_bn_inv.run" / f"checkpoint-{step}"
        with warm.killed(arguments, tmp_path, os.environ | FIXED) as is_running:
            while is_running() and not checkpoint.exists():
                time.sleep(0.002)
        assert not list(out.glob("adapters/*/*/*/manifest.json")), "no adapter is finished"
    result = lrltrain(*arguments)
    assert result.returncode == 0, result.stderr
    assert not differing(tmp_path / "whole", out)


def test_a_group_of_which_all_fail_names_all_and_finishes_none(
    texts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, "")
    with pytest.raises(DivergedError) as raised:
        groups.fit_all([config(texts, tmp_path, language, steps=6, eval_every=2) for language in ("mt", "ug")], QUIET)
    assert [message.partition(":")[0] for message in raised.value.messages] == [
        "mt_text_seq_bn_inv",
        "ug_text_seq_bn_inv",
    ]
    assert raised.value.hint.startswith("Fit these again")
    assert not list(tmp_path.glob("adapters/*/*/*/manifest.json"))
