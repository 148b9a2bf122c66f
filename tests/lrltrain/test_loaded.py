"""Loaded adapters in use: hidden states, copies, threads, compiled models, and several adapters in one model."""

import copy
import errno
import json
import logging
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from models import IDS, METHODS, model_of
from safetensors.torch import save_file

import lrltrain
from lrldata.errors import ModelError, StorageError
from lrldata.paths import PathError
from lrltrain.artifact import reference_logits
from lrltrain.modules.families import FAMILIES, family_of, layers_of
from lrltrain.modules.files import load_fusion, save_adapter, save_fusion
from lrltrain.modules.insert import MODULE_NAME, AdapterStack, FusedStack, insert


def write_adapter(kind: str, method: str, folder: Path, name: str = "own", seed: int = 5) -> Path:
    """Write an adapter with random weights for `model_of(kind)`, and return its folder."""
    model = model_of(kind)
    stack = AdapterStack(model, METHODS[method], [name])
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)) / 3)
    folder.mkdir(parents=True)
    save_adapter(folder, model, stack)
    return folder


@pytest.mark.parametrize("requested_before", [False, True])
@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_hidden_states_are_the_inputs_of_the_next_layer(kind: str, requested_before: bool, tmp_path: Path) -> None:
    model = model_of(kind)
    if requested_before:
        model(IDS, output_hidden_states=True)
    lrltrain.load_adapter(model, write_adapter(kind, "seq_bn", tmp_path / "a"))
    layer_inputs: list[torch.Tensor] = []
    for _, layer in layers_of(model, family_of(model)):
        layer.register_forward_pre_hook(
            lambda _layer, inputs, keywords: layer_inputs.append((*inputs, keywords.get("hidden_states"))[0]),
            with_kwargs=True,
        )
    states = model(IDS, output_hidden_states=True).hidden_states
    for state, layer_input in zip(states, layer_inputs, strict=False):
        assert torch.equal(state, layer_input)


def fusion_of(model: Any, method: str = "seq_bn") -> FusedStack:
    members = [AdapterStack(model, METHODS[method], [f"m{number}"]) for number in range(2)]
    fused = FusedStack(model, members)
    with torch.no_grad():
        for number, parameter in enumerate(fused.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)) / 3)
    return fused


def test_a_loaded_fusion_uses_no_dropout_and_its_copy_has_separate_weights() -> None:
    model = model_of("xlm-roberta")
    assert model.config.attention_probs_dropout_prob > 0
    insert(model, fusion_of(model))
    before = model(IDS).logits
    assert torch.equal(model(IDS).logits, before), "no dropout"
    copied = pickle.loads(pickle.dumps(copy.deepcopy(model)))  # noqa: S301 -- our own
    with torch.no_grad():
        for parameter in getattr(model, MODULE_NAME).parameters():
            parameter.zero_()
    assert torch.equal(copied(IDS).logits, before)
    assert not torch.equal(model(IDS).logits, before)
    model.train()
    insert(model)
    assert getattr(model, MODULE_NAME).training


