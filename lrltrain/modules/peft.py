"""LoRA in the files of the library PEFT, which vLLM, TGI and llama.cpp read as well. IO."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from lrltrain.modules.families import Family, family_of
from lrltrain.modules.insert import AdapterStack
from lrltrain.modules.settings import LowRanks
from lrltrain.modules.stacks import JoinedLowRank

FOLDER = "peft"  # within that of an adapter, as both formats have an adapter_config.json
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def save_peft(folder: Path, model: Any, prefix: str, stack: AdapterStack, number: int = 0) -> None:
    """Write one LoRA of a stack as PEFT has it; `prefix` is what the base model's weights begin with in `model`.

    A matrix that gives queries, keys and values has one change of all three there, which is zero for the keys.
    """
    if not isinstance(stack.settings, LowRanks):
        raise TypeError("PEFT has no bottlenecks in these places.")
    family, weights = family_of(model), dict[str, Tensor]()
    for places, path in ((stack.queries, family.queries), (stack.values, family.values)):
        for key, module in places.items():
            low, high = module.lora_A[number].detach().cpu(), module.lora_B[number].detach().cpu()
            if isinstance(module, JoinedLowRank):
                high = _apart(module, high)
            begin = f"base_model.model.{prefix}{family.layers}.{key}.{path}"
            weights |= {f"{begin}.lora_A.weight": low.clone(), f"{begin}.lora_B.weight": high.contiguous().clone()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / WEIGHTS, {"format": "pt"})
    written = json.dumps(_config(model, stack.settings, family, len(stack.queries or stack.values)), indent=2)
    (folder / CONFIG).write_text(written, "utf-8")


def _apart(module: JoinedLowRank, high: Tensor) -> Tensor:
    """Return B (out, parts * r) with which one product gives the changes of all parts, each from its own rows of A."""
    parts = iter(high.split(module.size))
    whole = torch.zeros(len(module.changed) * module.size, sum(module.changed) * module.rank)
    column = 0
    for place, changed in enumerate(module.changed):
        if changed:
            rows = slice(place * module.size, (place + 1) * module.size)
            whole[rows, column : column + module.rank] = next(parts)
            column += module.rank
    return whole


def _config(model: Any, settings: LowRanks, family: Family, layers: int) -> dict[str, Any]:
    paths = {key: path for key, path in (("q", family.queries), ("v", family.values)) if key in settings.matrices}
    times = len(settings.matrices) if family.joined else 1  # what is scaled by alpha / r
    left_out = set(settings.leave_out)
    here = [number for number in range(layers + len(left_out)) if number not in left_out] if left_out else None
    return {
        "base_model_name_or_path": model.config.name_or_path,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "layers_pattern": family.layers.rpartition(".")[2] if left_out else None,
        "layers_to_transform": here,
        "lora_alpha": settings.alpha * times,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": settings.rank * times,
        "target_modules": sorted({path.rpartition(".")[2] for path in paths.values()}),
        "task_type": "CAUSAL_LM" if type(model).__name__.endswith("ForCausalLM") else None,
    }
