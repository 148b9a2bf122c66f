"""Ways of adapting a base model: adapters of several shapes, fusion, full fine-tuning. On the library `adapters`."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import adapters
import torch
from adapters.composition import Fuse
from adapters.configuration import AdapterConfig, LoRAConfig, SeqBnConfig, SeqBnInvConfig
from adapters.model_mixin import InvertibleAdaptersMixin
from torch import nn

from lrldata.errors import ModelError, TrainingError
from lrldata.manifest import made_with
from lrldata.output import note
from lrltrain.artifact import open_adapter
from lrltrain.config import FitConfig
from lrltrain.corpus import tokenizer_fingerprint
from lrltrain.models import Base, load_model, load_tokenizer, mixed, quiet

PERTURBATION = 0.1
_READERS = ("transformers", "tokenizers")


def adapter_config(config: FitConfig) -> AdapterConfig:
    """Return the library's configuration of a method.

    A bottleneck after each layer's feed-forward block (Pfeiffer et al. 2020), the same with an invertible one at the
    embeddings (MAD-X, with NICE), or LoRA on queries and values (Hu et al. 2021).
    """
    if config.method == "seq_bn":
        return SeqBnConfig(reduction_factor=config.reduction_factor)
    if config.method == "seq_bn_inv":
        return SeqBnInvConfig(reduction_factor=config.reduction_factor)
    return LoRAConfig(r=config.lora_r, alpha=config.lora_alpha)


def attach(model: Any, name: str, config: FitConfig) -> list[str]:
    """Put the adapter called `name` into the model, active, it alone to be trained. Returns what trains, by name.

    `full` trains the model itself; `fusion` loads the adapters of `config.adapters` and trains an AdapterFusion over
    them (Pfeiffer et al. 2021). Raises ModelError where `adapters` does not know the model.
    """
    if config.method == "full":
        model.requires_grad_(True)
        return trainable(model)
    initialise(model)
    if config.method == "fusion":
        names = load_for_fusion(model, config.adapters)
        if config.fuse_invertible == "none":
            drop_inversion(model, names)
        model.add_adapter_fusion(names)
        model.set_active_adapters(Fuse(*names))
        model.train_adapter_fusion(Fuse(*names))
        intended = [f"adapter_fusion_layer.{','.join(names)}."]
    else:
        model.add_adapter(name, config=adapter_config(config))
        model.train_adapter(name)
        intended = [f"adapters.{name}.", f"loras.{name}.", f"invertible_adapters.{name}."]
    for parameter, value in model.named_parameters():
        # the library freezes the encoder alone: the head would train too, and not be saved with the adapter
        value.requires_grad_(any(part in parameter for part in intended))
    if not trainable(model):
        raise TrainingError(
            f"nothing would train: {config.method} adds no parameter to this base model.", "Try another --method."
        )
    return trainable(model)


def initialise(model: Any) -> None:
    """Make a model ready for adapters. Raises ModelError where the library does not support it.

    An invertible adapter is undone before the last projection (MAD-X, Pfeiffer et al. 2020, section 3.2.3). The library
    does so in its own heads, with which AutoAdapterModel loads what is trained here, but not in those of transformers.
    """
    try:
        adapters.init(model)
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise ModelError(
            f"{model.config.name_or_path}: `adapters` does not support models of type {model.config.model_type!r}.",
            "Its documentation lists those that it does; --method full needs no support.",
        ) from error
    if isinstance(model.base_model, InvertibleAdaptersMixin):
        model.get_output_embeddings().register_forward_pre_hook(partial(_undo_inversion, model.base_model))


def _undo_inversion(base_model: Any, _projection: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    inverse = base_model.get_invertible_adapter()  # of the active setup, as the library's own heads take it
    return None if inverse is None else (inverse(inputs[0], rev=True), *inputs[1:])


def load_for_fusion(model: Any, folders: list[Path]) -> list[str]:
    """Load adapters under the names of their folders' settings, frozen. Returns the names, in the order given."""
    names: list[str] = []
    for number, folder in enumerate(folders):
        try:
            with quiet():
                names.append(
                    model.load_adapter(str(folder), load_as=f"{folder.resolve().name}_{number}".replace("-", "_"))
                )
        except (OSError, ValueError) as error:
            raise ModelError(
                f"{folder}: no adapter that fits the base model.", "Make it with `lrltrain fit`."
            ) from error
    return names


