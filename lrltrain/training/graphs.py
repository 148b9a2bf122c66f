"""Functions of tensors as CUDA graphs: captured once for each shape, and then replayed without waiting for the host."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from torch import Tensor

WARM = 3  # runs before a graph is captured, in which kernels are chosen and memory is laid out
ROOM = 0.25  # of the memory that is free, for copies of the state while a graph is captured
MOST_GRAPHS = 64  # of one function; beyond, its other shapes run without one
Function = Callable[[dict[str, Tensor]], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Captured:
    """A graph, the tensors that it reads, and those that it writes its results to."""

    graph: Any
    inputs: Mapping[str, Tensor]
    outputs: tuple[Tensor, ...]


class Graphs:
    """Runs functions on `device`; with `on`, which wants a GPU, as graphs that share one memory.

    `state` returns the tensors that the functions change in place: after a capture, for which a function is run several
    times, they are what they were before, and so are random numbers. Where there is no memory for a capture, as what
    other graphs keep is not free for it, it is tried once more without them.
    """

    def __init__(self, device: torch.device, state: Callable[[], Iterable[Tensor]], *, on: bool) -> None:
        self.device, self.on = device, on
        self._state = state
        self._captured: dict[Hashable, dict[Hashable, Captured]] = {}
        self._pool = torch.cuda.graph_pool_handle() if on else None
        self._side = torch.cuda.Stream(device) if on else None  # one, as each keeps memory for products

    def run(self, key: Hashable, function: Function, tensors: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Return what the function gives of tensors on any device. `key` names the function.

        The results of a graph are valid until the function is next run.
        """
        shapes = tuple(value.shape for value in tensors.values())
        graphs = self._captured.setdefault(key, {})
        if not self.on or (shapes not in graphs and len(graphs) >= MOST_GRAPHS):
            return function(on_device(tensors, self.device))
        if shapes not in graphs:
            inputs = {name: value.to(self.device).clone() for name, value in tensors.items()}
            captured = self._captured_if_it_fits(function, inputs)
            if captured is None:  # and what was tried is no longer in memory
                self.clear()
                captured = Captured(*self._capture(function, inputs))
            self._captured.setdefault(key, {})[shapes] = captured
        captured = self._captured[key][shapes]
        for name, value in tensors.items():
            captured.inputs[name].copy_(_pinned(value, self.device), non_blocking=True)
        captured.graph.replay()
        return captured.outputs

    def clear(self) -> None:
        """Forget all graphs, and give back their memory."""
        for graphs in self._captured.values():
            graphs.clear()  # which a caller may hold
        self._captured.clear()
        if self._pool is not None:
            self._pool = torch.cuda.graph_pool_handle()
            torch.cuda.empty_cache()

    def _captured_if_it_fits(self, function: Function, inputs: dict[str, Tensor]) -> Captured | None:
        try:
            return Captured(*self._capture(function, inputs))
        except torch.OutOfMemoryError:
            return None

    def _capture(
        self, function: Function, inputs: dict[str, Tensor]
    ) -> tuple[Any, dict[str, Tensor], tuple[Tensor, ...]]:
        assert self._side is not None  # noqa: S101 -- for the type checker
        kept, random = set_aside(list(self._state()), self.device), torch.cuda.get_rng_state(self.device)
        here, graph = torch.cuda.current_stream(self.device), torch.cuda.CUDAGraph()
        try:
            self._side.wait_stream(here)
            with torch.cuda.stream(self._side):
                for _ in range(WARM):
                    function(inputs)
            here.wait_stream(self._side)
            torch.cuda.set_rng_state(random, self.device)
            with torch.cuda.graph(graph, pool=self._pool, stream=self._side):
                outputs = function(inputs)
        finally:
            here.wait_stream(self._side)
            with torch.no_grad():
                for tensor, value in kept:
                    tensor.copy_(value)
        return graph, inputs, outputs


def on_device(tensors: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Return tensors on a device, to which a GPU copies them while it computes."""
    return {name: _pinned(value, device).to(device, non_blocking=True) for name, value in tensors.items()}


def _pinned(value: Tensor, device: torch.device) -> Tensor:
    """Return a tensor in memory from which a copy to a GPU does not wait for what that does."""
    return value.pin_memory() if device.type == "cuda" and value.device.type == "cpu" else value


def set_aside(state: Sequence[Tensor], device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Return tensors with copies of them: on their device, or on the host where these would take much of its memory.

    In full fine-tuning the state is weights, gradients and moments, of which a GPU may not hold a second set.
    """
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else inf
    large = sum(each.nbytes for each in state) > ROOM * free
    return [(each, each.to("cpu", copy=True) if large else each.clone()) for each in state]
