"""Whether a model with an adapter says what it said right after training, by the folder's reference.safetensors. IO."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

REFERENCE = "reference.safetensors"
OTHER = 0.5  # of the spread of the logits: halves explain some hundredths of it, other weights all of it


@torch.no_grad()
def says_otherwise(folder: Path, model: Any) -> bool:
    """Return whether the logits are others than those of training; False where that cannot be told.

    That is without a reference, of a model without a language modelling head, and of one that is being trained.
    """
    file = folder / REFERENCE
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if not file.is_file() or head is None or model.training or next(model.parameters()).is_meta:
        return False
    try:
        held = load_file(file)
        ids, words, expected = held["input_ids"], held["words"], held["logits"]
    except (OSError, SafetensorError, KeyError):
        return False  # a card or manifest of old; the weights are what counts
    rows = model.get_input_embeddings().weight.shape[0]
    if int(ids.max()) >= rows or int(words.max()) >= rows:
        return True
    logits = getattr(model(input_ids=ids.to(model.device)), "logits", None)
    if logits is None or logits.ndim != expected.ndim or logits.shape[-1] <= int(words.max()):
        return False
    apart = logits[..., words.to(logits.device)].float().cpu() - expected
    return bool(apart.square().mean().sqrt() > OTHER * expected.std())
