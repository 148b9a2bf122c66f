"""The processes that train together under torchrun, and the trackers, by accelerate's own primitives."""

import atexit
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lrldata.errors import UsageError

_BY_TORCHRUN = ("RANK", "MASTER_ADDR")


@dataclass(frozen=True)
class Processes:
    """This process's number, how many there are, and how they add tensors up and wait for each other."""

    rank: int = 0
    count: int = 1
    add: Callable[[Tensor], Tensor] = lambda tensor: tensor
    wait: Callable[[], None] = lambda: None
    log: Callable[[Mapping[str, float], int], None] = lambda *_: None


@contextmanager
def joined(trackers: Sequence[str], folder: Path) -> Iterator[Processes]:
    """Join the other processes, if there are any, and open the trackers that are asked for, which write to `folder`."""
    if processes() == 1 and not trackers:
        yield Processes()
        return
    from accelerate import Accelerator  # noqa: PLC0415 -- a fit in one process needs none of it

    accelerator = Accelerator(cpu=not torch.cuda.is_available(), log_with=list(trackers) or None, project_dir=folder)
    if trackers:
        accelerator.init_trackers(folder.name)
    try:
        yield Processes(
            accelerator.process_index,
            accelerator.num_processes,
            lambda tensor: accelerator.reduce(tensor, "sum") if accelerator.num_processes > 1 else tensor,
            accelerator.wait_for_everyone,
            lambda values, step: accelerator.log(dict(values), step=step),
        )
    finally:
        for tracker in accelerator.trackers:  # not end_training, with which this process leaves the others for good
            tracker.finish()
        if accelerator.num_processes > 1:
            atexit.register(_leave)


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def processes() -> int:
    """Return how many processes train together, as torchrun says. Raises UsageError where something else says so."""
    count = os.environ.get("WORLD_SIZE") or "1"
    if count != "1" and not (count.isdigit() and all(os.environ.get(name) for name in _BY_TORCHRUN)):
        raise UsageError(
            f"WORLD_SIZE={count}: is set, but not {' and '.join(_BY_TORCHRUN)}.",
            "Start processes that train together with torchrun; for one that trains alone, unset it.",
        )
    return int(count)


def first_process() -> bool:
    """Return whether this process is the one that writes and speaks; one that trains alone does, whatever its RANK."""
    return processes() == 1 or os.environ["RANK"] == "0"
