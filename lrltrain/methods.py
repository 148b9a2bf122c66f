"""Methods for adapting a base model: several kinds of adapters, fusion and full fine-tuning."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lrldata.errors import ModelError, TrainingError
from lrldata.manifest import made_with
from lrldata.output import note
from lrltrain.artifact import open_adapter, refuse_replaced
from lrltrain.config import FitConfig
from lrltrain.models import Base, load_model, load_tokenizer
from lrltrain.modules.files import load_adapter_files, load_fusion
from lrltrain.modules.insert import AdapterStack, FusedStack, insert
from lrltrain.modules.reference import output_differs
from lrltrain.modules.settings import Bottlenecks, LowRanks, Settings
from lrltrain.training.corpus import tokenizer_fingerprint

PERTURBATION = 0.1
READERS = ("transformers", "tokenizers")


@dataclass(frozen=True)
class AttachedMethod:
    """The trained parameters of a model, with names: those of a stack of adapters, a fusion, or the whole model.

    `stack` is None for the whole model. `penalty` computes a term that is added to the loss.
    """

    parameters: list[tuple[str, nn.Parameter]]
    stack: AdapterStack | FusedStack | None = None
    penalty: Callable[[], Tensor] | None = None


def settings_of(config: FitConfig) -> Settings:
    """Return the settings of a method's adapters.

    These are a bottleneck after each layer's feed-forward block (Pfeiffer et al. 2020), the same with an invertible
    adapter at the embeddings (MAD-X, with NICE), or LoRA on queries and values (Hu et al. 2021).
    """
    if config.method == "lora":
        return LowRanks(rank=config.lora_r, alpha=config.lora_alpha)
    return Bottlenecks(reduction_factor=config.reduction_factor, invertible=config.method == "seq_bn_inv")


def attach(model: Any, config: FitConfig, names: Sequence[str], seeds: Sequence[int]) -> AttachedMethod:
    """Insert adapters with these names into the model, each initialized from its seed, and freeze everything else.

    `full` trains the model itself; `fusion` loads the adapters of `config.adapters` and trains an AdapterFusion over
    them (Pfeiffer et al. 2021). Raises ModelError if the model's family is not supported.
    """
    if config.method == "full":
        if getattr(model, "is_quantized", False) or not all(value.is_floating_point() for value in model.parameters()):
            raise ModelError(
                f"{model.config.name_or_path}: its weights are quantized, so they cannot be trained.",
                "Use the unquantized model, or --method lora.",
            )
        model.requires_grad_(True)
        return AttachedMethod(list(model.named_parameters()))
    model.requires_grad_(False)
    if config.method == "fusion":
        members = [_member(model, folder, number, config) for number, folder in enumerate(config.adapters)]
        fused = FusedStack(model, members)
        fused.initialize(seeds[0])
        if config.dropout is not None:
            for fusion in fused.fusions.values():
                fusion.dropout.p = config.dropout
        fused.members.requires_grad_(False)
        insert(model, fused)
        return AttachedMethod(list(fused.fusions.named_parameters()), fused, fused.penalty)
    stack = AdapterStack(model, settings_of(config), names)
    for number, seed in enumerate(seeds):
        stack.initialize(seed, number)
    insert(model, stack)
    parameters = list(stack.named_parameters())
    if not parameters:
        raise TrainingError(
            f"nothing to train: {config.method} adds no parameters to this base model.", "Try another --method."
        )
    return AttachedMethod(parameters, stack)


def _member(model: Any, folder: Path, number: int, config: FitConfig) -> AdapterStack:
    """Load an adapter to be fused, without its invertible part if the settings say so.

    Its name has the language, because one model may hold the adapters of several fusions, and the number, because two
    of them may share a name.
    """
    name = f"{open_adapter(folder)['name']}_{number}".replace("-", "_")
    member = load_adapter_files(folder, model, name)
    if config.fuse_invertible == "none" and isinstance(member.settings, Bottlenecks):
        member.coupling = None
        member.settings = replace(member.settings, invertible=False)  # saved with the adapter
    return member


def fused_invertible(config: FitConfig) -> str | None:
    """Return the name of the fused adapter whose invertible part is used; `adapters` uses only the first one's."""
    first = open_adapter(config.adapters[0])
    is_used = config.fuse_invertible == "first" and first["method"] == "seq_bn_inv"
    return str(first["name"]) if is_used else None


