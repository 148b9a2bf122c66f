"""How a model is told which tokens of a row see each other, and that each segment begins at its first position.

Models differ in this, and nothing in their interface says how. So it is tried out: two segments in one row must give
the logits that each gives alone. A mask of what sees what stands for all layers. Where some see a window alone (as in
Gemma, Mistral and ModernBERT) and segments are longer than it, the model must take a mask for each kind of layer.
"""

from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, Literal

import torch
from torch import Tensor

from lrltrain.config import Objective

Form = Literal["added", "ones"]
SAME = 1e-3  # relative difference of logits in fp32; other attention kernels add up in another order
NOISE = 1e-6  # of the same numbers added up in another order, in fp32
SHARE = 0.5  # of the difference that segments make which see each other


@dataclass(frozen=True)
class PackedAttention:
    """What turns the tensors of a `Batch` into the inputs of a model.

    `first_position` is the position id of a segment's first token (2 in XLM-R, 0 in BERT); None where the model cannot
    keep segments apart, and is left to number its positions itself. `mask` is the form in which the model takes what
    sees what: `added` to the scores, (rows, 1, length, length), or as ones and zeros, (rows, length, length). With a
    `reach`, layers with a window are given a mask of their own: what is at most so many tokens away.
    """

    objective: Objective
    first_position: int | None = None
    mask: Form = "added"
    dtype: torch.dtype = torch.float32
    reach: int | None = None

    @property
    def separates_segments(self) -> bool:
        """Return whether the model can keep the segments of a row apart."""
        return self.first_position is not None

    def inputs(self, batch: dict[str, Tensor]) -> dict[str, Any]:
        """Return the keyword arguments for the model, on the device of the batch."""
        segments = batch["segments"]
        if self.first_position is None:
            return {"input_ids": batch["input_ids"], "attention_mask": (segments != 0).long()}
        seen = segments[:, :, None] == segments[:, None, :]  # padding sees padding, so that no row is without any
        if self.objective == "clm":
            length = segments.shape[1]
            seen = seen & torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
        mask: Any = self._in_form(seen)
        if self.reach is not None:
            far = (batch["position_ids"][:, :, None] - batch["position_ids"][:, None, :]).abs() > self.reach
            mask = {"full_attention": mask, "sliding_attention": self._in_form(seen & ~far)}
        return {
            "input_ids": batch["input_ids"],
            "attention_mask": mask,
            "position_ids": batch["position_ids"] + self.first_position,
        }

    def _in_form(self, seen: Tensor) -> Tensor:
        if self.mask == "ones":
            return seen.to(self.dtype)
        hidden = torch.full((), torch.finfo(self.dtype).min, dtype=self.dtype, device=seen.device)
        return torch.where(seen, torch.zeros_like(hidden), hidden)[:, None]


@torch.no_grad()
def probe_packing(model: Any, objective: Objective, vocabulary: int, longest: int = 0) -> PackedAttention:
    """Try out how `model` keeps the segments of a row apart; where it cannot, `first_position` is None.

    `longest` is how many tokens a segment may have.
    """
    was_training = model.training
    model.eval()
    first = next(model.parameters())
    window, reach = window_of(model.config), None
    if longest > window:  # which the model's own masks keep to, and ours must too
        reach = int(window) - (objective == "clm")
    sizes = (7, 4) if reach is None else (int(window) + 7, 4)
    one, two = (torch.arange(5, 5 + size, device=first.device) % vocabulary for size in sizes)
    alone = torch.cat([model(input_ids=piece[None]).logits[0] for piece in (one, two)])
    batch = {
        "input_ids": torch.cat([one, two])[None],
        "segments": torch.tensor([[1] * len(one) + [2] * len(two)], device=first.device),
        "position_ids": torch.cat([torch.arange(len(one)), torch.arange(len(two))])[None].to(first.device),
    }
    sizes_of = model.config.get_text_config()
    behind = (sizes_of.pad_token_id or 0) + 1  # where RoBERTa's positions begin
    reads = behind + len(one) <= (getattr(sizes_of, "max_position_embeddings", None) or 0)
    forms: tuple[Form, ...] = ("added",) if objective == "clm" else ("added", "ones")
    begins = (0, behind) if reads else (0,)  # a GPU does not get over an index beyond a table
    ways = [PackedAttention(objective, begin, form, first.dtype, reach) for form in forms for begin in begins]
    joined = PackedAttention(objective, dtype=first.dtype)
    tried = [(_difference(model, way, batch, alone), way) for way in ways]
    least = min((difference for difference, _ in tried), default=inf)
    # In halves, kernels differ by more than a few logits show: what counts is how little segments see of each other.
    most = SHARE * _difference(model, joined, batch, alone)
    most = min(most, SAME) if first.dtype == torch.float32 else most
    model.train(was_training)
    return next((way for difference, way in tried if difference <= min(most, 2 * least + NOISE)), joined)


def _difference(model: Any, way: PackedAttention, batch: dict[str, Tensor], alone: Tensor) -> float:
    """Return the root mean square of the differences to logits of segments alone, relative to theirs.

    Infinity where the model does not take such inputs.
    """
    try:
        logits = model(**way.inputs(batch)).logits[0].float()
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError, KeyError, AssertionError):
        return inf
    difference = ((logits - alone.float()).square().mean() / alone.float().square().mean()).sqrt().item()
    return difference if isfinite(difference) else inf


def window_of(config: Any) -> float:
    """Return how many tokens of a text all layers see of each other; infinity where no layer has a window.

    In an encoder, which sees to both sides, it is how many tokens away another may be.
    """
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None)
    if getattr(text, "use_sliding_window", True) is False or (kinds and set(kinds) == {"full_attention"}):
        return inf
    sliding, around = getattr(text, "sliding_window", None), getattr(text, "local_attention", None)
    return min(sliding or inf, around // 2 if around else inf)  # the one to the left alone, the other to both sides
