"""How a grid is printed: its jobs as a tree, where it stands, and what failed."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from lrldata.cli.tables import table
from lrldata.errors import StorageError
from lrldata.output import Screen, shown, styled
from lrltrain.grid.cost import Cost, cost_of, tree
from lrltrain.grid.job import KINDS, Job
from lrltrain.grid.records import Record, Records, records_of
from lrltrain.grid.schedule import Schedule

WORDS = {"shard": "files of web text", "build": "datasets", "fit": "adapters", "eval": "scores"}
WORDS |= {"push": "languages to publish", "report": "report"}


def plan(jobs: list[Job], done: set[str]) -> Tree:
    """Draw the jobs, by what they make, with what they take."""
    grown = Tree(styled(f"{_told(cost_of(jobs, jobs))}; {len(done):,} of them done already", "bold"))
    by_kind = tree(jobs)
    for kind in KINDS:
        if kind in by_kind:
            inside = [job for group in by_kind[kind].values() for job in group]
            branch = grown.add(Text.assemble(styled(WORDS[kind], "bold"), f": {_told(cost_of(inside, jobs))}"))
            for name, group in by_kind[kind].items():
                if name:
                    held = len({job.labels["lang"] for job in group})
                    many = f"{held} language{'s' if held > 1 else ''}"
                    branch.add(f"{name}: {many}, {_told(cost_of(group, jobs))}")
    return grown


def plan_as_json(jobs: list[Job], done: set[str]) -> dict[str, Any]:
    """Return the same as JSON-like values."""

    def told(some: list[Job]) -> dict[str, Any]:
        return vars(cost_of(some, jobs))

    by_kind = {kind: {name: told(group) for name, group in groups.items()} for kind, groups in tree(jobs).items()}
    return {"total": told(jobs), "done": len(done), "jobs": by_kind}


def _told(cost: Cost) -> str:
    parts = [f"{cost.jobs:,} job{'' if cost.jobs == 1 else 's'}"]
    if cost.gpu_seconds:
        parts.append(f"about {hours(cost.gpu_seconds)} of an H100")
    if cost.reads:
        parts.append(f"reads {size(cost.reads)}")
    if cost.disk:
        parts.append(f"{size(cost.disk)} on disk")
    return ", ".join(parts)


def hours(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3_600 else f"{seconds / 3_600:,.1f} h"


def size(count: float) -> str:
    """Return a number of bytes in the unit that suits it."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1_000:
            return f"{count:,.0f} {unit}"
        count /= 1_000
    return f"{count:,.1f} TB"


def teller(total: int, *, quiet: bool) -> Callable[[Schedule, Record], None]:
    """Return what prints a line for each job that ends."""
    screen = Screen(stderr=True)

    def tell(state: Schedule, record: Record) -> None:
        if not quiet:
            screen.print(ended(state, total, record), soft_wrap=True)

    return tell


def ended(state: Schedule, total: int, record: Record) -> Text:
    """Return the line that tells that a job ended."""
    head = f"[{state.ended}/{total}] {shown(record.name)}: "
    if record.status == "done":
        return Text(f"{head}{record.seconds:.1f} s")
    again = "" if record.id in state.failed else " (is tried again)"
    return Text.assemble(head, (record.status, "red"), f": {shown(record.error)}{again}")


def outcome(jobs: list[Job], state: Schedule, records: Records) -> Group:
    """Draw what became of a grid, with what failed and where its log is."""
    kept = f", {len(state.kept):,} of them before" if state.kept else ""
    lines = [f"{len(state.done):,} of {len(jobs):,} jobs done{kept}."]
    if state.blocked:
        lines.append(f"{len(state.blocked):,} wait for what failed.")
    return Group(*lines, *([failures(state.failed.values(), records)] if state.failed else []))


def failures(failed: Iterable[Record], records: Records) -> Table:
    """Draw the jobs that failed."""
    drawn = table("Failed", "job", "attempts", "error", "log", numbers=("attempts",))
    for record in failed:
        drawn.add_row(
            record.name,
            str(record.attempts),
            record.error,
            records.address(records.log(record.id)),
        )
    return drawn