def test_an_adapter_of_another_model_type_is_refused(tmp_path: Path) -> None:
    folder = write_adapter("xlm-roberta", "seq_bn", tmp_path / "a")
    with pytest.raises(ModelError, match="of type xlm-roberta, but this one is of type bert"):
        lrltrain.load_adapter(model_of("bert"), folder)


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("lora", {"r": 999_999}),
        ("seq_bn", {"reduction_factor": 1e-9}),
        ("seq_bn_inv", {"inv_adapter_reduction_factor": 1e-9}),
    ],
)
def test_an_adapter_that_claims_to_be_huge_allocates_no_memory(
    method: str, change: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_adapter("bert", method, tmp_path / "a")
    config = json.loads((folder / "adapter_config.json").read_text())
    config["config"] |= change
    (folder / "adapter_config.json").write_text(json.dumps(config))
    monkeypatch.setattr("lrltrain.modules.files.AdapterStack", None)
    with pytest.raises(
        ModelError, match=r"lacks weights: according to adapter_config.json, its layers have width [\d,]+"
    ):
        lrltrain.load_adapter(model_of("bert"), folder)


def test_the_error_for_an_adapter_of_a_narrower_model_names_the_sizes(tmp_path: Path) -> None:
    folder = write_adapter("bert", "seq_bn_inv", tmp_path / "a")
    width = model_of("bert").config.hidden_size
    wide = model_of("bert", hidden_size=8 * width, intermediate_size=width)
    with pytest.raises(
        ModelError, match=f"of hidden size {width}, but this one has {8 * width}. Use the base model that"
    ):
        lrltrain.load_adapter(wide, folder)


def test_an_adapter_of_another_base_model_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_adapter("bert", "seq_bn", tmp_path / "a")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"model_name": "google/multilingual"}))
    for name, is_noted in (("google/multilingual", False), ("multilingual", False), ("my-org/another", True)):
        model = model_of("bert")
        model.config.name_or_path = name
        lrltrain.load_adapter(model, folder)
        assert ("was trained in google/multilingual, but this model is" in capsys.readouterr().err) is is_noted, name


@pytest.mark.parametrize("kind", ["gemma2", "llama", "bert"])
def test_a_model_with_an_adapter_may_be_used_by_several_threads(kind: str, tmp_path: Path) -> None:
    model = model_of(kind)
    lrltrain.load_adapter(model, write_adapter(kind, "seq_bn", tmp_path / "a"))
    texts = [
        torch.randint(5, 64, (1, 5 + number), generator=torch.Generator().manual_seed(number)) for number in range(4)
    ]
    expected = [model(ids).logits for ids in texts]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(15):
            logits = list(pool.map(lambda ids: model(ids).logits, texts))
            assert all(torch.equal(actual, single) for actual, single in zip(logits, expected, strict=True))


def test_an_adapter_is_removed_by_name_and_not_inserted_twice(tmp_path: Path) -> None:
    model = model_of("llama")
    plain = model(IDS).logits
    lower = write_adapter("llama", "seq_bn_inv", tmp_path / "a", "lower", 1)
    upper = write_adapter("llama", "seq_bn", tmp_path / "b", "upper", 2)
    lrltrain.load_adapter(model, upper)
    alone = model(IDS).logits
    lrltrain.unload_adapter(model)
    assert torch.equal(model(IDS).logits, plain)
    assert not hasattr(model, MODULE_NAME)
    lrltrain.load_adapter(model, lower)
    lrltrain.load_adapter(model, upper)
    with pytest.raises(ModelError, match=r"upper is already in the model.*unload_adapter"):
        lrltrain.load_adapter(model, upper)
    with pytest.raises(ModelError, match=r"no adapter 'another'.*lower, upper"):
        lrltrain.unload_adapter(model, "another")
    lrltrain.unload_adapter(model, "lower")
    assert torch.equal(model(IDS).logits, alone)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(shutil.which("c++") is None and shutil.which("g++") is None, reason="no C++ compiler is installed")
@pytest.mark.parametrize("kind", ["bert", "gemma2"])
def test_a_model_compiled_before_loading_uses_the_adapter(kind: str, tmp_path: Path) -> None:
    model = model_of(kind)
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        plain = compiled(IDS).logits
        lrltrain.load_adapter(model, write_adapter(kind, "seq_bn", tmp_path / "a"))
        assert torch.allclose(compiled(IDS).logits, model(IDS).logits, atol=1e-5)
        assert not torch.allclose(compiled(IDS).logits, plain, atol=1e-3)
        lrltrain.unload_adapter(model)
        assert torch.allclose(compiled(IDS).logits, plain, atol=1e-5)


