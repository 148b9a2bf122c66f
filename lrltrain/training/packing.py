"""How to tell a model which tokens of a row attend to each other, and that positions restart at each segment.

Models differ in this, and their interfaces do not say how. It is therefore found by trial: two segments in one row must
give the same logits as each segment alone. Normally, one attention mask serves all layers. If some layers attend to a
window only (as in Gemma, Mistral and ModernBERT) and segments are longer than the window, the model must accept a mask
for each kind of layer.
"""

from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, Literal

import torch
from torch import Tensor

from lrltrain.config import Objective
from lrltrain.passes import accepts_argument

Form = Literal["added", "ones"]
SAME = 1e-3  # relative difference of logits in fp32; attention kernels sum in different orders
NOISE = 1e-6  # relative difference in fp32 from summing the same numbers in another order
SHARE = 0.5  # share of the difference that appears when the segments do attend to each other
# Model types whose forward pass reads a value from the GPU, and kinds of rotary embeddings that do.
_SYNCHRONIZING_MODELS, _SYNCHRONIZING_ROPE = {"deberta-v2", "falcon", "xlm", "xmod"}, {"dynamic", "longrope"}


@dataclass(frozen=True)
class PackedAttention:
    """Turns the tensors of a `Batch` into the inputs of a model.

    `first_position` is the position id of a segment's first token (2 in XLM-R, 0 in BERT). It is None if the model
    cannot keep segments apart; the model then numbers its positions itself. `mask` is the form of the attention mask:
    `added` to the scores, (rows, 1, length, length), or `ones` and zeros, (rows, length, length). With a `reach`,
    sliding-window layers get their own mask, which is limited to tokens at most that far away. With `typed`, the model
    gets token types of zero: transformers 4 cuts its own from a table that a row of several lines can exceed.
    """

    objective: Objective
    first_position: int | None = None
    mask: Form = "added"
    dtype: torch.dtype = torch.float32
    reach: int | None = None
    typed: bool = False

    @property
    def separates_segments(self) -> bool:
        """Return whether the model can keep the segments of a row apart."""
        return self.first_position is not None

    def inputs(self, batch: dict[str, Tensor]) -> dict[str, Any]:
        """Return the keyword arguments for the model, on the device of the batch."""
        segments = batch["segments"]
        if self.first_position is None:
            return {"input_ids": batch["input_ids"], "attention_mask": (segments != 0).long()}
        visible = segments[:, :, None] == segments[:, None, :]  # padding attends to padding: no row is empty
        if self.objective == "clm":
            length = segments.shape[1]
            visible = visible & torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
        mask: Any = self._in_form(visible)
        if self.reach is not None:
            out_of_reach = (batch["position_ids"][:, :, None] - batch["position_ids"][:, None, :]).abs() > self.reach
            mask = {"full_attention": mask, "sliding_attention": self._in_form(visible & ~out_of_reach)}
        return {
            "input_ids": batch["input_ids"],
            "attention_mask": mask,
            "position_ids": batch["position_ids"] + self.first_position,
            **({"token_type_ids": torch.zeros_like(batch["input_ids"])} if self.typed else {}),
        }

    def _in_form(self, visible: Tensor) -> Tensor:
        if self.mask == "ones":
            return visible.to(self.dtype)
        masked = torch.full((), torch.finfo(self.dtype).min, dtype=self.dtype, device=visible.device)
        return torch.where(visible, torch.zeros_like(masked), masked)[:, None]


@torch.no_grad()
def probe_packing(model: Any, objective: Objective, vocabulary: int, longest: int = 0) -> PackedAttention:
    """Find out by trial how `model` keeps the segments of a row apart; if it cannot, `first_position` is None.

    `longest` is the maximum number of tokens in a segment.
    """
    was_training = model.training
    model.eval()
    parameter = next(model.parameters())
    window, reach = window_of(model.config), None
    if longest > window:  # the model's own masks respect the window, so ours must too
        reach = int(window) - (objective == "clm")
    sizes = (7, 4) if reach is None else (int(window) + 7, 4)
    ids_a, ids_b = (torch.arange(5, 5 + size, device=parameter.device) % vocabulary for size in sizes)
    expected = torch.cat([model(input_ids=piece[None]).logits[0] for piece in (ids_a, ids_b)])
    batch = {
        "input_ids": torch.cat([ids_a, ids_b])[None],
        "segments": torch.tensor([[1] * len(ids_a) + [2] * len(ids_b)], device=parameter.device),
        "position_ids": torch.cat([torch.arange(len(ids_a)), torch.arange(len(ids_b))])[None].to(parameter.device),
    }
    text_config = model.config.get_text_config()
    after_padding = (text_config.pad_token_id or 0) + 1  # RoBERTa's first position
    fits_offset = after_padding + len(ids_a) <= (getattr(text_config, "max_position_embeddings", None) or 0)
    forms: tuple[Form, ...] = ("added",) if objective == "clm" else ("added", "ones")
    starts = (0, after_padding) if fits_offset else (0,)  # an index out of range would break the CUDA context
    typed = objective == "mlm" and accepts_argument(model, "token_type_ids")
    candidates = [
        PackedAttention(objective, start, form, parameter.dtype, reach, typed) for form in forms for start in starts
    ]
    joined = PackedAttention(objective, dtype=parameter.dtype)
    results = [(_difference(model, candidate, batch, expected), candidate) for candidate in candidates]
    smallest = min((difference for difference, _ in results), default=inf)
    # In half precision, kernels differ by more than SAME, so the limit is relative to segments that are not separated.
    limit = SHARE * _difference(model, joined, batch, expected)
    limit = min(limit, SAME) if parameter.dtype == torch.float32 else limit
    model.train(was_training)
    return next(
        (candidate for difference, candidate in results if difference <= min(limit, 2 * smallest + NOISE)), joined
    )


def _difference(model: Any, attention: PackedAttention, batch: dict[str, Tensor], expected: Tensor) -> float:
    """Return the RMS difference from the logits of separate segments, relative to the RMS of those logits.

    Infinity if the model does not accept such inputs.
    """
    try:
        logits = model(**attention.inputs(batch)).logits[0].float()
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError, KeyError, AssertionError):
        return inf
    difference = ((logits - expected.float()).square().mean() / expected.float().square().mean()).sqrt().item()
    return difference if isfinite(difference) else inf


def waits_for_gpu(config: Any) -> bool:
    """Return whether a forward pass waits for the GPU to read a value, so that it cannot be captured as a graph."""
    text = config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    tables = [rope, *(value for value in rope.values() if isinstance(value, dict))]  # one per kind of layer
    kinds = {table.get("rope_type", table.get("type")) for table in tables}
    return text.model_type in _SYNCHRONIZING_MODELS or not kinds.isdisjoint(_SYNCHRONIZING_ROPE)


def window_of(config: Any) -> float:
    """Return the length in tokens of the smallest attention window of any layer; infinity if no layer has one.

    In an encoder, which attends to both sides, this is the maximum distance between two tokens.
    """
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None)
    if getattr(text, "use_sliding_window", True) is False or (kinds and set(kinds) == {"full_attention"}):
        return inf
    sliding, local = getattr(text, "sliding_window", None), getattr(text, "local_attention", None)
    return min(sliding or inf, local // 2 if local else inf)  # `local` is a window to both sides
