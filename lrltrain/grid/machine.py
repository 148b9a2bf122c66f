"""The cores, memory and GPUs that this machine has for jobs. IO."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lrldata.threads import cores, memory_left
from lrltrain.grid.cost import gpu_memory_of, memory_of
from lrltrain.grid.job import Job

ON_A_GPU = ("fit", "eval")  # kinds of jobs that compute on a GPU
MAX_JOBS_PER_GPU = 4  # the default limit of jobs that share a GPU


@dataclass(frozen=True)
class Gpu:
    """A GPU: its name in CUDA_VISIBLE_DEVICES, and its memory in bytes."""

    name: str
    memory: int


def share_of(job: Job, memory: int, most: int | None) -> float:
    """Return the fraction of a GPU with `memory` bytes that a job takes: 1 / `most`.

    If `most` is None, as many jobs share the GPU as fit, at most MAX_JOBS_PER_GPU. Jobs other than fits and evals take
    none of it.
    """
    if job.kind not in ON_A_GPU:
        return 0.0
    fitting = most or min(MAX_JOBS_PER_GPU, int(memory // gpu_memory_of(job)))
    return 1 / max(1, fitting)


def slots_for(jobs: Iterable[Job], threads: int, gpus_in_use: Sequence[Gpu]) -> int:
    """Return how many jobs run at once: as many as cores and memory allow, and at least one per GPU.

    Memory is divided by the needs of the smallest job. Whether a larger one fits is checked before it starts.
    """
    smallest = min((memory_of(job) for job in jobs), default=1)
    return max(1, len(gpus_in_use), min(cores() // threads, int(free_memory() // smallest)))


def gpus() -> tuple[Gpu, ...]:
    """Return the GPUs that may be used. This asks nvidia-smi, because importing torch is slow."""
    if (program := shutil.which("nvidia-smi")) is None:
        return ()
    command = [program, "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits"]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    rows = [[part.strip() for part in line.split(",")] for line in output.splitlines() if line.count(",") == 2]
    memory = {name: int(size) << 20 for index, uuid, size in rows if size.isdigit() for name in (index, uuid)}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    # UUIDs unless CUDA_VISIBLE_DEVICES says otherwise: torch numbers GPUs by speed, nvidia-smi by slot.
    names = [uuid for _, uuid, _ in rows] if visible is None else [name.strip() for name in visible.split(",")]
    return tuple(Gpu(name, memory[name]) for name in names if name in memory)


def free_memory() -> int:
    """Return the free memory in bytes, as limited by the machine and by this process's cgroups (as in a SLURM job).

    On macOS, half of the machine's memory counts as free.
    """
    try:
        meminfo = Path("/proc/meminfo").read_text("ascii")
        free = int(meminfo.split("MemAvailable:")[1].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    limit = memory_left()
    return free if limit is None else min(free, limit)
