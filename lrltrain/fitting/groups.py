"""Which fits are trained together: those that share base model, method and settings, as many as memory holds."""

import os
from collections.abc import Iterator, Sequence
from itertools import chain

import torch

from lrldata.errors import TrainingError
from lrldata.progress import Progress
from lrltrain.config import FitConfig
from lrltrain.costs import shape_of, step_memory
from lrltrain.fitting.fit import fit_group
from lrltrain.fitting.plan import Adapter
from lrltrain.memory import release_gpu_memory
from lrltrain.names import BUILT_IN
from lrltrain.training.processes import processes

ROOM = 0.9  # of a GPU's free memory that a group may fill, by formula
MOST = {"cuda": 32, "cpu": 8}  # adapters of a group, before it is tried whether memory holds them


def fit_all(configs: Sequence[FitConfig], progress: Progress) -> list[Adapter]:
    """Train adapters in groups; returns them in order.

    A group that does not fit into the memory of a GPU is halved. Raises LrlError.
    """
    found: dict[int, Adapter] = {}
    waiting = list(groups(configs))
    while waiting:
        group = waiting.pop(0)
        made = _fitted_if_it_fits([configs[number] for number in group], progress)
        release_gpu_memory()
        if made is None:  # nor would those that are like it
            key, half = configs[group[0]].group_key(), -(-len(group) // 2)
            like = [configs[each[0]].group_key() == key for each in waiting]
            parts = [[each] if not same else _parts(each, half) for each, same in zip(waiting, like, strict=True)]
            waiting = [*_parts(group, half), *chain.from_iterable(parts)]
            continue
        found |= zip(group, made, strict=True)
    return [found[number] for number in range(len(configs))]


def _fitted_if_it_fits(configs: Sequence[FitConfig], progress: Progress) -> list[Adapter] | None:
    """Train a group; None where it is to be halved, which several processes would not agree on. Raises LrlError."""
    try:
        return fit_group(configs, progress)
    except TrainingError as error:
        full = isinstance(error.__cause__, torch.OutOfMemoryError)
        if not full or len(configs) == 1 or configs[0].group != "auto" or processes() > 1:
            raise
        return None


def _parts(group: Sequence[int], size: int) -> list[list[int]]:
    return [list(group[begin : begin + size]) for begin in range(0, len(group), size)]


def groups(configs: Sequence[FitConfig]) -> Iterator[list[int]]:
    """Yield which of some fits are trained together, by number."""
    alike: dict[str, list[int]] = {}
    for number, config in enumerate(configs):
        alike.setdefault(config.group_key() or str(number), []).append(number)
    for numbers in alike.values():
        size = _size(configs[numbers[0]]) if len(numbers) > 1 else 1
        yield from _parts(numbers, size)


def _memory() -> int:
    """Return the bytes that a GPU has free; of several processes, which must agree, what each of their GPUs has."""
    if processes() > 1:
        return int(torch.cuda.get_device_properties(int(os.environ.get("LOCAL_RANK", "0"))).total_memory)
    return int(torch.cuda.mem_get_info()[0])


def _size(config: FitConfig) -> int:
    """Return how many adapters a group has at most; on a CPU a large model gains nothing by it."""
    if isinstance(config.group, int):
        return config.group
    if torch.cuda.is_available():
        shape = shape_of(config.base)
        left = ROOM * _memory() - 2 * shape.weights
        return max(1, min(MOST["cuda"], int(left / step_memory(config, shape, config.batch_size * config.max_length))))
    return MOST["cpu"] if config.base == BUILT_IN else 1
