"""The library `adapters` is the reference: logits, gradients and files are equal for all methods and model families."""

import copy
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from models import DECODERS, SMALL
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

from lrltrain.modules.families import FAMILIES, family_of
from lrltrain.modules.files import (
    _fusion_parameters,
    _parameters,
    load_adapter_files,
    load_fusion,
    save_adapter,
    save_fusion,
)
from lrltrain.modules.insert import AdapterStack, FusedStack, insert
from lrltrain.modules.load import load_adapter

adapters = pytest.importorskip("adapters", reason="the library adapters is not installed: `make test-adapters`")

from adapters.model_mixin import InvertibleAdaptersMixin  # noqa: E402

OTHER: dict[str, dict[str, Any]] = {
    "electra": {"embedding_size": 24},
    "modernbert": {"reference_compile": False, "pad_token_id": 0, "local_attention": 8, "attention_bias": True},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
}
UNKNOWN = {"camembert"}  # not supported by `adapters`; it has RoBERTa's architecture
IDS = torch.randint(5, 64, (2, 9), generator=torch.Generator().manual_seed(1))
METHODS: dict[str, Any] = {
    "seq_bn": adapters.SeqBnConfig(reduction_factor=4),
    "seq_bn_inv": adapters.SeqBnInvConfig(reduction_factor=4),
    "lora": adapters.LoRAConfig(r=4, alpha=12),
    "gelu": adapters.SeqBnConfig(reduction_factor=2, non_linearity="gelu", scaling=4.0, leave_out=[0]),
}


def model_of(kind: str) -> Any:
    torch.manual_seed(7)
    sizes = OTHER[kind] | {"vocab_size": 64} if kind == "distilbert" else SMALL | OTHER.get(kind, {})
    if kind in DECODERS:
        sizes = sizes | {"num_key_value_heads": 2, "head_dim": 8}
    auto_class = AutoModelForCausalLM if kind in DECODERS else AutoModelForMaskedLM
    model = auto_class.from_config(AutoConfig.for_model(kind, **sizes)).eval()
    model.config.name_or_path = "base"
    return model


def their_model(plain: Any) -> Any:
    """Return a copy set up by `adapters`, with the inverse applied before the head, as in the library's own heads."""
    model = copy.deepcopy(plain)
    adapters.init(model)
    if isinstance(model.base_model, InvertibleAdaptersMixin):  # the library does this itself in other models

        def undo(base: Any, _projection: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            inverse = base.get_invertible_adapter()
            return None if inverse is None else (inverse(inputs[0], rev=True),)

        model.get_output_embeddings().register_forward_pre_hook(partial(undo, model.base_model))
    return model


def randomize(model: Any, *names: str) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(f".{part}." in name for part in names):
                parameter.normal_(0, 0.3)


def assert_equal(theirs: Any, ours: Any, parameters: dict[str, Any]) -> None:
    """Assert that logits and gradients are equal; `parameters` are keyed by their names in the adapter's file."""
    expected, actual = theirs.eval()(input_ids=IDS).logits, ours.eval()(input_ids=IDS).logits
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
    (expected**2).sum().backward()
    (actual**2).sum().backward()
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    scale = max(float(value.abs().max()) for value in gradients.values() if value is not None)
    compared = 0
    for name, parameter in parameters.items():
        (gradient,) = (value for full_name, value in gradients.items() if full_name.endswith(name))
        our_gradient = parameter.grad if gradient is None or parameter.ndim == gradient.ndim else parameter.grad[0]
        if gradient is not None:
            torch.testing.assert_close(our_gradient / scale, gradient / scale, atol=1e-6, rtol=1e-5)
            compared += 1
    assert compared


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", sorted(FAMILIES.keys() - UNKNOWN))
def test_an_adapter_written_by_the_library_loads_and_saves_identically(kind: str, method: str, tmp_path: Path) -> None:
    plain = model_of(kind)
    theirs, ours = their_model(plain), copy.deepcopy(plain)
    theirs.add_adapter("a", config=METHODS[method])
    theirs.set_active_adapters("a")
    randomize(theirs, "a")
    theirs.save_adapter(str(tmp_path / "theirs"), "a", with_head=False)
    stack = load_adapter_files(tmp_path / "theirs", ours)
    insert(ours, stack)
    assert not torch.allclose(ours(IDS).logits, plain(IDS).logits, atol=1e-2)
    assert_equal(theirs, ours, dict(_parameters(stack, family_of(ours), "a")))

    (tmp_path / "ours").mkdir()
    save_adapter(tmp_path / "ours", ours, stack)
    configs = [
        json.loads((tmp_path / folder / "adapter_config.json").read_text("utf-8")) for folder in ("theirs", "ours")
    ]
    assert configs[0] == configs[1]
    reloaded = their_model(plain)
    reloaded.load_adapter(str(tmp_path / "ours"), set_active=True)
    assert torch.equal(reloaded.eval()(IDS).logits, theirs(IDS).logits)


@pytest.mark.parametrize("kind", ["xlm-roberta", "distilbert", "llama"])
def test_fusion_gives_the_same_results(kind: str, tmp_path: Path) -> None:
    plain = model_of(kind)
    theirs, ours = their_model(plain), copy.deepcopy(plain)
    for name in ("a", "b"):
        theirs.add_adapter(name, config=METHODS["seq_bn_inv"])
    theirs.add_adapter_fusion(["a", "b"])
    theirs.set_active_adapters(adapters.composition.Fuse("a", "b"))
    randomize(theirs, "a", "b", "a,b")
    fusion = adapters.composition.Fuse("a", "b")
    theirs.save_adapter_fusion(str(tmp_path / "theirs"), fusion, with_head=False)
    for name in ("a", "b"):
        (tmp_path / "theirs" / "adapters").mkdir(exist_ok=True)
        theirs.save_adapter(str(tmp_path / "theirs" / "adapters" / name), name, with_head=False)
    fused = load_adapter(ours, tmp_path / "theirs")
    assert isinstance(fused, FusedStack)
    assert_equal(theirs, ours, dict(_fusion_parameters(fused, family_of(ours), "a,b")))
    torch.testing.assert_close(fused.penalty(), their_penalty(theirs)[None])

    (tmp_path / "ours").mkdir()
    save_fusion(tmp_path / "ours", ours, fused)
    reloaded = their_model(plain)
    for name in ("a", "b"):
        reloaded.load_adapter(str(tmp_path / "ours" / "adapters" / name))
    reloaded.load_adapter_fusion(str(tmp_path / "ours"), set_active=True)
    assert torch.equal(reloaded.eval()(IDS).logits, theirs(IDS).logits)
    assert load_fusion(tmp_path / "ours", copy.deepcopy(plain)).names == ["a", "b"]


def their_penalty(model: Any) -> torch.Tensor:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".adapter_fusion_layer." in name)
    return model.base_model.get_fusion_regularization_loss()


