"""A split as a task model takes it: batches of the items of each seed, and what the frozen part gives, kept."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrltrain.evaluation.features import Features, batches
from lrltrain.evaluation.heads import TaskModel
from lrltrain.training.loss import IGNORED

MOST_BYTES = 2 << 30  # of what is kept, a split; beyond, nothing is
MULTIPLE = 16  # tokens, of the lengths of batches whose shapes are to repeat


class Inputs:
    """A split on its way to a model on `device`; `pad` is the id of padding."""

    def __init__(self, features: Features, pad: int, device: torch.device) -> None:
        self.features, self.pad, self.device = features, pad, device
        self.lengths = features.lengths
        self.begins = np.concatenate([[0], np.cumsum(self.lengths)])
        self.kept: Tensor | None = None
        self._ids = np.concatenate(features.ids)
        self._by_token = features.labels[0].ndim > 0
        self._labels = np.concatenate(features.labels) if self._by_token else np.stack(features.labels)

    @torch.no_grad()
    def keep(self, model: TaskModel, size: int, precision: AbstractContextManager[Any]) -> None:
        """Compute the frozen part for all items, if it fits into MOST_BYTES."""
        hidden = 2 * int(model.encoder.config.hidden_size)
        self.kept = None
        if not model.splits or int(self.begins[-1]) * hidden * 4 > MOST_BYTES:
            return
        was_training = model.training
        model.eval()
        kept: Tensor | None = None  # each batch goes to its place at once: twice as much would be too much
        with precision:
            for chosen in batches(self.lengths, size):
                tensors = self.layout([chosen])
                ids, mask = (tensors[name].to(self.device) for name in ("tokens", "mask"))
                rows = model.lower(ids, mask)[mask.bool()]
                if kept is None:
                    kept = rows.new_empty(int(self.begins[-1]), rows.shape[-1])
                places = np.concatenate([np.arange(self.begins[item], self.begins[item + 1]) for item in chosen])
                kept[torch.from_numpy(places).to(self.device)] = rows
        self.kept = kept
        model.train(was_training)

    def layout(self, chosen: Sequence[NDArray[np.int64]], *, static: bool = False) -> dict[str, Tensor]:
        """Return a batch of some items of each seed, on the CPU: of R rows the first R / K are of the first seed.

        `tokens` (rows, length) are ids, or the rows of what is kept; `mask` (rows, length) is 1 at those that are no
        padding; `labels` are (rows,), or for ner (rows, length), IGNORED at padding. A seed that has fewer items than
        another gets its first again, without labels. With `static`, lengths are multiples of MULTIPLE, or the longest.
        """
        size = max(map(len, chosen))
        items = np.concatenate(
            [np.pad(each, (0, size - len(each)), mode="constant", constant_values=each[0]) for each in chosen]
        )
        counted = np.concatenate([np.arange(size) < len(each) for each in chosen])
        lengths = self.lengths[items]
        length = int(lengths.max())
        if static:
            length = min(-(-length // MULTIPLE) * MULTIPLE, int(self.lengths.max()))
        places = np.arange(length)[None]
        inside = places < lengths[:, None]
        at = np.where(inside, self.begins[items][:, None] + places, 0)
        tokens = at if self.kept is not None else np.where(inside, self._ids[at], self.pad)
        if self._by_token:
            labels = np.where(inside & counted[:, None], self._labels[at], IGNORED)
        else:
            labels = np.where(counted, self._labels[items], IGNORED)
        made = {"tokens": tokens, "mask": inside.astype(np.int64), "labels": labels}
        return {name: torch.from_numpy(value) for name, value in made.items()}

    def logits(self, model: TaskModel, tensors: dict[str, Tensor]) -> Tensor:
        """Return the logits of a batch on the model's device: (rows, labels), or for ner (rows, length, labels)."""
        if self.kept is None:
            return model(tensors["tokens"], tensors["mask"])
        return model.upper(self.kept[tensors["tokens"]], tensors["mask"])
