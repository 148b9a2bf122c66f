"""A split as input to a task model: batches of items for each seed, and the cached output of the frozen part."""

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

MOST_BYTES = 2 << 30  # of cached output per split; if there is more, nothing is cached
MULTIPLE = 16  # tokens; if shapes have to repeat, batch lengths are rounded up to a multiple of this


class Inputs:
    """A split in batches for a model on `device`; `pad` is the id of the padding token."""

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
        """Compute and cache the output of the frozen part for all items, if it fits into MOST_BYTES."""
        hidden = 2 * int(model.encoder.config.hidden_size)
        self.kept = None
        if not model.splits or int(self.begins[-1]) * hidden * 4 > MOST_BYTES:
            return
        was_training = model.training
        model.eval()
        kept: Tensor | None = None  # filled batch by batch: concatenating batches would need twice the memory
        with precision:
            for items in batches(self.lengths, size):
                tensors = self.layout([items])
                ids, mask = (tensors[name].to(self.device) for name in ("tokens", "mask"))
                rows = model.lower(ids, mask)[mask.bool()]
                if kept is None:
                    kept = rows.new_empty(int(self.begins[-1]), rows.shape[-1])
                rows_of_items = np.concatenate([np.arange(self.begins[item], self.begins[item + 1]) for item in items])
                kept[torch.from_numpy(rows_of_items).to(self.device)] = rows
        self.kept = kept
        model.train(was_training)

    def layout(self, chosen: Sequence[NDArray[np.int64]], *, static: bool = False) -> dict[str, Tensor]:
        """Return a batch of the items chosen for each seed, on the CPU; R / K rows per seed, in order of the seeds.

        `tokens` (rows, length) are token ids, or row numbers of the cached output; `mask` (rows, length) is 1 except at
        padding; `labels` are (rows,), or for ner (rows, length), IGNORED at padding. A seed with fewer items than
        another gets its first item again, without labels. With `static`, the length is rounded up to a multiple of
        MULTIPLE, but never beyond the longest item.
        """
        size = max(map(len, chosen))
        items = np.concatenate(
            [
                np.pad(numbers, (0, size - len(numbers)), mode="constant", constant_values=numbers[0])
                for numbers in chosen
            ]
        )
        is_labeled = np.concatenate([np.arange(size) < len(numbers) for numbers in chosen])
        lengths = self.lengths[items]
        length = int(lengths.max())
        if static:
            length = min(-(-length // MULTIPLE) * MULTIPLE, int(self.lengths.max()))
        positions = np.arange(length)[None]
        inside = positions < lengths[:, None]
        indices = np.where(inside, self.begins[items][:, None] + positions, 0)
        tokens = indices if self.kept is not None else np.where(inside, self._ids[indices], self.pad)
        if self._by_token:
            labels = np.where(inside & is_labeled[:, None], self._labels[indices], IGNORED)
        else:
            labels = np.where(is_labeled, self._labels[items], IGNORED)
        arrays = {"tokens": tokens, "mask": inside.astype(np.int64), "labels": labels}
        return {name: torch.from_numpy(value) for name, value in arrays.items()}

    def logits(self, model: TaskModel, tensors: dict[str, Tensor]) -> Tensor:
        """Return the logits of a batch on the model's device: (rows, labels), or for ner (rows, length, labels)."""
        if self.kept is None:
            return model(tensors["tokens"], tensors["mask"])
        return model.upper(self.kept[tensors["tokens"]], tensors["mask"])
