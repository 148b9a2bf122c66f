"""The cores, memory and GPUs that this machine has for jobs. IO."""

import os
import re
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
_UUID = ("GPU-", "MIG-")
# Lines of `nvidia-smi --list-gpus`: a GPU with its UUID, and a slice with its gigabytes and UUID.
_GPU = re.compile(r"GPU \d+: .*\(UUID: (\S+)\)")
_SLICE = re.compile(r"\s+MIG \S*?(\d+)gb\S*\s+Device\s+\d+:\s+\(UUID: (\S+)\)")


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
    """Return the GPUs that may be used, or their MIG slices. Asks nvidia-smi, because importing torch is slow."""
    slices = _slices(_nvidia_smi("--list-gpus"))
    output = _nvidia_smi("--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits")
    devices, memory = list[Gpu](), dict[str, int]()
    for line in output.splitlines():
        if line.count(",") != 2:
            continue
        index, uuid, size = (part.strip() for part in line.split(","))
        # A GPU without memory of its own, as in a DGX Spark, shares the machine's; its size is "[N/A]".
        whole = Gpu(uuid, int(size) << 20 if size.isdigit() else _memory_of_machine())
        parts = slices.get(uuid) or [whole]
        devices += parts
        memory |= {index: parts[0].memory, uuid: parts[0].memory, **{part.name: part.memory for part in parts}}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:  # UUIDs, because torch numbers GPUs by speed, and nvidia-smi by slot
        return tuple(devices)
    names = [_full_name(name.strip(), memory) for name in visible.split(",")]
    # A name that nvidia-smi does not list may still be a GPU, of unknown memory: one job at a time runs on it.
    return tuple(Gpu(name, memory.get(name, 0)) for name in names if name in memory or name.startswith(_UUID))


def _nvidia_smi(*options: str) -> str:
    if (program := shutil.which("nvidia-smi")) is None:
        return ""
    return subprocess.run([program, *options], capture_output=True, text=True, check=False).stdout


def _slices(listing: str) -> dict[str, list[Gpu]]:
    """Return the MIG slices of each GPU by its UUID. A slice's memory is part of the name of its profile: 3g.40gb."""
    slices: dict[str, list[Gpu]] = {}
    for line in listing.splitlines():
        if gpu := _GPU.match(line):
            own = slices.setdefault(gpu[1], [])
        elif part := _SLICE.match(line):
            own.append(Gpu(part[2], int(part[1]) << 30))
    return slices


def _full_name(name: str, known: Iterable[str]) -> str:
    """Return the name that a UUID in CUDA_VISIBLE_DEVICES abbreviates, if there is exactly one."""
    full = [other for other in known if name.startswith(_UUID) and other.startswith(name)]
    return full[0] if len(full) == 1 else name


def free_memory() -> int:
    """Return the free memory in bytes, as limited by the machine and by this process's cgroups (as in a SLURM job).

    On macOS, half of the machine's memory counts as free.
    """
    try:
        meminfo = Path("/proc/meminfo").read_text("ascii")
        free = int(meminfo.split("MemAvailable:")[1].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        free = _memory_of_machine() // 2
    limit = memory_left()
    return free if limit is None else min(free, limit)


def _memory_of_machine() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
