"""The processes that train together under torchrun, and experiment trackers; both through accelerate."""

import atexit
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lrldata.errors import TrainingError, UsageError, one_line

_TORCHRUN_VARIABLES = ("RANK", "MASTER_ADDR")
_LONGEST_WAIT = timedelta(days=30)  # for the first process, which may wait for another run to end


@dataclass(frozen=True)
class Processes:
    """This process's rank, the number of processes, and functions to work with the others and to log.

    `add` sums a tensor over all processes, `wait` waits for them, and `gather` returns a value of each, in their order.
    """

    rank: int = 0
    count: int = 1
    add: Callable[[Tensor], Tensor] = lambda tensor: tensor
    wait: Callable[[], None] = lambda: None
    gather: Callable[[Any], list[Any]] = lambda value: [value]
    log: Callable[[Mapping[str, float], int], None] = lambda *_: None

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Let the processes of each machine run the block one after the other."""
        before = int(os.environ.get("LOCAL_RANK") or 0) if self.count > 1 else 0
        for _ in range(before):
            self.wait()
        yield
        for _ in range(before, self.count):  # as often in total as on machines with more processes
            self.wait()


@contextmanager
def join_processes(trackers: Sequence[str], folder: Path) -> Iterator[Processes]:
    """Join the other processes, if any, and open the requested trackers, which write to `folder`.

    Raises TrainingError if another process ends before this one.
    """
    if process_count() == 1 and not trackers:
        yield Processes()
        return
    from accelerate import Accelerator  # noqa: PLC0415 -- not needed for a fit in one process

    accelerator = Accelerator(cpu=not torch.cuda.is_available(), log_with=list(trackers) or None, project_dir=folder)
    if trackers:
        folder.mkdir(parents=True, exist_ok=True)
        accelerator.init_trackers(
            folder.name,
            init_kwargs={"wandb": {"name": folder.parent.name, "dir": str(folder)}},  # the language
        )

    def log(values: Mapping[str, float], step: int) -> None:
        accelerator.log(dict(values), step=step)

    try:
        if accelerator.num_processes == 1:
            yield Processes(log=log)
        else:
            yield Processes(
                accelerator.process_index,
                accelerator.num_processes,
                lambda tensor: accelerator.reduce(tensor, "sum"),
                _wait,
                _gather,
                log,
            )
    except RuntimeError as error:
        if accelerator.num_processes > 1 and _has_lost_another(error):
            raise TrainingError(
                f"another process of this run has ended, or cannot be reached ({one_line(error, 200)}).",
                "If it has ended, its own message says why. Run the same command again to resume.",
            ) from error
        raise
    finally:
        for tracker in accelerator.trackers:  # not end_training, which also destroys the process group
            tracker.finish()
        if accelerator.num_processes > 1:
            atexit.register(_destroy_process_group)


@cache
def _waiting_group() -> Any:
    """Return a group of all processes in which they may wait for each other for days."""
    return torch.distributed.new_group(backend="gloo", timeout=_LONGEST_WAIT)


def _wait() -> None:
    torch.distributed.barrier(_waiting_group())


def _gather(value: Any) -> list[Any]:
    values: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value, group=_waiting_group())
    return values


def _has_lost_another(error: RuntimeError) -> bool:
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error).lower()


def _destroy_process_group() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def process_count() -> int:
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
    return process_count() == 1 or os.environ["RANK"] == "0"
