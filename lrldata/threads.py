"""How many cores this process has, and how the threads of numeric libraries share them with others. IO."""

import os
from collections.abc import Iterator
from pathlib import Path

SPINS = "1000"  # what libgomp itself takes where it knows of more threads than cores


def limit_threads() -> None:
    """Set what libraries of this process and of those that it starts read as they are loaded: call it before torch is.

    A thread of OpenMP waits for the others by spinning, in libgomp for 300,000 turns. Where something else runs on one
    of the cores, it takes the time of the thread that all wait for, and two threads are ten times slower than one. So
    they spin a little, and then sleep. What the user has set stands.

    OpenMP keeps to the cores that it may run on, but knows of no limit to their time. Polars and tokenizers do.
    """
    if not os.environ.keys() & {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}:
        os.environ["GOMP_SPINCOUNT"] = SPINS
    if "OMP_NUM_THREADS" not in os.environ and (share := cores()) < _allowed():
        os.environ["OMP_NUM_THREADS"] = str(share)


def cores() -> int:
    """Return how many cores this process may use: those that it may run on, or fewer where its time is limited."""
    limit = quota()
    return _allowed() if limit is None else max(1, min(_allowed(), int(limit)))


def quota(root: Path = Path("/")) -> float | None:
    """Return the time that this process's cgroups let it have, in cores; None where they set no limit.

    A group has no more than the groups around it. In a container the path of the group may be the host's, of which
    nothing is seen: the limit then stands where the groups begin.
    """
    return min((limit for group in _groups(root, "cpu") for limit in _limits(group)), default=None)


def memory_left(root: Path = Path("/")) -> int | None:
    """Return how many bytes of memory this process's cgroups still let it have; None where they set no limit.

    What they keep of files that nobody reads now is given up when it is wanted, and counts as free.
    """
    left = []
    for group in _groups(root, "memory"):
        for most, used, stale in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit, taken = _text(group / most).strip(), _text(group / used).strip()
            if limit.isdigit() and taken.isdigit():  # not `max`
                told = dict(line.split(" ", 1) for line in _text(group / "memory.stat").splitlines() if " " in line)
                left.append(max(0, int(limit) - int(taken) + int(told.get(stale, 0))))
    return min(left, default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's cgroups of a controller, of either version, and of the groups around them."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        inner = [part for part in path.split("/") if part not in ("", "..")]
        for top in _tops(root / "sys/fs/cgroup", controllers, controller):
            yield from (top.joinpath(*inner[:depth]) for depth in range(len(inner) + 1))


def _tops(mounted: Path, controllers: str, controller: str) -> list[Path]:
    """Return the folders in which a hierarchy may begin: version 2 has no controllers in its line."""
    if not controllers:
        return [mounted, mounted / "unified"]
    return [mounted / controllers, mounted / controller] if controller in controllers.split(",") else []


def _limits(group: Path) -> Iterator[float]:
    """Yield the limit of a group in cores, if it has one: microseconds in a period of so many, of either version."""
    first = _text(group / "cpu.max").split()
    second = [_text(group / name).strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
    for given in (first, second):
        if len(given) == 2 and all(map(str.isdigit, given)) and int(given[1]):  # not `max`, nor -1
            yield int(given[0]) / int(given[1])


def _allowed() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:  # not Linux, or of the other version
        return ""
