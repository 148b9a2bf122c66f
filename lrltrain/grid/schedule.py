"""Hand jobs to an engine as those that they need are done; what fails is tried again, and does not stop the others."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lrltrain.grid.job import Job
from lrltrain.grid.records import Record, Records

POLL = 1.0  # seconds between looks at jobs that another grid is at


class Engine(Protocol):
    """Where jobs run: at most `slots` at once."""

    slots: int

    def takes(self, job: Job) -> bool:
        """Return whether there is room for a job now."""

    def group(self, job: Job, ready: Sequence[Job]) -> list[Job]:
        """Return a job and those of others that are ready which it is best done together with."""

    def submit(self, jobs: Sequence[Job]) -> None:
        """Start a job, or several that are done together."""

    def finished(self, seconds: float) -> list[Record]:
        """Return the records of jobs that ended, after waiting so long for one; `lost` where its process died."""


@dataclass
class Schedule:
    """Where a grid stands: ids of jobs, each after those that it needs.

    A job that fails is tried `retries` times more, unless that cannot help. A report is written of what there is when
    the rest has ended, and again where something is new.
    """

    jobs: dict[str, Job]
    records: Records
    retries: int = 1
    done: dict[str, Record] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)  # of those done, the ones that were before
    failed: dict[str, Record] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)
    _tries: dict[str, int] = field(default_factory=dict)
    _later: dict[str, float] = field(default_factory=dict)  # jobs that another grid is at, and when to look again

    def find_done(self, *, verify: bool) -> None:
        """Find the jobs that are done; with `verify` every file is read. A report is, where all that it needs is."""
        for job in self.jobs.values():
            is_current = job.kind != "report" or all(need in self.kept for need in job.needs)
            record = self.records.done(job, verify=verify) if is_current else None
            if record is not None:
                self.done[job.id] = record
                self.kept.add(job.id)

    @property
    def is_over(self) -> bool:
        """Return whether every job has ended, or cannot begin."""
        return not any(map(self._is_open, self.jobs))

    @property
    def ended(self) -> int:
        """Return how many jobs have ended, or cannot begin."""
        return len(self.done) + len(self.failed) + len(self.blocked)

    def ready(self) -> list[Job]:
        """Return the jobs that can begin, in their order."""
        now = time.monotonic()
        return [
            job
            for job in self.jobs.values()
            if self._is_open(job.id)
            and job.id not in self.running
            and self._can_begin(job)
            and self._later.get(job.id, 0.0) <= now
        ]

    def fresh(self, jobs: Iterable[Job]) -> list[Job]:
        """Return those of jobs that neither run nor have failed before; one that has is tried again by itself."""
        return [job for job in jobs if job.id not in self.running and job.id not in self._tries]

    def end(self, record: Record) -> None:
        """Take note of how a job ended."""
        self.running.discard(record.id)
        if record.status == "elsewhere":
            self._later[record.id] = time.monotonic() + POLL
        elif record.status == "done":
            self.done[record.id] = record
        else:
            self._requeue_damaged(self.jobs[record.id])
            self._tries[record.id] = self._tries.get(record.id, 0) + 1
            if record.final or self._tries[record.id] > self.retries:
                self.failed[record.id] = record
                self._block()

    def _is_open(self, job: str) -> bool:
        return job not in self.done and job not in self.failed and job not in self.blocked

    def _can_begin(self, job: Job) -> bool:
        if job.kind == "report":
            return not any(map(self._is_open, job.needs))
        return all(need in self.done for need in job.needs)

    def _requeue_damaged(self, job: Job) -> None:
        """Where a job failed because of what it needs is damaged, let that be made again."""
        for need in job.needs:
            if need in self.done and self.records.changed_files(self.done[need], verify=True):
                del self.done[need]
                self.kept.discard(need)

    def _block(self) -> None:
        """Find the jobs that cannot begin, as something that they need has failed."""
        for job in self.jobs.values():
            lacking = any(need in self.failed or need in self.blocked for need in job.needs)
            if lacking and job.kind != "report" and self._is_open(job.id):
                self.blocked.add(job.id)


def run(
    jobs: Iterable[Job],
    records: Records,
    engine: Engine,
    *,
    retries: int,
    verify: bool,
    tell: Callable[[Schedule, Record], None],
) -> Schedule:
    """Do the jobs that are not done, and return what became of all. `tell` is called as each job ends."""
    schedule = Schedule({job.id: job for job in jobs}, records, retries)
    schedule.find_done(verify=verify)
    while not schedule.is_over:
        waiting: set[str] = set()  # kinds of jobs of which one has no room: others may not overtake it
        ready = schedule.ready()
        for job in ready:
            if job.id in schedule.running:  # in the group of one before
                continue
            if job.kind in waiting or not engine.takes(job):
                waiting.add(job.kind)
                continue
            fresh = schedule.fresh(ready)
            jobs_at_once = engine.group(job, fresh) if job in fresh else [job]
            engine.submit(jobs_at_once)
            schedule.running |= {each.id for each in jobs_at_once}
        for record in engine.finished(POLL):
            schedule.end(record)
            if record.status != "elsewhere":
                tell(schedule, record)
    return schedule
