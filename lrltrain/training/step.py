"""One step of K adapters: forward, loss, backward, clipping and update; on a GPU as CUDA graphs."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from lrltrain.models import no_cache
from lrltrain.training.attention import quick_attention
from lrltrain.training.batches import Batch
from lrltrain.training.graphs import Graphs, on_device
from lrltrain.training.loss import LabelledHead
from lrltrain.training.packing import PackedAttention
from lrltrain.training.weights import Weights

Penalty = Callable[[], Tensor]


class Step:
    """Takes batches of K adapters to gradients, and gradients to new weights.

    `autocast` is the precision of a model that is held in fp32 and computes in another; a frozen model is held in the
    one in which it computes. With `graphs`, both parts of a step are captured once for each shape of a batch, and then
    replayed, so that nothing waits for the host. Of a `compiled` model only training runs what is compiled.
    """

    def __init__(
        self,
        model: Any,
        weights: Weights,
        attention: PackedAttention,
        *,
        autocast: torch.dtype | None = None,
        penalty: Penalty | None = None,
        graphs: bool = False,
        compiled: bool = False,
    ) -> None:
        self.model, self.weights, self.attention = model, weights, attention
        self.head = LabelledHead(model, autocast)
        self._autocast, self._penalty, self._compiled = autocast, penalty, compiled
        self._uncached = no_cache(model)
        self._graphs = Graphs(weights.device, self._state, on=graphs)
        self.losses = torch.zeros(weights.count, device=weights.device)  # of the step so far, (K,)

    def accumulate(self, batch: Batch, shares: Tensor) -> None:
        """Add the gradients of a batch, and its losses to `losses`.

        `shares` (K,): what a label of each adapter counts, one divided by the number of its labels in the whole step.
        """
        self._graphs.run("accumulate", self._accumulate, batch.tensors | {"shares": shares})

    def update(self) -> tuple[Tensor, Tensor]:
        """Take the step. Returns the loss in nats a label and the norm of the gradient of each adapter, (K,) each."""
        losses, norms = self._graphs.run("update", self._update, {})
        return losses, norms

    @torch.no_grad()
    def sums(self, batch: Batch) -> Tensor:
        """Return the sum of the losses of a batch of each adapter, (K,), without training."""
        tensors = on_device(batch.tensors, self.weights.device)
        with self.head.at(tensors["label_indices"]):
            with self._precision(), self.eager():
                hidden = self._hidden(tensors)
            losses = self.head.losses(hidden, tensors["labels"])
        return losses.view(self.weights.count, -1).double().sum(1)

    def eager(self) -> AbstractContextManager[Any]:
        """Return the context in which nothing is compiled: it takes longer than a few passes do."""
        return torch.compiler.set_stance("force_eager") if self._compiled else nullcontext()

    def release(self) -> None:
        """Give the model its head back."""
        self._graphs.clear()
        self.head.release()

    def _accumulate(self, tensors: dict[str, Tensor]) -> tuple[()]:
        """Compute the model under autocast alone, and the loss outside of it, on a GPU as on a CPU."""
        labels, shares = tensors["labels"], tensors["shares"]
        of_each = (shares * self.weights.scale).repeat_interleave(len(labels) // self.weights.count)
        attending = quick_attention(self.weights.device, self._autocast or self.model.dtype)
        with self.head.at(tensors["label_indices"]), self._precision(), attending:
            hidden = self._hidden(tensors)
        total, losses = self.head.loss(hidden, labels, of_each)
        if self._penalty is not None:
            total = total + (self._penalty() * self.weights.scale).sum()
        total.backward()
        with torch.no_grad():
            self.losses += losses.view(self.weights.count, -1).sum(1) * shares
        return ()

    def _update(self, _: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        losses, norms = self.losses.clone(), self.weights.update()
        self.losses.zero_()
        return losses, norms

    def _hidden(self, tensors: dict[str, Tensor]) -> Tensor:
        """Return what goes into the last projection, (labels, hidden)."""
        hidden: Tensor = self.model(**self.attention.inputs(tensors), **self._uncached).logits[0]
        return hidden

    def _precision(self) -> AbstractContextManager[Any]:
        if self._autocast is None:
            return nullcontext()
        # What autocast has cast once is kept for its context, and would be a stale copy in a graph.
        return torch.autocast(self.weights.device.type, self._autocast, cache_enabled=not self._graphs.on)

    def _state(self) -> list[Tensor]:
        return [self.losses, *self.weights.state()]
