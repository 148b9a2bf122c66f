"""The GPU code path, run on the CPU: frozen weights in bf16, repeated shapes, autocast around the model only."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from lrldata.progress import Progress
from lrltrain.config import load_eval_config, load_fit_config
from lrltrain.evaluation.score_text import score_text
from lrltrain.fitting import fit as pipeline
from lrltrain.fitting.fit import fit
from lrltrain.models import mini_path
from lrltrain.training import batches, graphs

QUIET = Progress(quiet=True)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "llama"
    tokenizer = AutoTokenizer.from_pretrained(mini_path())
    torch.manual_seed(1)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("base", ["llama", "lrl-mini"])
@pytest.mark.parametrize("method", ["seq_bn_inv", "lora", "full"])
def test_a_model_is_trained_and_evaluated_by_the_gpu_path(
    base: str, method: str, llama: Path, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "_is_static", lambda _: True)
    flags: dict[str, Any] = {"lang": "ro", "base": str(llama) if base == "llama" else base, "method": method}
    flags |= {"dataset": str(workspace / "datasets/ro/conceptnet"), "cache": workspace / "cache", "out": tmp_path}
    flags |= {
        "steps": 8,
        "batch_size": 4,
        "max_length": 64,
        "learning_rate": 1e-3 if method == "full" else 1e-2,
        "precision": "bf16",
    }
    caches: list[Any] = []

    def record_cache(model: Any, _inputs: Any, output: Any) -> None:
        caches.extend([output.past_key_values] if model.training and isinstance(model, LlamaForCausalLM) else [])

    handle = torch.nn.modules.module.register_module_forward_hook(record_cache)
    adapter = fit(load_fit_config(None, flags | {"reduction_factor": 4}), QUIET)
    handle.remove()
    assert caches == [None] * (8 if base == "llama" else 0), "keys and values are not cached during training"
    trained = adapter.manifest["trained"]
    assert trained["validation_loss"] < trained["validation_loss_before"]
    weights = load_file(adapter.path / f"{'model' if method == 'full' else 'adapter'}.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float32}
    options = {"adapter": [adapter.path], "base": flags["base"], "data": flags["dataset"], "out": tmp_path, "limit": 8}
    (score,) = score_text(load_eval_config(None, options | {"precision": "bf16", "resamples": 100}), QUIET)
    assert score.before is not None
    assert score.after.value < score.before.value


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # from torch itself
def test_only_a_few_of_the_shapes_are_compiled(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Graphs run eagerly here, because generating machine code takes long; compilation is triggered as usual."""
    compile_layer = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda layer: compile_layer(layer, backend="eager"))
    monkeypatch.setattr(batches, "TOKENS", 4)  # so low that there are many shapes
    torch._dynamo.reset()  # noqa: SLF001 -- and its counters
    flags: dict[str, Any] = {"lang": "ro", "base": "lrl-mini", "method": "seq_bn_inv", "precision": "fp32"}
    flags |= {"dataset": str(workspace / "datasets/ro/conceptnet"), "cache": workspace / "cache", "dropout": 0.0}
    flags |= {"steps": 24, "batch_size": 8, "batching": "line", "max_length": 64, "learning_rate": 1e-2}
    losses = []
    for compiled in (True, False):
        adapter = fit(
            load_fit_config(None, flags | {"out": tmp_path / str(compiled), "torch_compile": compiled}), QUIET
        )
        losses.append(adapter.manifest["trained"]["validation_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    counters = torch._dynamo.utils.counters  # noqa: SLF001
    assert not counters["graph_break"]
    assert 1 <= counters["stats"]["unique_graphs"] <= 6


def test_the_gpu_check_runs_its_gpu_path_on_the_cpu(tmp_path: Path) -> None:
    tool = Path(__file__).resolve().parents[2] / "tools" / "gpu_check.py"
    command = [sys.executable, str(tool), "--minutes", "0.1", "--out", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "The time limit was reached" in result.stdout, result.stderr
    assert result.returncode == 1, "some checks were skipped"
    checks = json.loads((tmp_path / "gpu_check.json").read_text("utf-8"))["equality"]
    assert checks
    assert all(check["equal"] for check in checks)


def test_the_loops_of_the_gpu_check_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "tools")
    gpu_speed, gpu_loops = importlib.import_module("gpu_speed"), importlib.import_module("gpu_loops")
    device, make = torch.device("cpu"), gpu_speed.make_encoder(small=True)
    plain = gpu_loops.plain_step(make, device)
    whole = gpu_loops.loop_step(make, device, 2, small=True)
    assert (plain["k"], whole["k"]) == (1, 2)
    assert whole["ms_a_step"] > 0
    rates = gpu_loops.pseudo_perplexity(make, device, small=True)["pseudo_perplexity"]
    assert set(rates) == {"one_at_a_time", "fp32", "bf16"}
    assert min(rates.values()) > 0


def test_state_is_copied_before_a_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    state = [torch.ones(100), torch.zeros(300)]
    for free in (1_000, 10_000):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 80_000))
        saved = graphs.set_aside(state, torch.device("cuda"))
        for (tensor, copied), before in zip(saved, state, strict=True):
            assert tensor is before
            assert copied.data_ptr() != before.data_ptr()
            assert torch.equal(copied, before)


@pytest.mark.parametrize(("free", "place"), [(1_000, "host"), (10_000, "device")])
def test_state_is_copied_to_the_host_if_the_device_lacks_room(
    free: int, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 80_000))
    tensor: Any = SimpleNamespace(nbytes=1_600, to=lambda *_, **__: "host", clone=lambda: "device")
    ((_, copied),) = graphs.set_aside([tensor], torch.device("cuda"))
    assert copied == place
