"""Write LoRA in the file format of the library PEFT, which vLLM, TGI and llama.cpp also read. IO."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lrltrain.modules.families import Family, family_of
from lrltrain.modules.insert import AdapterStack
from lrltrain.modules.settings import LowRanks
from lrltrain.modules.stacks import JoinedLowRank
from lrltrain.tensors import write_tensors

FOLDER = "peft"  # a subfolder of the adapter's, as both formats have an adapter_config.json
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def save_peft(folder: Path, model: Any, base: str, prefix: str, stack: AdapterStack) -> None:
    """Write a single LoRA in PEFT's format; `prefix` is that of the base model's weight names in `model`.

    `base` is the id of the base model.

    PEFT has a single update for a matrix that produces queries, keys and values; its part for the keys is zero. Raises
    TypeError for a stack of bottlenecks.
    """
    if not isinstance(stack.settings, LowRanks):
        raise TypeError("PEFT does not support bottlenecks.")
    family, weights = family_of(model), dict[str, Tensor]()
    for by_layer, path in ((stack.queries, family.queries), (stack.values, family.values)):
        for key, module in by_layer.items():
            low, high = module.lora_A[0].detach().cpu(), module.lora_B[0].detach().cpu()
            if isinstance(module, JoinedLowRank):
                high = _block_matrix(module, high)
            name = f"base_model.model.{prefix}{family.layers}.{key}.{path}"
            weights |= {f"{name}.lora_A.weight": low.clone(), f"{name}.lora_B.weight": high.contiguous().clone()}
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(weights, folder / WEIGHTS, {"format": "pt"})
    config = _config(model, stack.settings, family, len(stack.queries or stack.values))
    (folder / CONFIG).write_text(json.dumps({"base_model_name_or_path": base, **config}, indent=2), "utf-8")


def _block_matrix(module: JoinedLowRank, high: Tensor) -> Tensor:
    """Return B (out, parts * r), block by block, so that one product computes each part from its own rows of A."""
    parts = iter(high.split(module.size))
    combined = torch.zeros(len(module.changed) * module.size, sum(module.changed) * module.rank)
    column = 0
    for part, changed in enumerate(module.changed):
        if changed:
            rows = slice(part * module.size, (part + 1) * module.size)
            combined[rows, column : column + module.rank] = next(parts)
            column += module.rank
    return combined


def _config(model: Any, settings: LowRanks, family: Family, layers: int) -> dict[str, Any]:
    paths = {key: path for key, path in (("q", family.queries), ("v", family.values)) if key in settings.matrices}
    parts = len(settings.matrices) if family.joined else 1  # keeps alpha / r, as r is multiplied too
    excluded = set(settings.leave_out)
    layer_numbers = [number for number in range(layers + len(excluded)) if number not in excluded] if excluded else None
    return {
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "layers_pattern": family.layers.rpartition(".")[2] if excluded else None,
        "layers_to_transform": layer_numbers,
        "lora_alpha": settings.alpha * parts,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": settings.rank * parts,
        "target_modules": sorted({path.rpartition(".")[2] for path in paths.values()}),
        "task_type": "CAUSAL_LM" if type(model).__name__.endswith("ForCausalLM") else None,
    }
