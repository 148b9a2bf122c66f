"""Run commands for bench_glotcc.py in separate processes on some of the cores, with their time and memory. IO."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

CORES = sorted(os.sched_getaffinity(0))
INTERVAL = 0.05  # seconds between two readings of the memory, which take at most a fifth of the time
MEMORY_LIMIT = 0.7  # share of the machine's memory at which a watched command is killed


@dataclass(frozen=True)
class Run:
    """The wall-clock seconds of a command, including start-up, and the JSON object that it printed."""

    seconds: float
    output: dict[str, Any]


@dataclass(frozen=True)
class Peak:
    """The peak memory of a command in MB: of all its processes together, and of the largest process.

    Shared pages count once in `together`. `ended` is true if the command was killed because it used too much memory.
    """

    together: float
    largest: float
    seconds: float
    ended: bool


def run(command: Sequence[str], cores: int = 1) -> Run:
    """Run a command on the last `cores` cores. The last line of its output must be JSON."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = _start(command, cores, out, errors)
        status = process.wait()
        seconds = time.perf_counter() - began
        _check(command, status, errors)
        out.seek(0)
        return Run(seconds, json.loads(out.read().decode().strip().split("\n")[-1]))


def watch(command: Sequence[str]) -> Peak:
    """Run a command on all cores and monitor the memory of its processes."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = _start(command, len(CORES), out, errors)
        together = largest = 0.0
        limit = MEMORY_LIMIT * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
        while process.poll() is None:
            reading_began = time.perf_counter()
            tree = [process.pid, *_descendants(process.pid)]
            together = max(together, sum(_megabytes(pid, "smaps_rollup", "Pss:") for pid in tree))
            largest = max(largest, *(_megabytes(pid, "status", "VmHWM:") for pid in tree))
            if together > limit:
                _end(tree)
            time.sleep(max(INTERVAL, 4 * (time.perf_counter() - reading_began)))
        seconds = time.perf_counter() - began
        if together <= limit:
            _check(command, process.returncode, errors)
    return Peak(together, largest, seconds, together > limit)


def _start(command: Sequence[str], cores: int, out: IO[bytes], errors: IO[bytes]) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if name != "POLARS_MAX_THREADS"}
    if cores == 1:
        environment["POLARS_MAX_THREADS"] = "1"
    os.sched_setaffinity(0, CORES[-cores:])  # inherited by the child
    try:
        return subprocess.Popen(command, stdout=out, stderr=errors, env=environment)
    finally:
        os.sched_setaffinity(0, CORES)


def _check(command: Sequence[str], status: int, errors: IO[bytes]) -> None:
    if status:
        errors.seek(0)
        sys.exit(f"{' '.join(command)}\nended with {status}:\n{errors.read().decode(errors='replace')[-3000:]}")


def _descendants(ancestor: int) -> list[int]:
    """Return the ids of all descendants of a process, from the parents in /proc."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # the process has ended
                # The program's name is in parentheses and may contain anything; state and parent follow it.
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(folder.name))
    processes = [ancestor]
    for pid in processes:  # the list grows during the loop
        processes += children.get(pid, [])
    return processes[1:]


def _end(tree: Sequence[int]) -> None:
    for pid in tree:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _megabytes(pid: int, file: str, label: str) -> float:
    """Return a figure in /proc, given there in KiB, as MB; 0 if the process has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(label):
                return int(line.split()[1]) * 1024 / 1e6
    return 0
