"""Adapters in the files of `adapters`: adapter_config.json, pytorch_adapter.bin and adapter.safetensors. IO."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lrldata.errors import ModelError, one_line
from lrldata.paths import inside
from lrltrain.modules.families import Family, base_of, family_of
from lrltrain.modules.insert import AdapterStack, FusedStack
from lrltrain.modules.peft import FOLDER as PEFT
from lrltrain.modules.peft import save_peft
from lrltrain.modules.settings import VERSION, LowRanks, Settings, read_settings

CONFIG, WEIGHTS, SAFE_WEIGHTS = "adapter_config.json", "pytorch_adapter.bin", "adapter.safetensors"
FUSION_CONFIG, FUSION_WEIGHTS = "adapter_fusion_config.json", "pytorch_model_adapter_fusion.bin"
SAFE_FUSION_WEIGHTS = "model_adapter_fusion.safetensors"
_FUSION = {  # what `adapters` writes for its dynamic AdapterFusion, which is the one that is computed here
    "dropout_prob": None,
    "key": True,
    "query": True,
    "query_before_ln": False,
    "regularization": True,
    "residual_before": False,
    "temperature": False,
    "value": True,
    "value_before_softmax": True,
    "value_initialized": True,
}
_AGAIN = "Fetch it again, or make it again with `lrltrain fit`."


def save_adapter(folder: Path, model: Any, stack: AdapterStack, number: int = 0) -> None:
    """Write one adapter of a stack, in both formats of weights, and LoRA for PEFT too; the folder must exist."""
    name = stack.names[number]
    settings = stack.settings.as_json()
    _write_config(folder / CONFIG, model, name=name, config=settings)
    prefix = _prefix(model)
    weights = {
        prefix + key: parameter[number].detach().cpu().clone()
        for key, parameter in _parameters(stack, family_of(model), name)
    }
    save_file(weights, folder / SAFE_WEIGHTS)
    torch.save(weights, folder / WEIGHTS)
    if isinstance(stack.settings, LowRanks):
        save_peft(folder / PEFT, model, prefix, stack, number)


def load_adapter_files(folder: Path, model: Any, name: str | None = None) -> AdapterStack:
    """Read an adapter of a folder, for `insert`, under its own name or another. Raises ModelError."""
    config = read_config(folder / CONFIG)
    own = str(config.get("name", ""))
    settings = read_settings(config.get("config"), f"{folder}/{CONFIG}")
    _check_base(folder, model, config)
    path, weights = _read_weights(folder, (SAFE_WEIGHTS, WEIGHTS))
    _check_size(path, weights, settings, int(model.config.hidden_size))
    stack = AdapterStack(model, settings, [name or own])
    _fill(path, weights, model, config, dict(_parameters(stack, family_of(model), own)))
    return stack


def _own_base(config: Mapping[str, Any]) -> str:
    return f"Use its own base model, {config.get('model_name')}."


def _check_base(folder: Path, model: Any, config: Mapping[str, Any]) -> None:
    """Raise ModelError where an adapter is of another kind or width of model."""
    own_base = _own_base(config)
    kind, given = config.get("model_type"), model.config.model_type
    if kind not in (None, given):
        raise ModelError(f"{folder}: was trained in a model of type {kind}, and this one is of type {given}.", own_base)
    hidden, here = config.get("hidden_size"), model.config.hidden_size
    if hidden != here:
        raise ModelError(
            f"{folder}: was trained in a model of hidden size {hidden}, and this one has {here}.",
            own_base,
        )


def _check_size(path: Path, weights: Mapping[str, Tensor], settings: Settings, hidden: int) -> None:
    """Raise ModelError, before memory is taken, where one matrix would have more weights than there are in the file."""
    if isinstance(settings, LowRanks):
        width: float = settings.rank
    else:
        width = hidden / settings.reduction_factor
        if settings.invertible:
            width = max(width, hidden / 2 / settings.invertible_reduction_factor)
    if width * (hidden // 2) > sum(value.numel() for value in weights.values()):
        raise ModelError(f"{path}: lacks weights: by {CONFIG} its layers are {width:,.0f} wide.", _AGAIN)


def save_fusion(folder: Path, model: Any, fused: FusedStack) -> None:
    """Write the fusion's own weights, and each of its adapters in adapters/NAME."""
    homes = [inside(folder, f"adapters/{name}") for name in fused.names]  # refused before anything is written
    name = ",".join(fused.names)
    _write_config(folder / FUSION_CONFIG, model, name=name, adapter_names=fused.names, config=_FUSION)
    prefix = _prefix(model)
    weights = {
        prefix + key: parameter[0].detach().cpu().clone()
        for key, parameter in _fusion_parameters(fused, family_of(model), name)
    }
    save_file(weights, folder / SAFE_FUSION_WEIGHTS)
    torch.save(weights, folder / FUSION_WEIGHTS)
    for inner, member in zip(homes, fused.members, strict=True):
        inner.mkdir(parents=True, exist_ok=True)
        save_adapter(inner, model, member)


