"""Numeric precision: half-precision attention on a CPU, frozen matrices in bf16, TF32 on a GPU."""

import logging
from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.nn.functional import scaled_dot_product_attention

from lrltrain.evaluation.heads import TaskHeads, TaskModel
from lrltrain.evaluation.stack import stack
from lrltrain.evaluation.training import TaskTrainingArgs, hold_in_precision, precision
from lrltrain.models import find_base
from lrltrain.precision import half_precision_slowdown, note_if_fp32_is_slow, note_if_slow, tf32
from lrltrain.training.attention import quick_attention

CPU = torch.device("cpu")
SHAPE = (2, 3, 17, 8)  # items, heads, tokens, dimensions


def attend(dtype: torch.dtype, context: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the output of attention and the gradient of its queries."""
    torch.manual_seed(1)
    queries, keys, values = (torch.randn(SHAPE).to(torch.bfloat16).to(dtype) for _ in range(3))
    mask = torch.zeros(2, 1, 1, 17, dtype=dtype)
    mask[1, ..., 9:] = torch.finfo(dtype).min
    queries.requires_grad_(True)
    with context:
        output = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    output.float().square().sum().backward()
    assert queries.grad is not None
    return output.detach(), queries.grad


def test_attention_equals_rounded_single_precision() -> None:
    output, gradient = attend(torch.bfloat16, quick_attention(CPU, torch.bfloat16))
    expected, _ = attend(torch.float32, quick_attention(CPU, torch.float32))
    assert output.dtype == gradient.dtype == torch.bfloat16
    assert torch.equal(output, expected.to(torch.bfloat16))
    torch_output, _ = attend(torch.bfloat16, quick_attention(CPU, None))
    assert not torch.equal(output, torch_output), "torch rounds intermediate results"


def test_torch_attention_is_used_without_gradients_and_on_other_devices_or_dtypes() -> None:
    values = torch.randn(SHAPE, dtype=torch.bfloat16)
    with torch.no_grad(), quick_attention(CPU, torch.bfloat16):
        output = functional.scaled_dot_product_attention(values, values, values)
    assert torch.equal(output, scaled_dot_product_attention(values, values, values))
    for device, dtype in ((torch.device("cuda"), torch.bfloat16), (CPU, torch.float32), (CPU, None)):
        with quick_attention(device, dtype) as entered:
            assert entered is None


def test_frozen_matrices_held_in_bf16_give_the_same_results_as_autocast() -> None:
    results = []
    args = TaskTrainingArgs(1, 2, 1e-3, 0.01, 0.05, "bf16")
    for held in (False, True):
        encoder = stack(find_base("lrl-mini"), None, None, 4.0, [1]).encoder
        model = TaskModel(encoder, TaskHeads([1], 128, 7, 0.0, tokens=False))
        model.eval()
        if held:
            hold_in_precision(model, args)
            dtypes = {value.dtype for name, value in model.named_parameters() if value.requires_grad}
            assert dtypes == {torch.float32}, "trained weights are not rounded"
            assert model.encoder.encoder.layer[0].attention.self.query.weight.dtype == torch.bfloat16
        ids = torch.arange(10, 40).view(2, 15)
        with precision(args, CPU):
            logits = model(ids, torch.ones_like(ids))
        logits.float().square().sum().backward()
        results.append([logits.detach(), *(weight.grad for weight in model.parameters() if weight.grad is not None)])
    assert len(results[0]) == len(results[1]) > 1
    assert all(map(torch.equal, *results))


def test_tf32_is_on_only_during_training_and_is_restored_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    current = torch.get_float32_matmul_precision

    @tf32(on=True)
    def train() -> str:
        with tf32(on=False):  # an evaluation during training
            assert current() == "highest"
        return current()

    assert train() == current() == "highest", "nothing is set on a CPU"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [train(), train()] == ["high", "high"]
    assert current() == "highest"
    with pytest.raises(KeyError), tf32(on=True):
        raise KeyError
    assert current() == "highest"


@pytest.mark.parametrize(
    ("slowdown", "messages"), [(1.9, ["products in bf16 take 1.9 times as long as in fp32"]), (0.5, [])]
)
def test_slow_half_precision_is_reported_once(
    slowdown: float, messages: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("lrltrain.precision.half_precision_slowdown", lambda _: slowdown)
    note_if_slow.cache_clear()
    with caplog.at_level(logging.INFO, "lrldata"):
        for dtype in ("bf16", "fp32", "bf16"):
            note_if_slow(dtype)
    assert len(caplog.records) == len(messages)
    assert all(message in caplog.text for message in messages)
    note_if_slow.cache_clear()


@pytest.mark.parametrize(
    ("gpu", "supports_bf16", "requested", "parameters", "expected"),
    [
        (True, False, "auto", 1, "--precision fp16"),  # e.g. a T4
        (True, False, "fp32", 1, ""),
        (True, True, "auto", 10**9, ""),
        (False, True, "auto", 10**8, "bf16 are 2.5 times as fast as in fp32 on this processor"),
        (False, True, "fp32", 10**8, ""),
        (False, True, "auto", 10**6, ""),
        (False, False, "auto", 10**8, ""),
    ],
)
def test_a_device_that_is_slow_in_fp32_is_reported(
    gpu: bool,
    supports_bf16: bool,
    requested: str,
    parameters: int,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: supports_bf16)
    monkeypatch.setattr("lrltrain.precision.half_precision_slowdown", lambda _: 0.4 if supports_bf16 else 1.9)
    note_if_fp32_is_slow.cache_clear()
    with caplog.at_level(logging.INFO, "lrldata"):
        note_if_fp32_is_slow(requested, parameters)
        note_if_fp32_is_slow(requested, parameters)
    assert len(caplog.records) == bool(expected)
    assert expected in caplog.text
    note_if_fp32_is_slow.cache_clear()


def test_the_slowdown_in_half_precision_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert half_precision_slowdown(torch.bfloat16) > 0.0
    seconds = {torch.bfloat16: 3.0, torch.float32: 2.0}
    monkeypatch.setattr("lrltrain.precision._seconds", seconds.__getitem__)
    assert half_precision_slowdown(torch.bfloat16) == 1.5
