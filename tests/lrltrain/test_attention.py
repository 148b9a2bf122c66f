"""In what numbers are multiplied: attention in halves on a CPU, frozen matrices in bf16, TF32 on a GPU."""

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
from lrltrain.precision import half_precision_slowdown, note_if_slow, tf32
from lrltrain.training.attention import quick_attention

CPU = torch.device("cpu")
SHAPE = (2, 3, 17, 8)  # items, heads, tokens, dimensions


def attended(dtype: torch.dtype, context: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the result of attention and the gradient of its queries."""
    torch.manual_seed(1)
    queries, keys, values = (torch.randn(SHAPE).to(torch.bfloat16).to(dtype) for _ in range(3))
    mask = torch.zeros(2, 1, 1, 17, dtype=dtype)
    mask[1, ..., 9:] = torch.finfo(dtype).min
    queries.requires_grad_(True)
    with context:
        made = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    made.float().square().sum().backward()
    assert queries.grad is not None
    return made.detach(), queries.grad


def test_it_is_that_of_single_precision_rounded() -> None:
    made, gradient = attended(torch.bfloat16, quick_attention(CPU, torch.bfloat16))
    expected, _ = attended(torch.float32, quick_attention(CPU, torch.float32))
    assert made.dtype == gradient.dtype == torch.bfloat16
    assert torch.equal(made, expected.to(torch.bfloat16))
    by_halves, _ = attended(torch.bfloat16, quick_attention(CPU, None))
    assert not torch.equal(made, by_halves), "where torch rounds in between"


def test_without_a_gradient_and_elsewhere_it_is_torch_s_own() -> None:
    values = torch.randn(SHAPE, dtype=torch.bfloat16)
    with torch.no_grad(), quick_attention(CPU, torch.bfloat16):
        alone = functional.scaled_dot_product_attention(values, values, values)
    assert torch.equal(alone, scaled_dot_product_attention(values, values, values))
    for device, dtype in ((torch.device("cuda"), torch.bfloat16), (CPU, torch.float32), (CPU, None)):
        with quick_attention(device, dtype) as entered:
            assert entered is None


def test_frozen_matrices_held_in_bf16_give_what_autocast_gives() -> None:
    found = []
    args = TaskTrainingArgs(1, 2, 1e-3, 0.01, 0.05, "bf16")
    for held in (False, True):
        encoder = stack(find_base("lrl-mini"), None, None, 4.0, [1]).encoder
        model = TaskModel(encoder, TaskHeads([1], 128, 7, 0.0, tokens=False))
        model.eval()
        if held:
            hold_in_precision(model, args)
            dtypes = {value.dtype for name, value in model.named_parameters() if value.requires_grad}
            assert dtypes == {torch.float32}, "what trains is not rounded"
            assert model.encoder.encoder.layer[0].attention.self.query.weight.dtype == torch.bfloat16
        ids = torch.arange(10, 40).view(2, 15)
        with precision(args, CPU):
            logits = model(ids, torch.ones_like(ids))
        logits.float().square().sum().backward()
        found.append([logits.detach(), *(each.grad for each in model.parameters() if each.grad is not None)])
    assert all(map(torch.equal, *found))


def test_tf32_is_on_where_it_trains_alone_and_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    told = torch.get_float32_matmul_precision

    @tf32(on=True)
    def trained() -> str:
        with tf32(on=False):  # what is measured in between
            assert told() == "highest"
        return told()

    assert trained() == told() == "highest", "on a CPU nothing is set"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [trained(), trained()] == ["high", "high"]
    assert told() == "highest"
    with pytest.raises(KeyError), tf32(on=True):
        raise KeyError
    assert told() == "highest"


@pytest.mark.parametrize(("times", "told"), [(9.4, ["multiplies bf16 9 times slower than fp32"]), (0.3, [])])
def test_a_processor_that_is_slower_in_half_precision_is_told_of_once(
    times: float, told: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("lrltrain.precision.half_precision_slowdown", lambda _: times)
    note_if_slow.cache_clear()
    with caplog.at_level(logging.INFO, "lrldata"):
        for wanted in ("bf16", "fp32", "bf16"):
            note_if_slow(wanted)
    assert len(caplog.records) == len(told)
    assert all(each in caplog.text for each in told)
    note_if_slow.cache_clear()


def test_the_time_of_a_product_is_measured() -> None:
    assert half_precision_slowdown(torch.float32) == 1.0
    assert half_precision_slowdown(torch.bfloat16) > 0.0
