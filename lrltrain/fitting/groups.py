"""Groups of fits that train together: those with the same base model, method and settings that fit into memory."""

import os
from collections.abc import Iterator, Sequence
from itertools import chain

import torch

from lrldata.errors import DivergedError, TrainingError
from lrldata.progress import Progress
from lrltrain.config import FitConfig
from lrltrain.costs import shape_of, step_memory
from lrltrain.fitting.fit import diverged, fit_group
from lrltrain.fitting.plan import Adapter
from lrltrain.memory import is_out_of_memory, release_gpu_memory
from lrltrain.names import BUILT_IN
from lrltrain.precision import bytes_per_value
from lrltrain.training.processes import process_count

ROOM = 0.9  # of a GPU's free memory that a group may fill, by the formula
MOST = {"cuda": 32, "cpu": 8}  # adapters in a group, before it is known whether they fit into memory


def fit_all(configs: Sequence[FitConfig], progress: Progress) -> list[Adapter]:
    """Train adapters in groups, and return them in order.

    A group that does not fit into GPU memory is halved. Adapters whose loss is not finite do not stop the others:
    DivergedError names them at the end. Raises LrlError.
    """
    adapters: dict[int, Adapter] = {}
    failed: list[str] = []
    queue = list(groups(configs))
    while queue:
        group = queue.pop(0)
        try:
            fitted = _fit_if_possible([configs[number] for number in group], progress)
        except DivergedError as error:
            failed += error.messages
            fitted = []
        release_gpu_memory()
        if fitted is None:  # groups like it would not fit either
            key, half = configs[group[0]].group_key(), -(-len(group) // 2)
            is_alike = [configs[numbers[0]].group_key() == key for numbers in queue]
            parts = [
                [numbers] if not same else _parts(numbers, half) for numbers, same in zip(queue, is_alike, strict=True)
            ]
            queue = [*_parts(group, half), *chain.from_iterable(parts)]
            continue
        adapters |= zip(group, fitted, strict=False)  # none if adapters of the group failed
    if failed:
        raise diverged(failed, len(configs))
    return [adapters[number] for number in range(len(configs))]


def _fit_if_possible(configs: Sequence[FitConfig], progress: Progress) -> list[Adapter] | None:
    """Train a group; return None if it must be halved, which processes could not agree on. Raises LrlError."""
    try:
        return fit_group(configs, progress)
    except TrainingError as error:
        out_of_memory = error.__cause__ is not None and is_out_of_memory(error.__cause__)
        if not out_of_memory or len(configs) == 1 or configs[0].group != "auto" or process_count() > 1:
            raise
        return None


def _parts(group: Sequence[int], size: int) -> list[list[int]]:
    return [list(group[begin : begin + size]) for begin in range(0, len(group), size)]


def groups(configs: Sequence[FitConfig]) -> Iterator[list[int]]:
    """Yield the fits that train together, by number."""
    by_key: dict[str, list[int]] = {}
    for number, config in enumerate(configs):
        by_key.setdefault(config.group_key() or str(number), []).append(number)
    for numbers in by_key.values():
        size = _size(configs[numbers[0]]) if len(numbers) > 1 else 1
        yield from _parts(numbers, size)


def _memory() -> int:
    """Return the GPU's free bytes; with several processes, which must agree, the total bytes of this one's GPU."""
    if process_count() > 1:
        return int(torch.cuda.get_device_properties(int(os.environ.get("LOCAL_RANK", "0"))).total_memory)
    return int(torch.cuda.mem_get_info()[0])


def _size(config: FitConfig) -> int:
    """Return the maximum size of a group; on a CPU, a large model gains nothing from grouping."""
    if isinstance(config.group, int):
        return config.group
    if torch.cuda.is_available():
        shape, size = shape_of(config.base), bytes_per_value(config.precision)
        free = ROOM * _memory() - size * shape.weights
        of_one = step_memory(config, shape, config.batch_size * config.max_length, size)
        return max(1, min(MOST["cuda"], int(free / of_one)))
    return MOST["cpu"] if config.base == BUILT_IN else 1
