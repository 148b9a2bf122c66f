"""Stacks of K adapters: as many adapters alone, in every family, on any transformers; and what is refused."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from models import IDS, METHODS, model_of
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

import lrltrain
from lrldata.errors import ModelError
from lrltrain.modules.families import FAMILIES
from lrltrain.modules.files import load_adapter_files, save_adapter
from lrltrain.modules.insert import MODULE_NAME, AdapterStack, insert, take_out
from lrltrain.modules.settings import Bottlenecks, LowRanks, Settings, read_settings


def drawn(model: Any, settings: Settings, count: int) -> AdapterStack:
    stack = AdapterStack(model, settings, [f"adapter{number}" for number in range(count)])
    for number in range(count):
        stack.draw(number + 1, number)
    with torch.no_grad():
        for parameter in stack.parameters():
            for number in range(count):
                parameter[number] += (
                    torch.randn(parameter[0].shape, generator=torch.Generator().manual_seed(number)) / 3
                )
    return stack


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_a_stack_is_its_adapters_alone_and_no_gradient_crosses(kind: str, method: str) -> None:
    model = model_of(kind)
    stack = drawn(model, METHODS[method], 3)
    apart = []
    for number in range(3):
        alone, one = copy.deepcopy(model), drawn(model, METHODS[method], 1)
        with torch.no_grad():
            for parameter, stacked in zip(one.parameters(), stack.parameters(), strict=True):
                parameter[0] = stacked[number]
        insert(alone, one)
        apart.append(alone(IDS[number : number + 1]).logits[0])
    plain = model(IDS).logits
    insert(model, stack)
    together = model(IDS).logits
    assert not torch.allclose(together, plain, atol=1e-2)
    torch.testing.assert_close(together, torch.stack(apart), atol=1e-5, rtol=1e-5)

    (together[1] ** 2).sum().backward()
    for parameter in stack.parameters():
        assert parameter.grad is not None
        assert not parameter.grad[0].any()
        assert not parameter.grad[2].any()
    assert any(parameter.grad[1].any() for parameter in stack.parameters() if parameter.grad is not None)

    take_out(model)
    assert torch.equal(model(IDS).logits, plain)
    assert not hasattr(model, MODULE_NAME)


def test_weights_are_drawn_alike_in_a_stack_of_any_size() -> None:
    model = model_of("xlm-roberta")
    for settings in METHODS.values():
        one, three = (AdapterStack(model, settings, ["x"] * count) for count in (1, 3))
        before = torch.get_rng_state()
        one.draw(5)
        three.draw(5, 2)
        assert torch.equal(before, torch.get_rng_state())
        assert all(torch.equal(a[0], b[2]) for a, b in zip(one.parameters(), three.parameters(), strict=True))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_what_is_saved_is_loaded_again_by_python(kind: str, method: str, tmp_path: Path) -> None:
    model = model_of(kind)
    stack = drawn(model, METHODS[method], 2)
    save_adapter(tmp_path, model, stack, 1)
    found = lrltrain.load_adapter(copy.deepcopy(model), tmp_path)
    assert found.names == ["adapter1"]
    for parameter, stacked in zip(found.parameters(), stack.parameters(), strict=True):
        assert torch.equal(parameter[0], stacked[1])
    (tmp_path / "adapter.safetensors").unlink()
    again = lrltrain.load_adapter(model, tmp_path)
    assert all(map(torch.equal, again.parameters(), found.parameters()))


def test_an_adapter_loads_into_a_model_without_a_head_and_one_in_bf16(tmp_path: Path) -> None:
    model = model_of("xlm-roberta")
    save_adapter(tmp_path, model, drawn(model, METHODS["seq_bn_inv"], 1))
    bare = model_of("xlm-roberta", AutoModel)
    bare.load_state_dict(model.base_model.state_dict(), strict=False)
    lrltrain.load_adapter(bare, tmp_path)
    lrltrain.load_adapter(model, tmp_path)
    states = model.base_model(IDS).last_hidden_state
    torch.testing.assert_close(bare(IDS).last_hidden_state, states)
    half = model_of("xlm-roberta").to(torch.bfloat16)
    lrltrain.load_adapter(half, tmp_path)
    rough = half(IDS).logits
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), model(IDS).logits, atol=0.1, rtol=0.1)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"config": {"architecture": "prefix_tuning"}}, "architecture is prefix_tuning"),
        ({"config": {"mh_adapter": True, "reduction_factor": 4}}, "mh_adapter is True"),
        ({"config": {"ln_before": True, "reduction_factor": 4}}, "ln_before is True"),
        ({"config": {"architecture": "lora", "r": 4, "use_dora": True}}, "use_dora is True"),
        ({"config": {"architecture": "lora", "r": 4, "attn_matrices": ["q", "k"]}}, "attn_matrices"),
        ({"config": {"reduction_factor": {"default": 4}}}, "reduction_factor"),
        ({"config": {"reduction_factor": 4, "shiny": 1}}, "shiny is 1"),
        ({"config": {"reduction_factor": 2}}, r"shape \(8, 32\), not \(16, 32\)"),
        ({"config": None}, "no `config`"),
        ({"hidden_size": 768}, "hidden size 768, but this one has 32"),
        ({"config": {"reduction_factor": 4, "auto_map": "x--y.z"}}, "asks for the model's own code"),
    ],
)
def test_an_adapter_that_is_not_supported_is_refused_by_the_key(
    change: dict[str, Any], told: str, tmp_path: Path
) -> None:
    model = model_of("xlm-roberta")
    save_adapter(tmp_path, model, drawn(model, METHODS["seq_bn"], 1))
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | change), "utf-8")
    with pytest.raises(ModelError, match=told):
        lrltrain.load_adapter(model, tmp_path)
    assert not hasattr(model, MODULE_NAME)


def test_weights_that_are_missing_or_too_many_are_named(tmp_path: Path) -> None:
    model = model_of("xlm-roberta")
    save_adapter(tmp_path, model, drawn(model, METHODS["seq_bn"], 1))
    file = tmp_path / "adapter.safetensors"
    weights = load_file(file)
    first = min(weights)
    save_file({name: value for name, value in weights.items() if name != first}, file)
    with pytest.raises(ModelError, match=r"lacks encoder\.layer\.0\.output\.adapters\.adapter0\.adapter_down\.0\.bias"):
        load_adapter_files(tmp_path, model)
    save_file(weights | {first: weights[first] * float("nan")}, file)
    with pytest.raises(ModelError, match="contains values that are not finite"):
        load_adapter_files(tmp_path, model)
    save_file(weights | {"roberta.more": weights[first].clone()}, file)
    with pytest.raises(ModelError, match=r"holds roberta\.more"):
        load_adapter_files(tmp_path, model)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ModelError, match="cannot be read"):
        load_adapter_files(tmp_path, model)


def test_a_model_of_another_family_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("gpt2", n_embd=32, n_layer=2, n_head=4, vocab_size=64)
    )
    with pytest.raises(ModelError, match="type 'gpt2'") as refused:
        AdapterStack(model, METHODS["seq_bn"], ["x"])
    assert "xlm-roberta" in refused.value.hint
    with pytest.raises(ModelError, match="neither a folder nor an id"):
        lrltrain.load_adapter(model, tmp_path / "missing")


def test_settings_are_read_as_they_are_written() -> None:
    others: list[Settings] = [Bottlenecks(4, scaling=2.0, leave_out=(1,)), LowRanks(2, 4, ("v",), (0,))]
    for settings in [*METHODS.values(), *others]:
        assert read_settings(json.loads(json.dumps(settings.as_json())), "here") == settings
