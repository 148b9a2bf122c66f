"""The loss at labelled positions equals the library's own over all positions: value and gradients."""

from typing import Any

import pytest
import torch
from adapters.composition import Fuse
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    LlamaConfig,
    LlamaForCausalLM,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from lrltrain.config import FitConfig
from lrltrain.loss import IGNORED, LabelledHead, linear_cross_entropy, torch_linear_cross_entropy
from lrltrain.methods import adapter_config, attach, initialise
from lrltrain.models import quiet

SMALL: dict[str, Any] = {
    "vocab_size": 5_003,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
MODELS = {
    "xlm-roberta": lambda: XLMRobertaForMaskedLM(XLMRobertaConfig(**SMALL, max_position_embeddings=40)),
    "bert": lambda: BertForMaskedLM(BertConfig(**SMALL)),
    "distilbert": lambda: DistilBertForMaskedLM(
        DistilBertConfig(vocab_size=5_003, dim=32, n_layers=2, n_heads=4, hidden_dim=64)
    ),
    "albert": lambda: AlbertForMaskedLM(AlbertConfig(**SMALL, embedding_size=16)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SMALL)),
}


def model_of(kind: str) -> Any:
    torch.manual_seed(7)
    return MODELS[kind]().eval()


@pytest.mark.parametrize("kind", ["xlm-roberta", "bert", "distilbert", "llama"])
@pytest.mark.parametrize("method", ["seq_bn", "seq_bn_inv", "lora", "full"])
def test_gradients_equal_those_of_the_full_logits(kind: str, method: str) -> None:
    model = model_of(kind)
    with quiet():
        names = attach(model, "x", FitConfig(lang="ro", method=method, reduction_factor=4))
    randomise(model)
    equal_gradients(model, kind, names)


def test_gradients_of_fusion_are_equal_too() -> None:
    model = model_of("xlm-roberta")
    with quiet():
        initialise(model)
        for name in ("a", "b"):
            model.add_adapter(name, config=adapter_config(FitConfig(lang="ro", method="seq_bn_inv")))
        model.add_adapter_fusion(["a", "b"])
        model.train_adapter_fusion(Fuse("a", "b"))
        model.set_active_adapters(Fuse("a", "b"))
    randomise(model)
    names = [name for name, value in model.named_parameters() if value.requires_grad]
    equal_gradients(model, "xlm-roberta", names)


def randomise(model: Any) -> None:
    """Move the adapter away from its beginning, where LoRA's second matrix is zero; without dropout."""
    model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)


def equal_gradients(model: Any, kind: str, names: list[str]) -> None:
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 5_000, (3, 17), generator=draw)
    labels = ids.where(torch.rand(ids.shape, generator=draw) < 0.2, IGNORED)
    if kind == "llama":
        labels = ids.clone()
    parameters = dict(model.named_parameters())

    model.zero_grad()
    expected = model(input_ids=ids, labels=labels).loss
    expected.backward()
    gradients = {name: parameters[name].grad.clone() for name in names}

    head = LabelledHead(model)
    shifted = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED) if kind == "llama" else labels
    positions = (shifted.flatten() != IGNORED).nonzero().squeeze(1)
    wanted = shifted.flatten()[positions]
    model.zero_grad()
    with head.at(positions):
        hidden = model(input_ids=ids).logits[0]
    assert hidden.shape[0] == len(positions)
    loss = head.loss(hidden, wanted) / len(positions)
    loss.backward()
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    assert names
    for name in names:
        torch.testing.assert_close(parameters[name].grad, gradients[name], atol=1e-6, rtol=1e-3, msg=name)
    each = head.losses(hidden, wanted)
    torch.testing.assert_close(each.mean(), expected, atol=1e-5, rtol=1e-5)

    head.release()
    torch.testing.assert_close(model(input_ids=ids, labels=labels).loss, expected)


@pytest.mark.parametrize("kind", ["xlm-roberta", "llama"])
@pytest.mark.parametrize("method", ["seq_bn_inv", "lora"])
def test_the_way_of_a_gpu_gives_the_loss_and_gradients_of_the_cpu(kind: str, method: str) -> None:
    """On a GPU autocast is around the model's forward pass alone, and its output is turned into single precision."""
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 5_000, (3, 17), generator=draw)
    positions, labels = torch.arange(4, 40, 3), torch.randint(5, 5_000, (12,), generator=draw)
    results = []
    for on_gpu in (False, True):
        model = model_of(kind).to(torch.bfloat16 if kind == "llama" else torch.float32)
        with quiet():
            names = attach(model, "x", FitConfig(lang="ro", method=method, reduction_factor=4))
        for name, value in model.named_parameters():
            if name in names:
                value.data = value.data.float()
        torch.manual_seed(2)
        randomise(model)
        head = LabelledHead(model, torch.bfloat16)
        with head.at(positions), torch.autocast("cpu", torch.bfloat16):
            hidden = model(input_ids=ids).logits[0]
            loss = None if on_gpu else head.loss(hidden, labels)
            each = None if on_gpu else head.losses(hidden, labels)
        if on_gpu:
            loss, each = head.loss(hidden.float(), labels), head.losses(hidden.float(), labels)
        loss.backward()
        gradients = {name: value.grad for name, value in model.named_parameters() if name in names}
        results.append((loss, each, gradients))
    torch.testing.assert_close(results[1], results[0], atol=1e-3, rtol=1e-3)
    assert any(gradient.abs().sum() > 0 for gradient in results[1][2].values())


@pytest.mark.parametrize("with_bias", [True, False])
def test_the_loss_of_the_gpu_equals_that_of_the_cpu(with_bias: bool) -> None:
    draw = torch.Generator().manual_seed(3)
    values = [torch.randn(size, generator=draw).requires_grad_() for size in ((70, 16), (9_001, 16), (9_001,))]
    labels = torch.randint(0, 9_001, (70,), generator=draw)
    labels[::7] = IGNORED
    results = []
    for function in (linear_cross_entropy, torch_linear_cross_entropy):
        hidden, weight, bias = (value.detach().clone().requires_grad_() for value in values)
        loss = function(hidden, weight, bias if with_bias else None, labels)
        loss.backward()
        results.append([loss, hidden.grad, weight.grad, *([bias.grad] if with_bias else [])])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
