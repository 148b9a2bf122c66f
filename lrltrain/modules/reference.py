"""Compare a model's output with that after training, which reference.safetensors of an adapter's folder holds. IO."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

REFERENCE = "reference.safetensors"
OTHER = 0.5  # share of the logits' spread: half precision causes a few hundredths of it, other weights all of it


@torch.no_grad()
def output_differs(folder: Path, model: Any) -> bool:
    """Return whether the logits differ from those after training; False if that cannot be determined.

    This is the case without a reference, without a language modelling head, and in training mode.
    """
    file = folder / REFERENCE
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if not file.is_file() or head is None or model.training or next(model.parameters()).is_meta:
        return False
    try:
        tensors = load_file(file)
        ids, words, expected = tensors["input_ids"], tensors["words"], tensors["logits"]
    except (OSError, SafetensorError, KeyError):
        return False  # a damaged or old reference; only the weights matter
    rows = model.get_input_embeddings().weight.shape[0]
    if int(ids.max()) >= rows or int(words.max()) >= rows:
        return True
    logits = getattr(model(input_ids=ids.to(model.device)), "logits", None)
    if logits is None or logits.ndim != expected.ndim or logits.shape[-1] <= int(words.max()):
        return False
    difference = logits[..., words.to(logits.device)].float().cpu() - expected
    return bool(difference.square().mean().sqrt() > OTHER * expected.std())
