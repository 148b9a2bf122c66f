"""The printed form of a grid: its jobs as a tree, its status, and its failures."""

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
    """Return a tree of the jobs by what they make, with their costs."""
    root = Tree(styled(f"{_cost_text(cost_of(jobs, jobs))}; {len(done):,} of them already done", "bold"))
    by_kind = tree(jobs)
    for kind in KINDS:
        if kind in by_kind:
            members = [job for group in by_kind[kind].values() for job in group]
            branch = root.add(Text.assemble(styled(WORDS[kind], "bold"), f": {_cost_text(cost_of(members, jobs))}"))
            for name, group in by_kind[kind].items():
                if name:
                    count = len({job.labels["lang"] for job in group})
                    languages = f"{count} language{'s' if count > 1 else ''}"
                    branch.add(f"{name}: {languages}, {_cost_text(cost_of(group, jobs))}")
    return root


def plan_as_json(jobs: list[Job], done: set[str]) -> dict[str, Any]:
    """Return the plan as JSON-like values."""

    def cost(some: list[Job]) -> dict[str, Any]:
        return vars(cost_of(some, jobs))

    by_kind = {kind: {name: cost(group) for name, group in groups.items()} for kind, groups in tree(jobs).items()}
    return {"total": cost(jobs), "done": len(done), "jobs": by_kind}


def _cost_text(cost: Cost) -> str:
    parts = [f"{cost.jobs:,} job{'' if cost.jobs == 1 else 's'}"]
    if cost.gpu_seconds:
        parts.append(f"about {hours(cost.gpu_seconds)} of an H100")
    if cost.reads:
        parts.append(f"reads {size(cost.reads)}")
    if cost.disk:
        parts.append(f"{size(cost.disk)} on disk")
    return ", ".join(parts)


def hours(seconds: float) -> str:
    """Return a time in a suitable unit."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3_600 else f"{seconds / 3_600:,.1f} h"


def size(count: float) -> str:
    """Return a number of bytes in a suitable unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1_000:
            return f"{count:,.0f} {unit}"
        count /= 1_000
    return f"{count:,.1f} TB"


def progress_printer(total: int, *, quiet: bool) -> Callable[[Schedule, Record], None]:
    """Return a function that prints a line for each job that ends."""
    screen = Screen(stderr=True)

    def tell(state: Schedule, record: Record) -> None:
        if not quiet:
            screen.print(ended(state, total, record), soft_wrap=True)

    return tell


def ended(state: Schedule, total: int, record: Record) -> Text:
    """Return the line to print when a job ends."""
    head = f"[{state.ended}/{total}] {shown(record.name)}: "
    if record.status == "done":
        return Text(f"{head}{record.seconds:.1f} s")
    again = "" if record.id in state.failed else " (will be retried)"
    return Text.assemble(head, (record.status, "red"), f": {shown(record.error)}{again}")


def outcome(jobs: list[Job], state: Schedule, records: Records) -> Group:
    """Return a summary of a finished grid, with its failures and their logs."""
    kept = f", {len(state.kept):,} of them earlier" if state.kept else ""
    lines: list[str | Text] = [f"{len(state.done):,} of {len(jobs):,} jobs done{kept}."]
    if state.blocked:
        lines.append(f"{len(state.blocked):,} wait for failed jobs.")
    for job in jobs:
        if job.kind == "report" and job.id in state.done and job.id not in state.kept:
            lines += [Text(shown(line)) for line in notes_of(records.log(job.id))]
    return Group(*lines, *([failures(state.failed.values(), records)] if state.failed else []))


def notes_of(log: Path) -> list[str]:
    """Return the notes and warnings in the last part of a job's log, which is that of its last run."""
    try:
        text = log.read_text("utf-8", errors="replace")
    except OSError:  # the job ran on another machine
        return []
    return [line for line in text.rpartition("\n-- ")[2].split("\n") if line.startswith(("note: ", "warning: "))]


def failures(failed: Iterable[Record], records: Records) -> Table:
    """Return a table of the jobs that failed."""
    listing = table("Failed", "job", "attempts", "error", "log", numbers=("attempts",))
    for record in failed:
        listing.add_row(
            record.name,
            str(record.attempts),
            record.error,
            records.address(records.log(record.id)),
        )
    return listing


