"""Functions of tensors as CUDA graphs: captured once for each shape, and then replayed without waiting for the host."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

WARM = 3  # runs before a graph is captured, in which kernels are chosen and memory is laid out
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
    times, they are what they were before.
    """

    def __init__(self, device: torch.device, state: Callable[[], Iterable[Tensor]], *, on: bool) -> None:
        self.device, self.on = device, on
        self._state = state
        self._captured: dict[Hashable, dict[Hashable, Captured]] = {}
        self._pool = torch.cuda.graph_pool_handle() if on else None

    def run(self, key: Hashable, function: Function, tensors: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Return what the function gives of tensors on any device. `key` names the function.

        The results of a graph are valid until the function is next run.
        """
        shapes = tuple(value.shape for value in tensors.values())
        graphs = self._captured.setdefault(key, {})
        if not self.on or (shapes not in graphs and len(graphs) >= MOST_GRAPHS):
            return function({name: value.to(self.device, non_blocking=True) for name, value in tensors.items()})
        if shapes not in graphs:
            inputs = {name: value.to(self.device).clone() for name, value in tensors.items()}
            graphs[shapes] = Captured(*self._capture(function, inputs))
        captured = graphs[shapes]
        for name, value in tensors.items():
            captured.inputs[name].copy_(value, non_blocking=True)
        captured.graph.replay()
        return captured.outputs

    def clear(self) -> None:
        """Forget all graphs."""
        self._captured.clear()

    def _capture(
        self, function: Function, inputs: dict[str, Tensor]
    ) -> tuple[Any, dict[str, Tensor], tuple[Tensor, ...]]:
        kept = [(tensor, tensor.clone()) for tensor in self._state()]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM):
                function(inputs)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            outputs = function(inputs)
        with torch.no_grad():
            for tensor, value in kept:
                tensor.copy_(value)
        return graph, inputs, outputs
