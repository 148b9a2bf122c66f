"""The loss computed at labelled positions equals that of transformers over all positions: value and gradients."""

import re
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    EsmConfig,
    EsmForMaskedLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Llama4ForCausalLM,
    Llama4TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MobileBertConfig,
    MobileBertForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from lrltrain.config import FitConfig
from lrltrain.methods import attach
from lrltrain.modules.insert import AdapterStack, FusedStack, insert
from lrltrain.modules.settings import Bottlenecks
from lrltrain.training import loss as loss_module
from lrltrain.training.loss import IGNORED, LabelledHead, linear_cross_entropy

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
    "modernbert": lambda: ModernBertForMaskedLM(ModernBertConfig(**SMALL, pad_token_id=0, reference_compile=False)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SMALL)),
    "gemma2": lambda: Gemma2ForCausalLM(
        Gemma2Config(**SMALL, head_dim=8, num_key_value_heads=2, final_logit_softcapping=0.2)
    ),
    "esm": lambda: EsmForMaskedLM(EsmConfig(**SMALL, pad_token_id=1, mask_token_id=4)),
    "mobilebert": lambda: MobileBertForMaskedLM(
        MobileBertConfig(**SMALL, embedding_size=16, intra_bottleneck_size=16, true_hidden_size=16)
    ),
    "llama4_text": lambda: Llama4ForCausalLM(
        Llama4TextConfig(
            **SMALL, intermediate_size_mlp=48, head_dim=8, num_key_value_heads=2, num_local_experts=2, pad_token_id=0
        )
    ),
}
DECODERS = ("llama", "gemma2", "llama4_text")


def model_of(kind: str) -> Any:
    torch.manual_seed(7)
    return MODELS[kind]().eval()


@pytest.mark.parametrize("kind", ["xlm-roberta", "bert", "distilbert", "modernbert", "llama", "gemma2"])
@pytest.mark.parametrize("method", ["seq_bn", "seq_bn_inv", "lora", "full"])
def test_gradients_equal_those_of_the_full_logits(kind: str, method: str) -> None:
    model = model_of(kind)
    names = insert_adapter(model, method)
    randomize(model)
    assert_equal_gradients(model, kind, names)


@pytest.mark.parametrize("kind", ["esm", "mobilebert", "llama4_text"])
def test_models_with_unusual_heads_are_trained_as_a_whole(kind: str) -> None:
    """ESM adds a bias to its logits, MobileBERT does not call its projection, and Llama 4 misnames its base model."""
    model = model_of(kind)
    names = [name for name in insert_adapter(model, "full") if re.search(r"(query|q_proj|LayerNorm)\.weight", name)]
    assert_equal_gradients(model, kind, names)


def test_gradients_of_a_fusion_are_equal_too() -> None:
    model = model_of("xlm-roberta")
    members = [AdapterStack(model, Bottlenecks(invertible=True), [name]) for name in ("a", "b")]
    fused = FusedStack(model, members)
    fused.initialize(1)
    insert(model, fused)
    model.requires_grad_(False)
    fused.fusions.requires_grad_(True)
    randomize(model)
    names = [name for name, value in model.named_parameters() if value.requires_grad]
    assert_equal_gradients(model, "xlm-roberta", names)


def insert_adapter(model: Any, method: Any) -> list[str]:
    """Insert an adapter, and return the names of the trainable parameters."""
    attach(model, FitConfig(lang="ro", method=method, reduction_factor=4), ["x"], [1])
    return [name for name, value in model.named_parameters() if value.requires_grad]


def randomize(model: Any) -> None:
    """Move the adapter away from its initial weights, where LoRA's second matrix is zero; disable dropout."""
    model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)


