"""How a model is told which tokens of a block see each other, and that each piece begins at its first position.

Models differ in this, and nothing in their interface says how. So it is tried out: two short pieces in one block must
give the logits that each gives alone.
"""

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lrltrain.config import Objective

SAME, ROUGHLY = 1e-3, 5e-2  # of logits, in fp32 and in halves; other attention kernels add up in another order


@dataclass(frozen=True)
class Wiring:
    """What turns a batch of `Collator` into the inputs of a model.

    `first_position` is the number of a piece's first place (2 in XLM-R, 0 in BERT); None where the model cannot keep
    pieces apart, and is left to number its positions itself.
    """

    objective: Objective
    first_position: int | None = None

    def inputs(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the keyword arguments for the model, on the device of the batch."""
        pieces = batch["pieces"]
        if self.first_position is None:
            return {"input_ids": batch["input_ids"], "attention_mask": (pieces != 0).long()}
        seen = pieces[:, :, None] == pieces[:, None, :]  # padding sees padding, so that no row is without any
        if self.objective == "clm":
            length = pieces.shape[1]
            causal = torch.ones(length, length, dtype=torch.bool, device=pieces.device).tril()
            mask = torch.where(seen & causal, 0.0, torch.finfo(torch.float32).min)[:, None]  # is added to the scores
        else:
            mask = seen.float()
        return {
            "input_ids": batch["input_ids"],
            "attention_mask": mask,
            "position_ids": batch["places"] + self.first_position,
        }


@torch.no_grad()
def find_wiring(model: Any, objective: Objective, vocabulary: int) -> Wiring:
    """Try out how `model` keeps the pieces of a block apart; where it cannot, `first_position` is None."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    one, two = (torch.arange(5, 5 + size, device=device) % vocabulary for size in (7, 4))
    alone = torch.cat([model(input_ids=piece[None]).logits[0] for piece in (one, two)])
    batch = {
        "input_ids": torch.cat([one, two])[None],
        "pieces": torch.tensor([[1] * len(one) + [2] * len(two)], device=device),
        "places": torch.cat([torch.arange(len(one)), torch.arange(len(two))])[None].to(device),
    }
    padding = model.config.pad_token_id or 0
    found = Wiring(objective)
    for first in (0, padding + 1):
        wiring = Wiring(objective, first)
        with contextlib.suppress(TypeError, ValueError, RuntimeError, IndexError):
            together = model(**wiring.inputs(batch)).logits[0]
            close = SAME if together.dtype == torch.float32 else ROUGHLY
            if torch.allclose(together.float(), alone.float(), atol=close, rtol=close):
                found = wiring
                break
    model.train(was_training)
    return found
