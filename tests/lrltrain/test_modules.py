"""Stacks of K adapters equal K single adapters, in every family and on any transformers; what is refused."""

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


def random_stack(model: Any, settings: Settings, count: int) -> AdapterStack:
    stack = AdapterStack(model, settings, [f"adapter{number}" for number in range(count)])
    for number in range(count):
        stack.initialize(number + 1, number)
    with torch.no_grad():
        for parameter in stack.parameters():
            for number in range(count):
                parameter[number] += (
                    torch.randn(parameter[0].shape, generator=torch.Generator().manual_seed(number)) / 3
                )
    return stack


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_a_stack_equals_its_single_adapters_and_no_gradient_crosses(kind: str, method: str) -> None:
    model = model_of(kind)
    stack = random_stack(model, METHODS[method], 3)
    single_logits = []
    for number in range(3):
        single_model, single_stack = copy.deepcopy(model), random_stack(model, METHODS[method], 1)
        with torch.no_grad():
            for parameter, stacked in zip(single_stack.parameters(), stack.parameters(), strict=True):
                parameter[0] = stacked[number]
        insert(single_model, single_stack)
        single_logits.append(single_model(IDS[number : number + 1]).logits[0])
    plain_logits = model(IDS).logits
    insert(model, stack)
    stacked_logits = model(IDS).logits
    assert not torch.allclose(stacked_logits, plain_logits, atol=1e-2)
    torch.testing.assert_close(stacked_logits, torch.stack(single_logits), atol=1e-5, rtol=1e-5)

    (stacked_logits[1] ** 2).sum().backward()
    for parameter in stack.parameters():
        assert parameter.grad is not None
        assert not parameter.grad[0].any()
        assert not parameter.grad[2].any()
    assert any(parameter.grad[1].any() for parameter in stack.parameters() if parameter.grad is not None)

    take_out(model)
    assert torch.equal(model(IDS).logits, plain_logits)
    assert not hasattr(model, MODULE_NAME)


def test_initial_weights_do_not_depend_on_the_size_of_the_stack() -> None:
    model = model_of("xlm-roberta")
    for settings in METHODS.values():
        one, three = (AdapterStack(model, settings, ["x"] * count) for count in (1, 3))
        before = torch.get_rng_state()
        one.initialize(5)
        three.initialize(5, 2)
        assert torch.equal(before, torch.get_rng_state())
        assert all(torch.equal(a[0], b[2]) for a, b in zip(one.parameters(), three.parameters(), strict=True))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_a_saved_adapter_loads_unchanged_through_the_python_api(kind: str, method: str, tmp_path: Path) -> None:
    model = model_of(kind)
    stack = random_stack(model, METHODS[method], 1)
    save_adapter(tmp_path, model, stack)
    loaded = lrltrain.load_adapter(copy.deepcopy(model), tmp_path)
    assert loaded.names == ["adapter0"]
    assert all(map(torch.equal, loaded.parameters(), stack.parameters()))
    (tmp_path / "adapter.safetensors").unlink()
    reloaded = lrltrain.load_adapter(model, tmp_path)
    assert all(map(torch.equal, reloaded.parameters(), loaded.parameters()))


def test_an_adapter_loads_into_a_headless_model_and_a_bf16_model(tmp_path: Path) -> None:
    model = model_of("xlm-roberta")
    save_adapter(tmp_path, model, random_stack(model, METHODS["seq_bn_inv"], 1))
    bare = model_of("xlm-roberta", AutoModel)
    bare.load_state_dict(model.base_model.state_dict(), strict=False)
    lrltrain.load_adapter(bare, tmp_path)
    lrltrain.load_adapter(model, tmp_path)
    states = model.base_model(IDS).last_hidden_state
    torch.testing.assert_close(bare(IDS).last_hidden_state, states)
    half_model = model_of("xlm-roberta").to(torch.bfloat16)
    lrltrain.load_adapter(half_model, tmp_path)
    half_logits = half_model(IDS).logits
    assert half_logits.dtype == torch.bfloat16
    torch.testing.assert_close(half_logits.float(), model(IDS).logits, atol=0.1, rtol=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
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
def test_an_unsupported_adapter_is_refused_and_its_key_named(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    model = model_of("xlm-roberta")
    save_adapter(tmp_path, model, random_stack(model, METHODS["seq_bn"], 1))
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | change), "utf-8")
    with pytest.raises(ModelError, match=message):
        lrltrain.load_adapter(model, tmp_path)
    assert not hasattr(model, MODULE_NAME)


def test_missing_and_surplus_weights_are_named(tmp_path: Path) -> None:
    model = model_of("xlm-roberta")
    save_adapter(tmp_path, model, random_stack(model, METHODS["seq_bn"], 1))
    file = tmp_path / "adapter.safetensors"
    weights = {name: value.clone() for name, value in load_file(file).items()}  # older versions map the file
    first = min(weights)
    save_file({name: value for name, value in weights.items() if name != first}, file)
    with pytest.raises(ModelError, match=r"lacks encoder\.layer\.0\.output\.adapters\.adapter0\.adapter_down\.0\.bias"):
        load_adapter_files(tmp_path, model)
    save_file(weights | {first: weights[first] * float("nan")}, file)
    with pytest.raises(ModelError, match="contains values that are not finite"):
        load_adapter_files(tmp_path, model)
    save_file(weights | {"roberta.more": weights[first].clone()}, file)
    with pytest.raises(ModelError, match=r"contains roberta\.more"):
        load_adapter_files(tmp_path, model)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ModelError, match="cannot be read"):
        load_adapter_files(tmp_path, model)


def test_a_model_of_an_unsupported_family_is_refused_and_the_supported_ones_are_listed(tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("gpt2", n_embd=32, n_layer=2, n_head=4, vocab_size=64)
    )
    with pytest.raises(ModelError, match="type 'gpt2'") as error:
        AdapterStack(model, METHODS["seq_bn"], ["x"])
    assert "xlm-roberta" in error.value.hint
    with pytest.raises(ModelError, match="neither a folder nor an id"):
        lrltrain.load_adapter(model, tmp_path / "missing")


def test_settings_survive_a_round_trip_through_json() -> None:
    others: list[Settings] = [Bottlenecks(4, scaling=2.0, leave_out=(1,)), LowRanks(2, 4, ("v",), (0,))]
    for settings in [*METHODS.values(), *others]:
        assert read_settings(json.loads(json.dumps(settings.as_json())), "here") == settings