def status(jobs: list[Job], slots: int, began: float, records: Records) -> tuple[Group, dict[str, Any]]:
    """Say where the last grid of a workspace stands, drawn and as JSON-like values.

    `slots` is how many jobs may run at once; how many do, where they share a GPU, what has ended since it began tells.
    """
    found = {job.id: records.read(job.id) for job in jobs}
    running = [job for job in jobs if records.is_running(job.id)]
    held = {job.id for job in running}
    counted: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    states: dict[str, str] = {}
    for job in jobs:
        record = found[job.id]
        what = "running" if job.id in held else "left" if record is None else record.status
        states[job.id] = what
        counted[job.kind][what] += 1
    waiting = _waiting(jobs, states)
    seconds = _seconds_left([job for job in jobs if job.id not in waiting], found, states)
    at_once = _at_once([record for record in found.values() if record is not None], slots, began)
    names = ("done", "running", "failed", "left")
    drawn = table(records.address(records.workspace), "what", *names, numbers=names)
    for kind, counts in counted.items():
        if counts:
            drawn.add_row(WORDS[kind], *(f"{counts[name]:,}" for name in names))
    totals = {name: sum(counts[name] for counts in counted.values()) for name in names}
    drawn.add_row("all", *(f"{totals[name]:,}" for name in names))
    failed = [record for job, record in found.items() if record is not None and states[job] == "failed"]
    now = [f"running: {job.name}" for job in running]
    now += [f"{len(waiting):,} wait for what failed."] if waiting else []
    left = [] if not seconds else [f"About {hours(seconds / at_once)} left, at {at_once:.2g} jobs at once."]
    value = {
        **totals,
        "waiting": len(waiting),
        "running_now": [job.name for job in running],
        "failures": [
            {"name": each.name, "error": each.error, "log": records.address(records.log(each.id))} for each in failed
        ],
        "seconds_left": None if seconds is None else round(seconds / at_once, 1),
        "at": round(time.time()),
    }
    return Group(drawn, *now, *left, *([failures(failed, records)] if failed else [])), value


def _waiting(jobs: Iterable[Job], states: Mapping[str, str]) -> set[str]:
    """Return the jobs that cannot begin, as something that they need has failed; each stands after what it needs."""
    waiting: set[str] = set()
    for job in jobs:
        lacks = any(states.get(need) == "failed" or need in waiting for need in job.needs)
        if lacks and job.kind != "report" and states[job.id] == "left":
            waiting.add(job.id)
    return waiting


def _at_once(records: Iterable[Record], slots: int, began: float) -> float:
    """Return how many jobs have run at once: seconds of those that ended since `began`, by the time that this took."""
    ended = [record for record in records if record.ended > began]
    took = max((record.ended for record in ended), default=began) - began
    worked = sum(record.seconds for record in ended)
    return min(float(slots), max(worked / took, 0.1)) if worked and took else float(slots)


def _seconds_left(jobs: list[Job], found: dict[str, Record | None], states: dict[str, str]) -> float | None:
    """Return the seconds of work that is left, by the mean of what is done of each kind; None where nothing tells."""
    known: dict[str, list[float]] = {}
    for job in jobs:
        record = found[job.id]
        if record is not None and states[job.id] == "done":
            known.setdefault(job.kind, []).append(record.seconds)
    if not known:
        return None
    usual = sum(map(sum, known.values())) / sum(map(len, known.values()))
    means = {kind: sum(each) / len(each) for kind, each in known.items()}
    return sum(means.get(job.kind, usual) for job in jobs if states[job.id] in ("left", "running"))


def unfinished(workspace: Path) -> str:
    """Say how many jobs of the last grid in a folder are not done; nothing where all are, or none has run."""
    records = records_of(str(workspace), workspace)
    try:
        jobs = [job for job in records.read_plan()[0] if job.kind not in ("report", "push")]
    except StorageError:
        return ""
    ended = [record.status if (record := records.read(job.id)) else "left" for job in jobs]
    left = [status for status in ended if status != "done"]
    failed = f", {left.count('failed'):,} of them failed" if "failed" in left else ""
    return f"{len(left):,} of {len(jobs):,} jobs of the study in this workspace are not done{failed}" if left else ""
