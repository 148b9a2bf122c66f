"""Commands run for bench_glotcc.py in processes of their own: held to cores, timed, their memory watched. IO."""

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
EVERY = 0.05  # seconds between two looks at the memory, which itself takes time: up to a fifth of it
MOST = 0.7  # share of the machine's memory at which a command that is watched is ended


@dataclass(frozen=True)
class Run:
    """Wall-clock seconds of a command, start-up included, and the JSON object that it printed."""

    seconds: float
    output: dict[str, Any]


@dataclass(frozen=True)
class Peak:
    """The most memory of a command in MB: of all its processes at one time, shared pages counted once, and of one.

    `ended` where it was about to take the whole memory of the machine.
    """

    together: float
    largest: float
    seconds: float
    ended: bool


def run(command: Sequence[str], cores: int = 1) -> Run:
    """Run a command on the last `cores` cores; it ends in a line of JSON."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = _start(command, cores, out, errors)
        status = process.wait()
        seconds = time.perf_counter() - began
        _check(command, status, errors)
        out.seek(0)
        return Run(seconds, json.loads(out.read().decode().strip().split("\n")[-1]))


def watch(command: Sequence[str]) -> Peak:
    """Run a command on all cores, and look at the memory of its processes as it runs."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = _start(command, len(CORES), out, errors)
        together = largest = 0.0
        most = MOST * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
        while process.poll() is None:
            looked = time.perf_counter()
            tree = [process.pid, *_descendants(process.pid)]
            together = max(together, sum(_megabytes(pid, "smaps_rollup", "Pss:") for pid in tree))
            largest = max(largest, *(_megabytes(pid, "status", "VmHWM:") for pid in tree))
            if together > most:
                _end(tree)
            time.sleep(max(EVERY, 4 * (time.perf_counter() - looked)))
        seconds = time.perf_counter() - began
        if together <= most:
            _check(command, process.returncode, errors)
    return Peak(together, largest, seconds, together > most)


def _start(command: Sequence[str], cores: int, out: IO[bytes], errors: IO[bytes]) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if name != "POLARS_MAX_THREADS"}
    if cores == 1:
        environment["POLARS_MAX_THREADS"] = "1"
    os.sched_setaffinity(0, CORES[-cores:])  # which the child inherits
    try:
        return subprocess.Popen(command, stdout=out, stderr=errors, env=environment)
    finally:
        os.sched_setaffinity(0, CORES)


def _check(command: Sequence[str], status: int, errors: IO[bytes]) -> None:
    if status:
        errors.seek(0)
        sys.exit(f"{' '.join(command)}\nended with {status}:\n{errors.read().decode(errors='replace')[-3000:]}")


def _descendants(ancestor: int) -> list[int]:
    """Return the processes that come from another, by the parents that the system names for all."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # it has ended
                # The name of the program stands in brackets and may hold anything; state and parent follow it.
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(folder.name))
    found = [ancestor]
    for pid in found:  # which grows as they are found
        found += children.get(pid, [])
    return found[1:]


def _end(tree: Sequence[int]) -> None:
    for pid in tree:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _megabytes(pid: int, file: str, what: str) -> float:
    """Return a figure that the system has in KiB of a process, 0 where it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(what):
                return int(line.split()[1]) * 1024 / 1e6
    return 0
