"""Functions of tensors as CUDA graphs, captured once per shape and then replayed without waiting for the host."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Any, TypeVar

import torch
from torch import Tensor

from lrldata.output import note

WARM = 3  # runs before a capture, in which kernels are selected and memory is allocated
ROOM = 0.25  # share of the free memory that copies of the state may take during a capture
MOST_GRAPHS = 64  # per function; further shapes run without a graph
MOST_CLEARED = 5  # times that graphs were freed to make room for another; after that, everything runs without graphs
Function = Callable[[dict[str, Tensor]], tuple[Tensor, ...]]
Result = TypeVar("Result")


@dataclass(frozen=True)
class CapturedGraph:
    """A graph, the tensors it reads from, and the tensors it writes its results to."""

    graph: Any
    inputs: Mapping[str, Tensor]
    outputs: tuple[Tensor, ...]


class Graphs:
    """Runs functions on `device`; with `on`, which needs a GPU, as graphs that share one memory pool.

    `state` returns the tensors that the functions change in place. A capture runs a function several times, and then
    restores these tensors and the state of the random number generator. If memory runs out during a capture, all other
    graphs are freed and the capture is tried once more. A capture needs the memory of a whole run beside that of the
    other graphs. If that is too much again and again, graphs cost more time than they save and are turned off.
    """

    def __init__(self, device: torch.device, state: Callable[[], Iterable[Tensor]], *, on: bool) -> None:
        self.device, self.on = device, on
        self._state = state
        self._captured: dict[Hashable, dict[Hashable, CapturedGraph]] = {}
        self._cleared = 0
        self._pool = torch.cuda.graph_pool_handle() if on else None
        self._side = torch.cuda.Stream(device) if on else None  # only one: each stream keeps a workspace for matmuls

    def run(self, key: Hashable, function: Function, tensors: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Return the results of `function` for tensors on any device. `key` identifies the function.

        The results of a graph are valid until the next run of any function.
        """
        shapes = tuple(value.shape for value in tensors.values())
        graphs = self._captured.setdefault(key, {})
        if not self.on or (shapes not in graphs and len(graphs) >= MOST_GRAPHS):
            return function(on_device(tensors, self.device))
        if shapes not in graphs:
            inputs = {name: value.to(self.device).clone() for name, value in tensors.items()}
            captured = self._try_capture(function, inputs)
            if captured is None:  # the failed attempt's memory has been released by now
                self.clear()
                self._cleared += 1
                if self._cleared > MOST_CLEARED:
                    self.on = False
                    note("the GPU has no room for several CUDA graphs, so steps run without them, which is slower.")
                    return function(inputs)
                captured = CapturedGraph(*self._capture(function, inputs))
            self._captured.setdefault(key, {})[shapes] = captured
        captured = self._captured[key][shapes]
        for name, value in tensors.items():
            captured.inputs[name].copy_(_pinned(value, self.device), non_blocking=True)
        captured.graph.replay()
        return captured.outputs

    def with_room(self, function: Callable[[], Result]) -> Result:
        """Call a function that changes nothing. If memory runs out, free all graphs and call it again."""
        with suppress(torch.OutOfMemoryError):
            return function()
        self.clear()
        return function()

    def clear(self) -> None:
        """Discard all graphs and free their memory."""
        for graphs in self._captured.values():
            graphs.clear()  # a caller may still hold this dictionary
        self._captured.clear()
        if self._pool is not None:
            self._pool = torch.cuda.graph_pool_handle()
            torch.cuda.empty_cache()

    def _try_capture(self, function: Function, inputs: dict[str, Tensor]) -> CapturedGraph | None:
        try:
            return CapturedGraph(*self._capture(function, inputs))
        except torch.OutOfMemoryError:
            return None

    def _capture(
        self, function: Function, inputs: dict[str, Tensor]
    ) -> tuple[Any, dict[str, Tensor], tuple[Tensor, ...]]:
        assert self._side is not None  # noqa: S101 -- for the type checker
        saved, rng_state = set_aside(list(self._state()), self.device), torch.cuda.get_rng_state(self.device)
        current, graph = torch.cuda.current_stream(self.device), torch.cuda.CUDAGraph()
        try:
            self._side.wait_stream(current)
            try:
                with torch.cuda.stream(self._side):
                    for _ in range(WARM):
                        function(inputs)
            finally:
                torch.cuda.set_rng_state(rng_state, self.device)
            current.wait_stream(self._side)
            with torch.cuda.graph(graph, pool=self._pool, stream=self._side):
                outputs = function(inputs)
        finally:
            current.wait_stream(self._side)
            with torch.no_grad():
                for tensor, value in saved:
                    tensor.copy_(value)
        return graph, inputs, outputs


def on_device(tensors: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Move tensors to a device. Copies to a GPU overlap with its computation."""
    return {name: _pinned(value, device).to(device, non_blocking=True) for name, value in tensors.items()}


def _pinned(value: Tensor, device: torch.device) -> Tensor:
    """Return the tensor in pinned memory if it is bound for a GPU, so that copying it does not block."""
    return value.pin_memory() if device.type == "cuda" and value.device.type == "cpu" else value


def set_aside(state: Sequence[Tensor], device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Return tensors with copies of them: on their device, or on the host if they would take much of its free memory.

    In full fine-tuning, the state holds weights, gradients and moments, and a GPU may not have room for a second set.
    """
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else inf
    large = sum(tensor.nbytes for tensor in state) > ROOM * free
    return [(tensor, tensor.to("cpu", copy=True) if large else tensor.clone()) for tensor in state]