def test_a_task_adapter_trained_together_with_a_fusion_gives_the_same_results(tmp_path: Path) -> None:
    plain = model_of("xlm-roberta")
    theirs, ours = their_model(plain), copy.deepcopy(plain)
    for name, method in (("a", "seq_bn_inv"), ("b", "seq_bn_inv"), ("task", "seq_bn")):
        theirs.add_adapter(name, config=METHODS[method])
    fusion = adapters.composition.Fuse("a", "b")
    theirs.add_adapter_fusion(fusion)
    theirs.set_active_adapters(adapters.composition.Stack(fusion, "task"))
    randomize(theirs, "a", "b", "a,b", "task")
    theirs.save_adapter_fusion(str(tmp_path / "fusion"), fusion, with_head=False)
    (tmp_path / "fusion" / "adapters").mkdir()
    for name in ("a", "b"):
        theirs.save_adapter(str(tmp_path / "fusion" / "adapters" / name), name, with_head=False)
    theirs.save_adapter(str(tmp_path / "task"), "task", with_head=False)
    fused, task = load_adapter(ours, tmp_path / "fusion"), load_adapter(ours, tmp_path / "task")
    assert isinstance(fused, FusedStack)
    assert isinstance(task, AdapterStack)
    family = family_of(ours)
    trained = {**dict(_fusion_parameters(fused, family, "a,b")), **dict(_parameters(task, family, "task"))}
    assert_equal(theirs, ours, trained)


@pytest.mark.parametrize("below", ["seq_bn", "seq_bn_inv", "lora"])
def test_a_stack_of_two_adapters_gives_the_same_logits(below: str, tmp_path: Path) -> None:
    plain = model_of("xlm-roberta")
    theirs, ours = their_model(plain), copy.deepcopy(plain)
    for name, method in (("a", below), ("task", "seq_bn")):
        theirs.add_adapter(name, config=METHODS[method])
    theirs.set_active_adapters(adapters.composition.Stack("a", "task"))
    randomize(theirs, "a", "task")
    for name in ("a", "task"):
        theirs.save_adapter(str(tmp_path / name), name, with_head=False)
        load_adapter(ours, tmp_path / name)
    torch.testing.assert_close(ours(IDS).logits, theirs.eval()(IDS).logits, atol=1e-5, rtol=1e-5)
