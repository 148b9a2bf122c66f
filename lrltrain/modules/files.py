"""Read and write the files of `adapters`: adapter_config.json, pytorch_adapter.bin and adapter.safetensors. IO."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lrldata.errors import ModelError, one_line
from lrldata.paths import inside
from lrltrain.modules.families import Family, base_of, family_of, text_config
from lrltrain.modules.insert import AdapterStack, FusedStack
from lrltrain.modules.peft import FOLDER as PEFT
from lrltrain.modules.peft import save_peft
from lrltrain.modules.settings import VERSION, LowRanks, Settings, read_settings
from lrltrain.tensors import write_tensors

CONFIG, WEIGHTS, SAFE_WEIGHTS = "adapter_config.json", "pytorch_adapter.bin", "adapter.safetensors"
FUSION_CONFIG, FUSION_WEIGHTS = "adapter_fusion_config.json", "pytorch_model_adapter_fusion.bin"
SAFE_FUSION_WEIGHTS = "model_adapter_fusion.safetensors"
_FUSION = {  # what `adapters` writes for its dynamic AdapterFusion, the only kind that is implemented here
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
_RESTORE = "Download it again, or train it again with `lrltrain fit`."


def save_adapter(folder: Path, model: Any, stack: AdapterStack) -> None:
    """Write a single adapter in both weight formats, and LoRA also for PEFT; the folder must exist."""
    (name,) = stack.names
    settings, base = stack.settings.as_json(), _base_id(model, stack)
    _write_config(folder / CONFIG, model, name=name, config=settings, model_name=base)
    prefix = _prefix(model)
    weights = {
        prefix + key: parameter[0].detach().cpu().clone()
        for key, parameter in _parameters(stack, family_of(model), name)
    }
    write_tensors(weights, folder / SAFE_WEIGHTS)
    torch.save(weights, folder / WEIGHTS)
    if isinstance(stack.settings, LowRanks):
        save_peft(folder / PEFT, model, base, prefix, stack)


def _base_id(model: Any, stack: AdapterStack) -> str:
    """Return the id of the base model: as in the files that an adapter was read from, if the model is in a folder."""
    name = str(model.config.name_or_path)
    return stack.base_id if stack.base_id and Path(name).is_dir() else name


def load_adapter_files(folder: Path, model: Any, name: str | None = None) -> AdapterStack:
    """Read an adapter from a folder, for `insert`, under its own name or `name`. Raises ModelError."""
    config = read_config(folder / CONFIG)
    stored_name = str(config.get("name", ""))
    settings = read_settings(config.get("config"), f"{folder}/{CONFIG}")
    _check_model(folder, model, config)
    path, weights = _read_weights(folder, (SAFE_WEIGHTS, WEIGHTS))
    _check_size(path, weights, settings, int(text_config(model).hidden_size))
    stack = AdapterStack(model, settings, [name or stored_name])
    stack.base_id = str(config.get("model_name") or "")
    _fill(path, weights, model, config, dict(_parameters(stack, family_of(model), stored_name)))
    return stack


def _base_hint(config: Mapping[str, Any]) -> str:
    return f"Use the base model that it was trained on, {config.get('model_name')}."


def _check_model(folder: Path, model: Any, config: Mapping[str, Any]) -> None:
    """Raise ModelError if an adapter was trained in a model of another type or hidden size."""
    hint = _base_hint(config)
    kind, actual_kind = config.get("model_type"), text_config(model).model_type
    if kind not in (None, actual_kind):
        raise ModelError(
            f"{folder}: was trained in a model of type {kind}, but this one is of type {actual_kind}.", hint
        )
    hidden, actual_hidden = config.get("hidden_size"), text_config(model).hidden_size
    if hidden != actual_hidden:
        raise ModelError(
            f"{folder}: was trained in a model of hidden size {hidden}, but this one has {actual_hidden}.",
            hint,
        )


def _check_size(path: Path, weights: Mapping[str, Tensor], settings: Settings, hidden: int) -> None:
    """Raise ModelError, before memory is allocated, if a single matrix would have more weights than the file holds."""
    if isinstance(settings, LowRanks):
        width: float = settings.rank
    else:
        width = hidden / settings.reduction_factor
        if settings.invertible:
            width = max(width, hidden / 2 / settings.invertible_reduction_factor)
    if width * (hidden // 2) > sum(value.numel() for value in weights.values()):
        raise ModelError(f"{path}: lacks weights: according to {CONFIG}, its layers have width {width:,.0f}.", _RESTORE)


def save_fusion(folder: Path, model: Any, fused: FusedStack) -> None:
    """Write the fusion's own weights, and each of its adapters to adapters/NAME."""
    folders = [inside(folder, f"adapters/{name}") for name in fused.names]  # raises an error before anything is written
    name = ",".join(fused.names)
    base = _base_id(model, fused.members[0])
    _write_config(folder / FUSION_CONFIG, model, name=name, adapter_names=fused.names, config=_FUSION, model_name=base)
    prefix = _prefix(model)
    weights = {
        prefix + key: parameter[0].detach().cpu().clone()
        for key, parameter in _fusion_parameters(fused, family_of(model), name)
    }
    write_tensors(weights, folder / SAFE_FUSION_WEIGHTS)
    torch.save(weights, folder / FUSION_WEIGHTS)
    for member_folder, member in zip(folders, fused.members, strict=True):
        member_folder.mkdir(parents=True, exist_ok=True)
        save_adapter(member_folder, model, member)