def assert_equal_gradients(model: Any, kind: str, names: list[str]) -> None:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 5_000, (3, 17), generator=generator)
    labels = ids.where(torch.rand(ids.shape, generator=generator) < 0.2, IGNORED)
    is_decoder = kind in DECODERS
    if is_decoder:
        labels = ids.clone()
    parameters = dict(model.named_parameters())

    model.zero_grad()
    expected = model(input_ids=ids, labels=labels).loss
    expected.backward()
    gradients = {name: parameters[name].grad.clone() for name in names}

    head = LabelledHead(model)
    shifted = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED) if is_decoder else labels
    positions = (shifted.flatten() != IGNORED).nonzero().squeeze(1)
    targets = shifted.flatten()[positions]
    model.zero_grad()
    with head.at(positions):
        hidden = model(input_ids=ids).logits[0]
    assert hidden.shape[0] == len(positions)
    shares = torch.full((len(targets),), 1 / len(targets))
    loss, values = head.loss(hidden, targets, shares)
    torch.testing.assert_close(values.mean(), expected, atol=1e-5, rtol=1e-5)
    loss.backward()
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    assert names
    for name in names:
        torch.testing.assert_close(parameters[name].grad, gradients[name], atol=1e-6, rtol=1e-3, msg=name)
    token_losses = head.losses(hidden, targets)
    torch.testing.assert_close(token_losses.mean(), expected, atol=1e-5, rtol=1e-5)

    head.release()
    torch.testing.assert_close(model(input_ids=ids, labels=labels).loss, expected)


@pytest.mark.parametrize("kind", ["xlm-roberta", "llama"])
@pytest.mark.parametrize("method", ["seq_bn_inv", "lora", "full"])
def test_the_gpu_path_gives_the_loss_and_gradients_of_single_precision(
    kind: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen model is held in bf16; a trained model is held in fp32, with autocast only around its forward pass."""
    monkeypatch.setattr(loss_module, "WORDS", 10_000)  # all words at once
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 5_000, (3, 17), generator=generator)
    positions, labels = torch.arange(4, 40, 3), torch.randint(5, 5_000, (12,), generator=generator)
    results = []
    for on_gpu in (False, True):
        model = model_of(kind)
        if on_gpu and method != "full":
            model.to(torch.bfloat16)
        names = insert_adapter(model, method)
        torch.manual_seed(2)
        randomize(model)
        head = LabelledHead(model, torch.bfloat16 if on_gpu and method == "full" else None)
        with head.at(positions), torch.autocast("cpu", torch.bfloat16, enabled=on_gpu and method == "full"):
            hidden = model(input_ids=ids).logits[0]
        loss, values = head.loss(hidden, labels, torch.full((12,), 1 / 12))
        loss.backward()
        gradients = [value.grad.float().flatten() for name, value in model.named_parameters() if name in names]
        results.append((values, torch.cat(gradients)))
        assert {value.dtype for name, value in model.named_parameters() if name in names} == {torch.float32}
    (one, gradient), (other, rounded) = results
    torch.testing.assert_close(other, one, atol=5e-2, rtol=1e-2)
    assert torch.nn.functional.cosine_similarity(gradient, rounded, dim=0) > 0.99


@pytest.mark.parametrize("words", [4_096, 10_000])
@pytest.mark.parametrize("with_bias", [True, False])
def test_each_label_is_weighted_by_its_share(with_bias: bool, words: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words are processed in pieces, as on a CPU, or all at once, as on a GPU."""
    monkeypatch.setattr(loss_module, "WORDS", words)
    generator = torch.Generator().manual_seed(3)
    values = [torch.randn(size, generator=generator).requires_grad_() for size in ((70, 16), (9_001, 16), (9_001,))]
    labels, shares = torch.randint(0, 9_001, (70,), generator=generator), torch.rand(70, generator=generator)
    labels[::7] = IGNORED
    results = []
    for full_logits in (True, False):
        hidden, weight, bias = (value.detach().clone().requires_grad_() for value in values)
        used_bias = bias if with_bias else None
        if full_logits:
            logits = torch.nn.functional.linear(hidden, weight, used_bias)
            losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
            loss = (losses * shares).sum()
        else:
            loss, losses = linear_cross_entropy(hidden, weight, used_bias, labels, shares)
        loss.backward()
        results.append([loss, losses, hidden.grad, weight.grad, *([bias.grad] if with_bias else [])])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
