"""The number of cores that this process may use, and how numeric libraries share them with other processes. IO."""

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

FILES = 4_096
SPINS = "1000"  # libgomp's own value if it knows of more threads than cores


def limit_threads() -> None:
    """Limit the threads of libraries in this process and its child processes; call it before torch is imported.

    The libraries read these variables when they are loaded. An OpenMP thread waits for the others by spinning, in
    libgomp (Linux) for 300,000 turns. If something else runs on one of the cores, spinning takes time from the thread
    that all wait for, and two threads are ten times slower than one. So threads spin briefly and then sleep. What the
    user has set is kept.

    OpenMP respects the cores that it may run on, but not a limit on their time. Polars and tokenizers respect
    both.
    """
    if not os.environ.keys() & {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}:
        os.environ["GOMP_SPINCOUNT"] = SPINS
    if "OMP_NUM_THREADS" not in os.environ and (share := cores()) < _allowed():
        os.environ["OMP_NUM_THREADS"] = str(share)


def allow_open_files() -> None:
    """Raise the number of files that this process may have open, as far as it may: the default of macOS is only 256.

    A dataset of many gigabytes has more shards than that.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def cores() -> int:
    """Return how many cores this process may use: those that it may run on, or fewer if its time is limited."""
    limit = quota()
    return _allowed() if limit is None else max(1, min(_allowed(), int(limit)))


def quota(root: Path = Path("/")) -> float | None:
    """Return the CPU time that this process's cgroups allow, in cores; None if they set no limit.

    A group is also limited by the groups around it. In a container, the path of the group may be the host's, which is
    not visible; the limit is then found where the visible groups begin.
    """
    return min((limit for group in _groups(root, "cpu") for limit in _limits(group)), default=None)


def memory_left(root: Path = Path("/")) -> int | None:
    """Return how many more bytes of memory this process's cgroups allow; None if they set no limit.

    Cached files that nobody is reading are released on demand, and count as free.
    """
    limits = []
    for group in _groups(root, "memory"):
        for limit_name, usage_name, cache_name in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit, usage = _text(group / limit_name).strip(), _text(group / usage_name).strip()
            if limit.isdigit() and usage.isdigit():  # not `max`
                statistics = dict(
                    line.split(" ", 1) for line in _text(group / "memory.stat").splitlines() if " " in line
                )
                limits.append(max(0, int(limit) - int(usage) + int(statistics.get(cache_name, 0))))
    return min(limits, default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's cgroups for a controller, of either version, and of their parent groups."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        inner = [part for part in path.split("/") if part not in ("", "..")]
        for top in _tops(root / "sys/fs/cgroup", controllers, controller):
            yield from (top.joinpath(*inner[:depth]) for depth in range(len(inner) + 1))


def _tops(mounted: Path, controllers: str, controller: str) -> list[Path]:
    """Return the folders in which a hierarchy may begin; a line of version 2 has no controllers."""
    if not controllers:
        return [mounted, mounted / "unified"]
    return [mounted / controllers, mounted / controller] if controller in controllers.split(",") else []


def _limits(group: Path) -> Iterator[float]:
    """Yield the limit of a group in cores, if it has one: a quota and a period in microseconds, in either version."""
    first = _text(group / "cpu.max").split()
    second = [_text(group / name).strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
    for numbers in (first, second):
        if len(numbers) == 2 and all(map(str.isdigit, numbers)) and int(numbers[1]):  # not `max`, nor -1
            yield int(numbers[0]) / int(numbers[1])


def _allowed() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:  # not Linux, or the other version of cgroups
        return ""