def test_an_adapter_of_a_compiled_model_is_saved_with_the_model_s_own_names(tmp_path: Path) -> None:
    model = model_of("bert")
    compiled = torch.compile(model, backend="eager")
    lrltrain.load_adapter(compiled, write_adapter("bert", "lora", tmp_path / "a"))
    lrltrain.save_adapter(compiled, tmp_path / "compiled")
    lrltrain.save_adapter(model, tmp_path / "plain")
    for file in sorted(path.relative_to(tmp_path / "plain") for path in (tmp_path / "plain").rglob("*.*")):
        assert (tmp_path / "compiled" / file).read_bytes() == (tmp_path / "plain" / file).read_bytes()
    lrltrain.unload_adapter(compiled)
    lrltrain.load_adapter(model, tmp_path / "compiled")


def test_an_interrupted_load_leaves_the_model_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("bert")
    with torch.no_grad():
        plain = model(IDS).logits

        def interrupt(*_: object) -> bool:
            raise KeyboardInterrupt

        folder = write_adapter("bert", "seq_bn", tmp_path / "a")
        for place in ("lrltrain.modules.load.output_differs", "lrltrain.modules.insert.InsertedStacks._hook_layer"):
            with monkeypatch.context() as patched:
                patched.setattr(place, interrupt)
                with pytest.raises(KeyboardInterrupt):
                    lrltrain.load_adapter(model, folder)
            assert torch.equal(model(IDS).logits, plain)
            assert not hasattr(model, MODULE_NAME)
        lrltrain.load_adapter(model, folder)
        assert not torch.equal(model(IDS).logits, plain)


def test_a_fusion_folder_may_contain_files_of_the_operating_system(tmp_path: Path) -> None:
    model = model_of("bert")
    save_fusion(tmp_path, model, fusion_of(model))
    (tmp_path / "adapters" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "adapters" / ".DS_Store").write_bytes(b"")
    assert load_fusion(tmp_path, model).names == ["m0", "m1"]
    shutil.rmtree(tmp_path / "adapters")
    with pytest.raises(ModelError, match="the fused adapter 'm0' is missing in adapters/"):
        load_fusion(tmp_path, model)


@pytest.mark.parametrize("name", ["../../out", "/out", "a/b", ".."])
def test_an_adapter_whose_name_is_a_path_is_not_fused(name: str, tmp_path: Path) -> None:
    model = model_of("bert")
    ours, theirs = (AdapterStack(model, METHODS["seq_bn"], ["m0"]) for _ in range(2))
    theirs.names = [name]
    with pytest.raises(ModelError, match="is a path, not the name of an adapter"):
        FusedStack(model, [ours, theirs])
    fused = fusion_of(model)
    fused.members[1].names = [f"{name}/../.."]  # as a program could set it
    (tmp_path / "a").mkdir()
    with pytest.raises(PathError):
        save_fusion(tmp_path / "a", model, fused)
    assert [path.name for path in tmp_path.rglob("*")] == ["a"]


