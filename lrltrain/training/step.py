"""One step of K adapters: forward, loss, backward, clipping and update; on a GPU as CUDA graphs."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from lrltrain.training.attention import quick_attention
from lrltrain.training.batches import Batch
from lrltrain.training.loss import LabelledHead
from lrltrain.training.packing import PackedAttention
from lrltrain.training.weights import Weights

WARM = 3  # runs before a graph is captured, in which kernels are chosen and memory is laid out
MOST_GRAPHS = 32  # shapes; beyond, a batch runs without one
Penalty = Callable[[], Tensor]


class Step:
    """Takes batches of K adapters to gradients, and gradients to new weights.

    `autocast` is the precision of a model that is held in fp32 and computes in another; a frozen model is held in the
    one in which it computes. With `graphs`, both parts of a step are captured once for each shape of a batch, and then
    replayed, so that nothing waits for the host.
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
    ) -> None:
        self.model, self.weights, self.attention = model, weights, attention
        self.head = LabelledHead(model, autocast)
        self._autocast, self._penalty, self._graphs = autocast, penalty, graphs
        self._captured: dict[Any, tuple[Any, dict[str, Tensor], Any]] = {}
        self._pool = torch.cuda.graph_pool_handle() if graphs else None  # one memory for all shapes
        self.losses = torch.zeros(weights.count, device=weights.device)  # of the step so far, (K,)

    def accumulate(self, batch: Batch, shares: Tensor) -> None:
        """Add the gradients of a batch, and its losses to `losses`.

        `shares` (K,): what a label of each adapter counts, one divided by the number of its labels in the whole step.
        """
        tensors = batch.tensors | {"shares": shares}
        key = tuple(value.shape for value in tensors.values())
        if not self._graphs or (key not in self._captured and len(self._captured) >= MOST_GRAPHS):
            self._accumulate({name: value.to(self.weights.device) for name, value in tensors.items()})
            return
        if key not in self._captured:
            inputs = {name: value.to(self.weights.device).clone() for name, value in tensors.items()}
            self._captured[key] = (self._capture(lambda: self._accumulate(inputs)), inputs, None)
        graph, inputs, _ = self._captured[key]
        for name, value in tensors.items():
            inputs[name].copy_(value, non_blocking=True)
        graph.replay()

    def update(self) -> tuple[Tensor, Tensor]:
        """Take the step. Returns the loss in nats a label and the norm of the gradient of each adapter, (K,) each."""
        if not self._graphs:
            losses, norms = self.losses.clone(), self.weights.update()
            self.losses.zero_()
            return losses, norms
        if "update" not in self._captured:
            made: list[Tensor] = []

            def update() -> None:
                made[:] = [self.losses.clone(), self.weights.update()]
                self.losses.zero_()

            self._captured["update"] = (self._capture(update), {}, made)
        graph, _, made = self._captured["update"]
        graph.replay()
        return made[0], made[1]

    @torch.no_grad()
    def sums(self, batch: Batch) -> Tensor:
        """Return the sum of the losses of a batch of each adapter, (K,), without training."""
        tensors = {name: value.to(self.weights.device) for name, value in batch.tensors.items()}
        with self.head.at(tensors["positions"]):
            with self._precision():
                hidden = self.model(**self.attention.inputs(tensors)).logits[0]
            losses = self.head.losses(hidden, tensors["labels"])
        return losses.view(self.weights.count, -1).double().sum(1)

    def release(self) -> None:
        """Give the model its head back."""
        self._captured.clear()
        self.head.release()

    def _accumulate(self, tensors: dict[str, Tensor]) -> None:
        """Compute the model under autocast alone, and the loss outside of it, on a GPU as on a CPU."""
        labels, shares = tensors["labels"], tensors["shares"]
        of_each = (shares * self.weights.scale).repeat_interleave(len(labels) // self.weights.count)
        attending = quick_attention(self.weights.device, self._autocast or self.model.dtype)
        with self.head.at(tensors["positions"]), self._precision(), attending:
            hidden = self.model(**self.attention.inputs(tensors)).logits[0]
        total, losses = self.head.loss(hidden, labels, of_each)
        if self._penalty is not None:
            total = total + self._penalty() * self.weights.scale.sum()
        total.backward()
        with torch.no_grad():
            self.losses += losses.view(self.weights.count, -1).sum(1) * shares

    def _precision(self) -> AbstractContextManager[Any]:
        if self._autocast is None:
            return nullcontext()
        # What autocast has cast once is kept for its context, and would be a stale copy in a graph.
        return torch.autocast(self.weights.device.type, self._autocast, cache_enabled=not self._graphs)

    def _capture(self, run: Callable[[], None]) -> Any:
        """Capture a graph; weights, moments and losses are afterwards what they were before."""
        kept = [(tensor, tensor.clone()) for tensor in self._state()]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM):
                run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            run()
        with torch.no_grad():
            for tensor, value in kept:
                tensor.copy_(value)
        return graph

    def _state(self) -> list[Tensor]:
        found = [self.losses, self.weights.scale]
        for number in range(self.weights.count):
            found += self.weights.tensors(number).values()
        for each in self.weights.flat:
            found += [] if each.grad is None else [each.grad]
        return [*found, *self.weights.steps()]