def drop_inversion(model: Any, names: list[str]) -> None:
    """Take the invertible parts out of adapters: neither the embeddings nor the last projection see them again.

    They go from the adapters' configurations too, with which they are saved, so that whoever loads them gets the same.
    """
    for name in names:
        model.base_model.delete_invertible_adapter(name)
        loaded = model.adapters_config.get(name)
        settings = {**loaded.to_dict(), "inv_adapter": None, "inv_adapter_reduction_factor": None}
        del model.adapters_config.adapters[name]
        model.adapters_config.add(name, config=type(loaded).from_dict(settings))


def fused_invertible(config: FitConfig) -> str | None:
    """Name the adapter of a fusion whose invertible part is used: the library takes that of the first alone."""
    first = open_adapter(config.adapters[0])
    uses = config.fuse_invertible == "first" and first["method"] == "seq_bn_inv"
    return str(first["name"]) if uses else None


def check_base(folder: Path, manifest: Mapping[str, Any], base: Base) -> None:
    """Make sure that an adapter was trained on this base model, and with its tokenizer. Raises ModelError."""
    trained_on = manifest["base"]
    known, here = (
        (trained_on.get("content"), base.content) if base.content else (trained_on.get("revision"), base.revision)
    )
    if trained_on["id"] != base.id or (known and here and known != here):
        raise ModelError(
            f"{folder}: was trained on {trained_on['id']} ({known}), not on {base.id} ({here}).",
            "Give its own base model with --base, and its revision with --base-revision.",
        )
    same_files = trained_on.get("reading") == base.reading if base.reading else known and known == here
    wanted = manifest.get("tokenizer")
    if same_files or not wanted or wanted == _tokenizer_of(base):
        return
    own, now = manifest.get("made_with", {}), made_with(*_READERS)
    if any(own.get(name) != now[name] for name in _READERS):  # which may write down one tokenizer in two ways
        note(f"note: {folder}: made with another version of {' or '.join(_READERS)}, by which its tokenizer differs.")
        return
    raise ModelError(
        f"{folder}: was trained with another tokenizer than {base.id} has here ({wanted[:12]}, now "
        f"{_tokenizer_of(base)[:12]}): its weights mean other tokens.",
        "Give the base model its own tokenizer back, or train the adapter again.",
    )


@cache
def _tokenizer_of(base: Base) -> str:
    return tokenizer_fingerprint(load_tokenizer(base))


def load_adapted(folder: Path, manifest: Mapping[str, Any], base: Base, dtype: torch.dtype = torch.float32) -> Any:
    """Load a base model with the adapter of a folder, active. Raises ModelError where they do not belong together."""
    check_base(folder, manifest, base)
    if manifest["method"] == "full":
        return load_model(replace(base, location=str(folder), revision=None), dtype).eval()
    model = load_model(base, dtype)
    initialise(model)
    with quiet():
        if manifest["method"] == "fusion":
            for each in sorted((folder / "adapters").iterdir()):
                model.load_adapter(str(each))
            model.load_adapter_fusion(str(folder), set_active=True)
        else:
            model.load_adapter(str(folder), set_active=True)
    return model.eval()


def trainable(model: nn.Module) -> list[str]:
    """Name the parameters that train."""
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


@torch.no_grad()
def assert_active(model: Any, input_ids: torch.Tensor) -> None:
    """Make sure that what trains has a say in the output: logits differ when it is perturbed. Restores all weights.

    `input_ids` of shape (1, length). Raises TrainingError.
    """
    was_training = model.training
    model.eval()
    with mixed(model):
        before = model(input_ids).logits
    kept = [(parameter, parameter.clone()) for parameter in model.parameters() if parameter.requires_grad]
    noise = torch.Generator().manual_seed(0)
    for parameter, _ in kept:
        shift = torch.randn(parameter.shape, generator=noise) * PERTURBATION
        parameter.add_(shift.to(parameter.device, parameter.dtype))
    with mixed(model):  # anew, for autocast keeps the weights that it has cast
        after = model(input_ids).logits
    for parameter, value in kept:
        parameter.copy_(value)
    model.train(was_training)
    if torch.allclose(before, after, atol=1e-5):
        raise TrainingError(
            "the adapter is not active: the output does not change with its weights.",
            "This base model does not work with this method; try another --method.",
        )