def test_a_wrapped_model_is_refused(tmp_path: Path) -> None:
    class Wrapped(torch.nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.base_model, self.config = model, model.config

    with pytest.raises(ModelError, match=r"Wrapped: has no encoder\.layer"):
        lrltrain.load_adapter(Wrapped(model_of("bert")), write_adapter("bert", "seq_bn", tmp_path / "a"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["gemma2", "llama"])
def test_parts_of_a_layer_may_be_compiled_separately(kind: str, tmp_path: Path) -> None:
    model = model_of(kind)
    lrltrain.load_adapter(model, write_adapter(kind, "seq_bn", tmp_path / "a"))
    with torch.no_grad():
        expected = model(IDS).logits
        for _, layer in layers_of(model, family_of(model)):
            layer.mlp.compile(backend="eager")  # type: ignore[operator, union-attr]
        assert torch.allclose(model(IDS).logits, expected, atol=1e-5)


def test_a_fusion_is_removed_by_any_of_its_names() -> None:
    model = model_of("bert")
    plain = model(IDS).logits
    insert(model, fusion_of(model))
    lrltrain.unload_adapter(model, "m1")
    assert torch.equal(model(IDS).logits, plain)


def test_of_a_loaded_fusion_all_that_is_trained_gets_gradients(tmp_path: Path) -> None:
    model = model_of("bert").requires_grad_(requires_grad=False)
    save_fusion(tmp_path, model, fusion_of(model, "seq_bn_inv"))
    fused = lrltrain.load_adapter(model, tmp_path)
    model(IDS).logits.square().sum().backward()
    assert [name for name, weight in fused.named_parameters() if weight.requires_grad and weight.grad is None] == []
    with pytest.raises(ModelError, match="m1 is already in the model"):
        lrltrain.load_adapter(model, write_adapter("bert", "seq_bn", tmp_path / "again", "m1"))


def test_an_adapter_is_saved_and_removed_through_a_wrapper_of_processes(tmp_path: Path) -> None:
    model = model_of("bert")
    plain = model(IDS).logits
    wrapper = torch.nn.DataParallel(model)
    lrltrain.load_adapter(model, write_adapter("bert", "lora", tmp_path / "a"))
    for name, saved in (("wrapped", torch.compile(wrapper, backend="eager")), ("plain", model)):
        lrltrain.save_adapter(saved, tmp_path / name)
    for file in ("adapter.safetensors", "peft/adapter_model.safetensors"):
        assert (tmp_path / "wrapped" / file).read_bytes() == (tmp_path / "plain" / file).read_bytes()
    lrltrain.unload_adapter(wrapper)
    assert torch.equal(model(IDS).logits, plain)


def test_an_offloaded_adapter_is_not_saved(tmp_path: Path) -> None:
    model = model_of("bert")
    lrltrain.load_adapter(model, write_adapter("bert", "lora", tmp_path / "a")).to("meta")
    with pytest.raises(ModelError, match="is offloaded"):
        lrltrain.save_adapter(model, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_second_invertible_adapter_is_noted_as_unused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = model_of("bert")
    lrltrain.load_adapter(model, write_adapter("bert", "seq_bn_inv", tmp_path / "a", "one", 1))
    assert "not used" not in capsys.readouterr().err
    lrltrain.load_adapter(model, write_adapter("bert", "seq_bn_inv", tmp_path / "b", "two", 2))
    assert "its invertible adapter is not used" in capsys.readouterr().err


@pytest.mark.parametrize("method", [*METHODS, "fusion"])
def test_an_adapter_can_be_saved_again_after_further_training(method: str, tmp_path: Path) -> None:
    model = model_of("bert")
    with pytest.raises(ModelError, match=r"The model has 0 adapters. Insert one with load_adapter"):
        lrltrain.save_adapter(model, tmp_path / "none")
    if method == "fusion":
        (tmp_path / "a").mkdir()
        save_fusion(tmp_path / "a", model, fusion_of(model))
    else:
        write_adapter("bert", method, tmp_path / "a")
    stack = lrltrain.load_adapter(model, tmp_path / "a")
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.add_(0.1)
    assert lrltrain.save_adapter(model, tmp_path / "b") == tmp_path / "b"
    other = model_of("bert")
    lrltrain.load_adapter(other, tmp_path / "b")
    assert torch.equal(other(IDS).logits, model(IDS).logits)
    lrltrain.load_adapter(model, write_adapter("bert", "seq_bn", tmp_path / "c", name="second"))
    with pytest.raises(ModelError, match=r"has 2 adapters. It has: .*second. Pass the name of one"):
        lrltrain.save_adapter(model, tmp_path / "d")
    lrltrain.save_adapter(model, tmp_path / "d", name="second")
    with pytest.raises(ModelError, match=r"is not empty. Give another folder"):
        lrltrain.save_adapter(model, tmp_path / "d", name="second")


def test_a_saved_adapter_names_the_base_model_and_not_its_folder(tmp_path: Path) -> None:
    model = model_of("bert")
    model.config.name_or_path = str(tmp_path)  # as after from_pretrained(FOLDER)
    lrltrain.load_adapter(model, write_adapter("bert", "lora", tmp_path / "a"))
    lrltrain.save_adapter(model, tmp_path / "b")
    for name, key in (("adapter_config.json", "model_name"), ("peft/adapter_config.json", "base_model_name_or_path")):
        assert json.loads((tmp_path / "b" / name).read_text("utf-8"))[key] == "base"


@pytest.mark.parametrize("frozen", [False, True])
def test_saving_notes_that_the_base_model_could_be_trained_too(
    frozen: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = model_of("bert").requires_grad_(not frozen)
    stack = lrltrain.load_adapter(model, write_adapter("bert", "lora", tmp_path / "a"))
    assert all(parameter.requires_grad for parameter in stack.parameters())
    with caplog.at_level(logging.INFO, "lrldata"):
        lrltrain.save_adapter(model, tmp_path / "b")
    assert ("only the adapter was saved" in caplog.text) == (not frozen)


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_a_base_model_with_other_weights_is_noted(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, model = write_adapter(kind, "lora", tmp_path / "a"), model_of(kind)
    lrltrain.load_adapter(model, folder)
    save_file(reference_logits(model, IDS[:1]), folder / "reference.safetensors")
    (folder / "manifest.json").write_text(json.dumps({"base": {"id": "org/own", "revision": "abc"}}), "utf-8")
    for dtype in (torch.float32, torch.bfloat16):
        lrltrain.load_adapter(model_of(kind).to(dtype), folder)
    assert not capsys.readouterr().err
    other = model_of(kind)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)) / 5)
    lrltrain.load_adapter(other, folder)
    assert "from_pretrained('org/own', revision='abc')" in capsys.readouterr().err
    smaller = model_of(kind, vocab_size=40)
    lrltrain.load_adapter(smaller, folder)
    assert "output differs from that after training" in capsys.readouterr().err


def test_an_adapter_of_a_deeper_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"layer.1.* is not a weight of this adapter. Use the base model that"):
        lrltrain.load_adapter(model_of("bert", num_hidden_layers=1), write_adapter("bert", "seq_bn", tmp_path / "a"))


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ((torch, "save"), OSError(errno.ENOSPC, "No space left on device")),
        ((torch, "save"), RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534")),
        ((Path, "rename"), OSError(errno.EIO, "Input/output error")),
    ],
)
def test_a_failed_save_leaves_nothing_and_can_be_repeated(
    place: tuple[Any, str], error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename
    model = model_of("bert")
    lrltrain.load_adapter(model, write_adapter("bert", "lora", tmp_path / "a"))

    def fail(path: Any, target: Any) -> Path:
        if isinstance(path, Path) and path.name != "pytorch_adapter.bin":
            return rename(path, target)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(*place, fail)
        with pytest.raises(StorageError, match=r"b: cannot be written: .*free space"):
            lrltrain.save_adapter(model, tmp_path / "b")
    assert not any((tmp_path / "b").iterdir())
    (tmp_path / "b" / ".lrl-partial").mkdir()  # as a process that is killed leaves it
    (tmp_path / "b" / ".lrl-partial" / "other").touch()
    lrltrain.save_adapter(model, tmp_path / "b")
    files = {
        path.relative_to(tmp_path / "b").as_posix(): path for path in (tmp_path / "b").rglob("*") if path.is_file()
    }
    assert {"adapter.safetensors", "peft/adapter_model.safetensors", "pytorch_adapter.bin"} < files.keys()
    assert len({path.stat().st_mode for path in files.values()}) == 1
    assert not any(".lrl-partial" in name for name in files)


def test_a_folder_without_the_configuration_which_is_written_last_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of("bert")
    lrltrain.load_adapter(model, write_adapter("bert", "seq_bn", tmp_path / "a"))
    moved: list[str] = []
    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda path, target: moved.append(path.name) or rename(path, target))
    lrltrain.save_adapter(model, tmp_path / "b")
    assert moved[-1] == "adapter_config.json"
    (tmp_path / "b" / "adapter_config.json").unlink()
    with pytest.raises(ModelError, match=r"adapter_config\.json"):
        lrltrain.load_adapter(model_of("bert"), tmp_path / "b")
