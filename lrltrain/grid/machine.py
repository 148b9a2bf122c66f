"""What this machine has for jobs: cores, memory, GPUs. IO."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lrldata.threads import cores, memory_left
from lrltrain.grid.cost import gpu_memory_of, memory_of
from lrltrain.grid.job import Job

ON_A_GPU = ("fit", "eval")  # kinds of jobs that compute on one
MAX_JOBS_PER_GPU = 4  # jobs at most that share a GPU, where nobody says otherwise


@dataclass(frozen=True)
class Gpu:
    """A GPU: its name as CUDA_VISIBLE_DEVICES has it, and its bytes of memory."""

    name: str
    memory: int


def share_of(job: Job, memory: int, most: int | None) -> float:
    """Return the part of a GPU with so much memory that a job has to itself: one of `most`, where so many fit.

    None means as many as fit, MAX_JOBS_PER_GPU at most. A job that is no training and no measuring wants none.
    """
    if job.kind not in ON_A_GPU:
        return 0.0
    fitting = most or min(MAX_JOBS_PER_GPU, int(memory // gpu_memory_of(job)))
    return 1 / max(1, fitting)


def slots_for(jobs: Iterable[Job], threads: int, found: Sequence[Gpu]) -> int:
    """Return how many jobs run at once: as many as there are cores, and as memory holds; one a GPU at least.

    It holds as many of the smallest; whether it holds a larger one beside others is seen when that is to begin.
    """
    smallest = min((memory_of(job) for job in jobs), default=1)
    return max(1, len(found), min(cores() // threads, int(free_memory() // smallest)))


def gpus() -> tuple[Gpu, ...]:
    """Return the GPUs that may be used. torch, which knows too, starts slowly."""
    if (program := shutil.which("nvidia-smi")) is None:
        return ()
    asked = [program, "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    rows = [[part.strip() for part in line.split(",")] for line in told.splitlines() if line.count(",") == 2]
    memory = {name: int(size) << 20 for index, uuid, size in rows if size.isdigit() for name in (index, uuid)}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    # Not by index where nothing asks for it: torch counts the fastest first, nvidia-smi by place.
    names = [uuid for _, uuid, _ in rows] if visible is None else [each.strip() for each in visible.split(",")]
    return tuple(Gpu(name, memory[name]) for name in names if name in memory)


def free_memory() -> int:
    """Return how many bytes of memory can be had, of the machine and of this process's cgroups, as a job's of SLURM."""
    try:
        told = Path("/proc/meminfo").read_text("ascii")
        free = int(told.split("MemAvailable:")[1].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        free = 8 << 30  # not Linux: a usual laptop's
    left = memory_left()
    return free if left is None else min(free, left)