def check_base(folder: Path, manifest: Mapping[str, Any], base: Base) -> None:
    """Raise ModelError unless an adapter was trained on this base model and with its tokenizer."""
    trained_on = manifest["base"]
    required, actual = (
        (trained_on.get("content"), base.content) if base.content else (trained_on.get("revision"), base.revision)
    )
    if trained_on["id"] != base.id or not base.may_be_of(manifest):
        raise ModelError(
            f"{folder}: was trained on {trained_on['id']} ({required}), not on {base.id} ({actual}).",
            "Give its base model with --base and --base-revision, or with --model and --model-revision for prompts.",
        )
    same_files = trained_on.get("reading") == base.reading if base.reading else required and required == actual
    fingerprint = manifest.get("tokenizer")
    if same_files or not fingerprint or fingerprint == _tokenizer_of(base):
        return
    earlier, versions = manifest.get("made_with", {}), made_with(*READERS)
    if any(earlier.get(name) != versions[name] for name in READERS):  # which may serialize it differently
        note(f"{folder}: made with another version of {' or '.join(READERS)}, so its tokenizer differs.")
        return
    raise ModelError(
        f"{folder}: was trained with another tokenizer than {base.id} has here ({fingerprint[:12]}, now "
        f"{_tokenizer_of(base)[:12]}), so its weights expect other token ids.",
        "Restore the base model's original tokenizer, or train the adapter again.",
    )


@cache
def _tokenizer_of(base: Base) -> str:
    return tokenizer_fingerprint(load_tokenizer(base))


def load_adapted(folder: Path, manifest: Mapping[str, Any], base: Base, dtype: torch.dtype = torch.float32) -> Any:
    """Load a base model with the adapter of a folder, active. Raises ModelError if the two do not match."""
    check_base(folder, manifest, base)
    if manifest["method"] == "full":
        return load_full(folder, manifest, base, dtype).eval()
    model = load_model(base, dtype)
    insert(model, load_stack(folder, manifest, model))
    return model.eval()


def load_full(folder: Path, manifest: Mapping[str, Any], base: Base, dtype: torch.dtype = torch.float32) -> Any:
    """Load the whole model of a folder written by `lrltrain fit --method full`. Raises ModelError, StorageError."""
    model = load_model(replace(base, location=str(folder), revision=None), dtype)
    refuse_replaced(folder, manifest)
    if output_differs(folder, model):
        raise ModelError(
            f"{folder}: does not compute what it computed after training.",
            f"It was made with transformers {manifest['made_with'].get('transformers')}; use that version.",
        )
    return model


def load_stack(folder: Path, manifest: Mapping[str, Any], model: Any) -> AdapterStack | FusedStack:
    """Read the adapter of a folder written by `lrltrain fit`, for a model, and freeze it.

    Raises ModelError, or StorageError if the folder no longer holds the adapter with this manifest.
    """
    stack = load_fusion(folder, model) if manifest["method"] == "fusion" else load_adapter_files(folder, model)
    refuse_replaced(folder, manifest)
    return stack.requires_grad_(False)


@torch.no_grad()
def assert_active(model: Any, attached: AttachedMethod, input_ids: torch.Tensor) -> None:
    """Check that the trained parameters affect the output: perturbing them changes the logits. Restores all weights.

    `input_ids` has shape (adapters, length). Raises TrainingError if the logits do not change.
    """
    was_training = model.training
    model.eval()
    before = model(input_ids).logits
    originals = [(parameter, parameter.clone()) for _, parameter in attached.parameters]
    generator = torch.Generator().manual_seed(0)
    for parameter, _ in originals:
        shift = torch.randn(parameter.shape, generator=generator) * PERTURBATION
        parameter.add_(shift.to(parameter.device, parameter.dtype))
    after = model(input_ids).logits
    for parameter, value in originals:
        parameter.copy_(value)
    model.train(was_training)
    if any(torch.allclose(original, perturbed, atol=1e-5) for original, perturbed in zip(before, after, strict=True)):
        raise TrainingError(
            "the adapter has no effect: changing its weights does not change the output.",
            "This method does not work with this base model; try another --method.",
        )