def status(jobs: list[Job], slots: int, began: float, records: Records) -> tuple[Group, dict[str, Any]]:
    """Return the status of the last grid of a workspace, for printing and as JSON-like values.

    `slots` is the maximum number of jobs at once. How many really run at once, which may be fewer where jobs share a
    GPU, is estimated from the jobs that ended since the grid began.
    """
    records_by_job = {job.id: records.read(job.id) for job in jobs}
    running = [job for job in jobs if records.is_running(job.id)]
    running_ids = {job.id for job in running}
    counts_by_kind: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    states: dict[str, str] = {}
    for job in jobs:
        record = records_by_job[job.id]
        state = "running" if job.id in running_ids else "left" if record is None else record.status
        state = "failed" if state == "lost" else state
        if record is not None and state == "done" and not records.has_files(record):
            state = "left"  # somebody has removed what it made
        states[job.id] = state
        counts_by_kind[job.kind][state] += 1
    waiting = _waiting(jobs, states)
    seconds = _seconds_left([job for job in jobs if job.id not in waiting], records_by_job, states)
    at_once = _at_once([record for record in records_by_job.values() if record is not None], slots, began)
    names = ("done", "running", "failed", "left")
    overview = table(records.address(records.workspace), "what", *names, numbers=names)
    for kind, counts in counts_by_kind.items():
        if counts:
            overview.add_row(WORDS[kind], *(f"{counts[name]:,}" for name in names))
    totals = {name: sum(counts[name] for counts in counts_by_kind.values()) for name in names}
    overview.add_row("all", *(f"{totals[name]:,}" for name in names))
    failed = [record for job, record in records_by_job.items() if record is not None and states[job] == "failed"]
    notes = [f"running: {job.name}" for job in running]
    notes += [f"{len(waiting):,} wait for failed jobs."] if waiting else []
    estimate = [] if not seconds else [f"About {hours(seconds / at_once)} left, at {at_once:.2g} jobs at once."]
    value = {
        **totals,
        "waiting": len(waiting),
        "running_now": [job.name for job in running],
        "failures": [
            {"name": record.name, "error": record.error, "log": records.address(records.log(record.id))}
            for record in failed
        ],
        "seconds_left": None if seconds is None else round(seconds / at_once, 1),
        "at": round(time.time()),
    }
    return Group(overview, *notes, *estimate, *([failures(failed, records)] if failed else [])), value


def _waiting(jobs: Iterable[Job], states: Mapping[str, str]) -> set[str]:
    """Return the jobs that cannot start because a job they need has failed. `jobs` lists each after those it needs."""
    waiting: set[str] = set()
    for job in jobs:
        lacks = any(states.get(need) == "failed" or need in waiting for need in job.needs)
        if lacks and states[job.id] == "left":
            waiting.add(job.id)
    return waiting


def _at_once(records: Iterable[Record], slots: int, began: float) -> float:
    """Return how many jobs ran at once: the total seconds of those that ended since `began`, over the elapsed time."""
    ended = [record for record in records if record.ended > began]
    elapsed = max((record.ended for record in ended), default=began) - began
    worked = sum(record.seconds for record in ended)
    return min(float(slots), max(worked / elapsed, 0.1)) if worked and elapsed else float(slots)


def _seconds_left(jobs: list[Job], records: dict[str, Record | None], states: dict[str, str]) -> float | None:
    """Return the seconds of work left, by the mean time of the done jobs of each kind; None if no job is done."""
    seconds: dict[str, list[float]] = {}
    for job in jobs:
        record = records[job.id]
        if record is not None and states[job.id] == "done":
            seconds.setdefault(job.kind, []).append(record.seconds)
    if not seconds:
        return None
    mean = sum(map(sum, seconds.values())) / sum(map(len, seconds.values()))
    means = {kind: sum(values) / len(values) for kind, values in seconds.items()}
    return sum(means.get(job.kind, mean) for job in jobs if states[job.id] in ("left", "running"))


def unfinished(workspace: Path) -> str:
    """Return a note on the unfinished jobs of the last grid in a folder; empty if there are none or no grid has run."""
    records = records_of(str(workspace), workspace)
    try:
        jobs = [job for job in records.read_plan()[0] if job.kind not in ("report", "push")]
    except StorageError:
        return ""
    statuses = [record.status if (record := records.read(job.id)) else "left" for job in jobs]
    remaining = [status for status in statuses if status != "done"]
    count = remaining.count("failed") + remaining.count("lost")
    failed = f", {count:,} of them failed" if count else ""
    return (
        f"{len(remaining):,} of {len(jobs):,} jobs of the study in this workspace are not done{failed}"
        if remaining
        else ""
    )
