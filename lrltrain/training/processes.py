"""The processes that train together under torchrun, and experiment trackers; both through accelerate."""

import atexit
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lrldata.errors import UsageError

_TORCHRUN_VARIABLES = ("RANK", "MASTER_ADDR")


@dataclass(frozen=True)
class Processes:
    """This process's rank, the number of processes, and functions to sum tensors, wait for the others and log."""

    rank: int = 0
    count: int = 1
    add: Callable[[Tensor], Tensor] = lambda tensor: tensor
    wait: Callable[[], None] = lambda: None
    log: Callable[[Mapping[str, float], int], None] = lambda *_: None


@contextmanager
def joined(trackers: Sequence[str], folder: Path) -> Iterator[Processes]:
    """Join the other processes, if any, and open the requested trackers, which write to `folder`."""
    if processes() == 1 and not trackers:
        yield Processes()
        return
    from accelerate import Accelerator  # noqa: PLC0415 -- not needed for a fit in one process

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
        for tracker in accelerator.trackers:  # not end_training, which also destroys the process group
            tracker.finish()
        if accelerator.num_processes > 1:
            atexit.register(_destroy_process_group)


def _destroy_process_group() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def processes() -> int:
    """Return the number of processes started by torchrun. Raises UsageError if another launcher set WORLD_SIZE."""
    count = os.environ.get("WORLD_SIZE") or "1"
    if count != "1" and not (count.isdigit() and all(os.environ.get(name) for name in _TORCHRUN_VARIABLES)):
        raise UsageError(
            f"WORLD_SIZE={count} is set without {' and '.join(_TORCHRUN_VARIABLES)}.",
            "To train in several processes, start them with torchrun. To train in one, unset WORLD_SIZE.",
        )
    return int(count)


def first_process() -> bool:
    """Return whether this process writes files and messages. A single process always does, whatever its RANK."""
    return processes() == 1 or os.environ["RANK"] == "0"
