"""One training step of K adapters: forward, loss, backward, clipping and update. On a GPU, it runs as CUDA graphs."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from lrltrain.passes import no_cache
from lrltrain.training.attention import quick_attention
from lrltrain.training.batches import Batch
from lrltrain.training.graphs import Graphs, on_device
from lrltrain.training.loss import LabelledHead
from lrltrain.training.packing import PackedAttention
from lrltrain.training.weights import Weights

Penalty = Callable[[], Tensor]


class Step:
    """Computes gradients from batches of K adapters, and updates the weights.

    `autocast` is the precision of computation if it differs from fp32, the precision of the weights; a frozen model
    needs none because its weights are in the precision of computation. With `graphs`, both parts of a step are captured
    once per batch shape and then replayed, without waiting for the host. A `compiled` model runs compiled code only in
    training.
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
        self.losses = torch.zeros(weights.count, device=weights.device)  # losses of the current step so far, (K,)

    def accumulate(self, batch: Batch, shares: Tensor) -> None:
        """Add the gradients of a batch to those of the step, and its losses to `losses`.

        `shares` (K,) is the weight of each adapter's labels: one over the number of its labels in the whole step.
        """
        self._graphs.run("accumulate", self._accumulate, batch.tensors | {"shares": shares})

    def update(self) -> tuple[Tensor, Tensor]:
        """Update the weights. Returns each adapter's loss, in nats per label, and gradient norm, (K,) each."""
        losses, norms = self._graphs.run("update", self._update, {})
        return losses, norms

    @torch.no_grad()
    def sums(self, batch: Batch) -> Tensor:
        """Return the sum of the losses of a batch for each adapter, (K,), without training."""
        return self._graphs.with_room(lambda: self._sums(batch))

    def _sums(self, batch: Batch) -> Tensor:
        tensors = on_device(batch.tensors, self.weights.device)
        with self.head.at(tensors["label_indices"]):
            with self._precision(), self.eager():
                hidden = self._hidden(tensors)
            losses = self.head.losses(hidden, tensors["labels"])
        return losses.view(self.weights.count, -1).double().sum(1)

    def eager(self) -> AbstractContextManager[Any]:
        """Return a context in which nothing is compiled, since compiling takes longer than a few forward passes."""
        return torch.compiler.set_stance("force_eager") if self._compiled else nullcontext()

    def release(self) -> None:
        """Free the graphs and restore the model's head."""
        self._graphs.clear()
        self.head.release()

    def _accumulate(self, tensors: dict[str, Tensor]) -> tuple[()]:
        """Run the model under autocast and compute the loss outside of it, on every device."""
        labels, shares = tensors["labels"], tensors["shares"]
        label_weights = (shares * self.weights.scale).repeat_interleave(len(labels) // self.weights.count)
        attention_context = quick_attention(self.weights.device, self._autocast or self.model.dtype)
        with self.head.at(tensors["label_indices"]), self._precision(), attention_context:
            hidden = self._hidden(tensors)
        total, losses = self.head.loss(hidden, labels, label_weights)
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
        """Return the input of the last projection, (labels, hidden)."""
        hidden: Tensor = self.model(**self.attention.inputs(tensors), **self._uncached).logits[0]
        return hidden

    def _precision(self) -> AbstractContextManager[Any]:
        if self._autocast is None:
            return nullcontext()
        # Autocast caches cast weights within its context; in a graph, the cached copies would be stale.
        return torch.autocast(self.weights.device.type, self._autocast, cache_enabled=not self._graphs.on)

    def _state(self) -> list[Tensor]:
        return [self.losses, *self.weights.state()]