def load_fusion(folder: Path, model: Any) -> FusedStack:
    """Read a fusion and its adapters. Raises ModelError."""
    config = read_config(folder / FUSION_CONFIG)
    unsupported = next(
        (key for key, value in dict(config.get("config") or {}).items() if value != _FUSION.get(key)), None
    )
    if unsupported is not None:
        raise ModelError(f"{folder}/{FUSION_CONFIG}: {unsupported} has a value that is not supported here.", _RESTORE)
    name = str(config.get("name", ""))
    names = [str(member) for member in config.get("adapter_names") or name.split(",")]
    member_folders = [file.parent for file in sorted((folder / "adapters").glob(f"*/{CONFIG}"))]
    folders = {read_config(path / CONFIG).get("name"): path for path in member_folders}
    missing = next((member for member in names if member not in folders), None)
    if missing is not None:
        raise ModelError(f"{folder}: the fused adapter {missing!r} is missing in adapters/.", _RESTORE)
    _check_model(folder, model, config)
    fused = FusedStack(model, [load_adapter_files(folders[member], model) for member in names])
    parameters = dict(_fusion_parameters(fused, family_of(model), name))
    _fill(*_read_weights(folder, (SAFE_FUSION_WEIGHTS, FUSION_WEIGHTS)), model, config, parameters)
    return fused


def read_config(path: Path) -> dict[str, Any]:
    """Read adapter_config.json, adapter_fusion_config.json or a manifest. Raises ModelError."""
    try:
        config = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ModelError(
            f"{path.parent}: has no {path.name}.", "It is not an adapter in the format of `adapters`."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is not valid JSON: {error}.", _RESTORE) from error
    if not isinstance(config, dict):
        raise ModelError(f"{path}: is not a JSON object.", _RESTORE)
    return config


def _write_config(path: Path, model: Any, **fields: Any) -> None:
    settings = {
        "hidden_size": text_config(model).hidden_size,
        "model_class": type(model).__name__,
        "model_name": model.config.name_or_path,
        "model_type": text_config(model).model_type,
        "version": VERSION,
        **fields,
    }
    path.write_text(json.dumps(settings, indent=2, sort_keys=True), "utf-8")


def _prefix(model: Any) -> str:
    """Return the prefix of weight names: the name of the base model if the model has a head, else an empty string."""
    base = base_of(model)
    return next((f"{name}." for name, module in model.named_modules() if name and module is base), "")


def _parameters(stack: AdapterStack, family: Family, name: str) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the stacked parameters with their names in files, in the order of layers."""
    for key, module in stack.bottlenecks.items():
        yield from _named(f"{family.layers}.{key}.{family.bottleneck}.adapters.{name}.", module)
    for key in stack.queries or stack.values:
        for by_layer, path in ((stack.queries, family.queries), (stack.values, family.values)):
            if key in by_layer:
                yield from _named(f"{family.layers}.{key}.{path}.loras.{name}.", by_layer[key])
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
    """Copy the weights of a file into parameters. Raises ModelError if one is missing, unknown or of another shape."""
    hint = _base_hint(config)
    stored_weights = {name: value for stored, value in weights.items() for name in parameters if _matches(stored, name)}
    for name, parameter in parameters.items():
        value = stored_weights.get(name)
        if value is None:
            raise ModelError(f"{path}: lacks {name}.", hint)
        target = parameter[0] if parameter.ndim > value.ndim else parameter
        if target.shape != value.shape:
            raise ModelError(
                f"{path}: {name} has the shape {tuple(value.shape)}, not {tuple(target.shape)}.",
                hint,
            )
        if not value.isfinite().all():
            raise ModelError(f"{path}: {name} contains values that are not finite.", _RESTORE)
        target.copy_(value)
    unknown = sorted(stored for stored in weights if not any(_matches(stored, name) for name in parameters))
    if unknown:
        is_deeper = f"{family_of(model).layers}." in unknown[0] and set(parameters) <= set(stored_weights)
        raise ModelError(
            f"{path}: contains {unknown[0]}, which is not a weight of this adapter.",
            hint if is_deeper else _RESTORE,
        )


def _matches(stored: str, name: str) -> bool:
    """Return whether a stored weight has this name in the base model; the file's model may have had a head."""
    return stored == name or stored.endswith(f".{name}")


def _read_weights(folder: Path, files: tuple[str, str]) -> tuple[Path, dict[str, Tensor]]:
    safe, pickled = (folder / name for name in files)
    try:
        if safe.is_file():
            return safe, load_file(safe)
        return pickled, dict(torch.load(pickled, map_location="cpu", weights_only=True))
    except (OSError, SafetensorError, ValueError, RuntimeError, EOFError, KeyError, TypeError) as error:
        path = safe if safe.is_file() else pickled
        reason = one_line(error, 200)
        raise ModelError(f"{path}: cannot be read: {reason}.", _RESTORE) from error
    except Exception as error:  # torch passes on the errors of pickle: UnpicklingError, AttributeError and others
        raise ModelError(f"{pickled}: cannot be read as weights: {type(error).__name__}.", _RESTORE) from error
