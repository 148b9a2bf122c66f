"""How to call a model, and a check that its predictions depend on neither padding nor, in a decoder, later tokens."""

import inspect
import math
from typing import Any

import torch

from lrldata.errors import ModelError

SUITABLE = "Use an encoder such as FacebookAI/xlm-roberta-base or a decoder of the LLaMA family."
TOLERANCE = 0.01  # of the largest logit


def accepts_argument(model: Any, argument: str) -> bool:
    """Return whether a model's forward pass accepts an argument."""
    return argument in inspect.signature(model.forward).parameters


def no_cache(model: Any) -> dict[str, bool]:
    """Return arguments that keep a decoder from caching keys and values; none for an encoder."""
    return {"use_cache": False} if accepts_argument(model, "use_cache") else {}


def check_masking(name: str, model: Any, objective: str) -> None:
    """Raise ModelError if the logits of a model depend on padding, or those of a decoder on later tokens."""
    if objective == "mlm" and _reads_padding(model):
        raise ModelError(f"{name}: reads padding like text, so results would depend on the other texts.", SUITABLE)
    if objective == "clm" and _reads_ahead(model):
        raise ModelError(f"{name}: reads a text in both directions, so it cannot be used as a decoder.", SUITABLE)


@torch.inference_mode()
def _reads_ahead(model: Any) -> bool:
    """Return whether predictions depend on later tokens, as those of models for embeddings of the Gemma family do."""
    words = model.get_input_embeddings().weight.shape[0]
    beginning = [words // part for part in (5, 4, 11)]
    texts = torch.tensor([[*beginning, words // part] for part in (7, 3, 2, 17)])  # words that are surely in use
    first, *others = model(input_ids=texts, **no_cache(model)).logits[:, :-1].float()
    return any(_differ(first, other) for other in others)


@torch.inference_mode()
def _reads_padding(model: Any) -> bool:
    """Return whether predictions depend on padding, as those of FNet do, which mixes positions without a mask.

    In half precision, the logits of texts of another length also differ by rounding. Only what stands at the masked
    positions, in texts of one length, is compared then.
    """
    if not accepts_argument(model, "attention_mask"):
        return True
    words = model.get_input_embeddings().weight.shape[0]
    text = torch.tensor([[words // part for part in (5, 4, 11, 7, 3)]])
    padding = torch.full_like(text, getattr(model.config.get_text_config(), "pad_token_id", None) or 0)
    mask = torch.cat([torch.ones_like(text), torch.zeros_like(text)], dim=1)

    def followed_by(rest: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = model(input_ids=torch.cat([text, rest], dim=1), attention_mask=mask).logits
        return logits[:, : text.shape[1]].float()

    other = model(input_ids=text).logits if model.dtype == torch.float32 else followed_by(text.flip(1))
    return _differ(followed_by(padding), other)


def _differ(logits: torch.Tensor, others: torch.Tensor) -> bool:
    most = float((logits - others).abs().max())
    return math.isfinite(most) and most > TOLERANCE * float(logits.abs().max())