def load_fusion(folder: Path, model: Any) -> FusedStack:
    """Read a fusion with its adapters. Raises ModelError."""
    config = read_config(folder / FUSION_CONFIG)
    odd = next((key for key, value in dict(config.get("config") or {}).items() if value != _FUSION.get(key)), None)
    if odd is not None:
        raise ModelError(f"{folder}/{FUSION_CONFIG}: {odd} is not as AdapterFusion has it here.", _AGAIN)
    name = str(config.get("name", ""))
    names = [str(each) for each in config.get("adapter_names") or name.split(",")]
    inner = [file.parent for file in sorted((folder / "adapters").glob(f"*/{CONFIG}"))]
    folders = {read_config(each / CONFIG).get("name"): each for each in inner}
    missing = next((each for each in names if each not in folders), None)
    if missing is not None:
        raise ModelError(f"{folder}: the adapter {missing!r}, which is fused, is missing in adapters/.", _AGAIN)
    _check_base(folder, model, config)
    fused = FusedStack(model, [load_adapter_files(folders[each], model) for each in names])
    parameters = dict(_fusion_parameters(fused, family_of(model), name))
    _fill(*_read_weights(folder, (SAFE_FUSION_WEIGHTS, FUSION_WEIGHTS)), model, config, parameters)
    return fused


def read_config(path: Path) -> dict[str, Any]:
    """Read adapter_config.json or one of its kin. Raises ModelError."""
    try:
        config = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ModelError(
            f"{path.parent}: has no {path.name}.", "It is not an adapter that `adapters` reads."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is not valid JSON: {error}.", _AGAIN) from error
    if not isinstance(config, dict):
        raise ModelError(f"{path}: is not a JSON object.", _AGAIN)
    return config


def _write_config(path: Path, model: Any, **more: Any) -> None:
    settings = {
        "hidden_size": model.config.hidden_size,
        "model_class": type(model).__name__,
        "model_name": model.config.name_or_path,
        "model_type": model.config.model_type,
        "version": VERSION,
        **more,
    }
    path.write_text(json.dumps(settings, indent=2, sort_keys=True), "utf-8")


def _prefix(model: Any) -> str:
    """Return what the names of weights begin with: that of the base model in a model with a head."""
    base = base_of(model)
    return next((f"{name}." for name, module in model.named_children() if module is base), "")


def _parameters(stack: AdapterStack, family: Family, name: str) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the stacked parameters with their names in a file, in the order of layers."""
    for key, module in stack.bottlenecks.items():
        yield from _named(f"{family.layers}.{key}.{family.bottleneck}.adapters.{name}.", module)
    for key in stack.queries or stack.values:
        for places, path in ((stack.queries, family.queries), (stack.values, family.values)):
            if key in places:
                yield from _named(f"{family.layers}.{key}.{path}.loras.{name}.", places[key])
    if stack.coupling is not None:
        yield from _named(f"invertible_adapters.{name}.", stack.coupling)


def _fusion_parameters(fused: FusedStack, family: Family, name: str) -> Iterator[tuple[str, nn.Parameter]]:
    for key, module in fused.fusions.items():
        yield from _named(f"{family.layers}.{key}.{family.bottleneck}.adapter_fusion_layer.{name}.", module)


def _named(prefix: str, module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    for name, parameter in module.named_parameters():
        yield prefix + name, parameter


@torch.no_grad()
def _fill(
    path: Path,
    weights: Mapping[str, Tensor],
    model: Any,
    config: Mapping[str, Any],
    parameters: Mapping[str, nn.Parameter],
) -> None:
    """Copy the weights of a file into parameters. Raises ModelError where one is missing or of another shape."""
    own_base = _own_base(config)
    found = {name: value for stored, value in weights.items() for name in parameters if _is(stored, name)}
    for name, parameter in parameters.items():
        value = found.get(name)
        if value is None:
            raise ModelError(f"{path}: lacks {name}.", own_base)
        held = parameter[0] if parameter.ndim > value.ndim else parameter
        if held.shape != value.shape:
            raise ModelError(
                f"{path}: {name} has the shape {tuple(value.shape)}, not {tuple(held.shape)}.",
                own_base,
            )
        if not value.isfinite().all():
            raise ModelError(f"{path}: {name} holds what is not a number.", _AGAIN)
        held.copy_(value)
    more = sorted(stored for stored in weights if not any(_is(stored, name) for name in parameters))
    if more:
        deeper = f"{family_of(model).layers}." in more[0] and set(parameters) <= set(found)
        raise ModelError(
            f"{path}: holds {more[0]}, which is no weight of this adapter.", own_base if deeper else _AGAIN
        )


def _is(stored: str, name: str) -> bool:
    """Return whether a weight in a file is that of this name in the base model; its own model may have had a head."""
    return stored == name or stored.endswith(f".{name}")


def _read_weights(folder: Path, files: tuple[str, str]) -> tuple[Path, dict[str, Tensor]]:
    safe, pickled = (folder / name for name in files)
    try:
        if safe.is_file():
            return safe, load_file(safe)
        return pickled, dict(torch.load(pickled, map_location="cpu", weights_only=True))
    except (OSError, SafetensorError, ValueError, RuntimeError, EOFError, KeyError, TypeError) as error:
        path = safe if safe.is_file() else pickled
        told = one_line(error, 200)
        raise ModelError(f"{path}: cannot be read: {told}.", _AGAIN) from error
    except Exception as error:  # torch raises what pickle raises: UnpicklingError, AttributeError and others
        raise ModelError(f"{pickled}: cannot be read as weights: {type(error).__name__}.", _AGAIN) from error
