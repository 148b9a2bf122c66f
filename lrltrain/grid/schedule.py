"""Hand jobs to an engine once the jobs they need are done. A job that fails is retried and does not stop others."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from lrldata.code_version import code_version
from lrldata.errors import LrlError
from lrldata.output import note
from lrltrain.grid.job import Job
from lrltrain.grid.records import Record, Records

BUSY = 30.0  # seconds before a job whose files another machine is sending is tried again
POLL = 1.0  # seconds between checks of jobs that another grid is running


class Engine(Protocol):
    """Where jobs run: about `slots` at once."""

    slots: int

    def takes(self, job: Job) -> bool:
        """Return whether there is room for a job now."""

    def group(self, job: Job, ready: Sequence[Job]) -> list[Job]:
        """Return a job and those of the other ready jobs that are best run together with it."""

    def submit(self, jobs: Sequence[Job]) -> None:
        """Start a job, or several that run together."""

    def finished(self, seconds: float) -> list[Record]:
        """Wait up to `seconds` for a job to end. Return the records of those that ended; `lost` if a process died."""


@dataclass
class Schedule:
    """The state of a grid. `jobs` maps ids to jobs, each after the jobs it needs.

    A job that fails is retried up to `retries` times, unless retrying cannot help. The report covers whatever there is
    when all jobs before it have ended, and is written again if anything is new.
    """

    jobs: dict[str, Job]
    records: Records
    retries: int = 1
    done: dict[str, Record] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)  # done before this grid began
    failed: dict[str, Record] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)
    _tries: dict[str, int] = field(default_factory=dict)
    _later: dict[str, float] = field(default_factory=dict)  # jobs that another grid is running, and when to check again

    def find_done(self, *, verify: bool) -> None:
        """Find the done jobs; `verify` reads every file. A report counts only if all jobs it needs are done."""
        for job in self.jobs.values():
            is_current = job.kind != "report" or all(other in self.kept for other in job.after)
            record = self.records.done(job, verify=verify, known=self.done) if is_current else None
            if record is not None:
                self.done[job.id] = record
                self.kept.add(job.id)

    def note_other_versions(self) -> None:
        """Note how many jobs were done by other versions, which may have read, trained or measured differently."""
        versions = [self.done[job].lrl for job in self.kept if self.jobs[job].kind != "report"]
        if others := sorted({version for version in versions if version != code_version()}):
            count = sum(version in others for version in versions)
            by = ", ".join(f"lrl {version}" if version else "an earlier version" for version in others)
            records = self.records.address(self.records.folder / "jobs")
            note(
                f"{count:,} of {len(versions):,} finished jobs were done by {by}, and their results are kept. "
                f"To build and measure again, delete {records} and run the grid again. Adapters are then trained again "
                "only if their data or settings differ."
            )

    @property
    def is_over(self) -> bool:
        """Return whether every job has ended or cannot start."""
        return not any(map(self._is_open, self.jobs))

    @property
    def ended(self) -> int:
        """Return how many jobs have ended or cannot start."""
        return len(self.done) + len(self.failed) + len(self.blocked)

    def ready(self) -> list[Job]:
        """Return the jobs that can start now, in order."""
        now = time.monotonic()
        return [
            job
            for job in self.jobs.values()
            if self._is_open(job.id)
            and job.id not in self.running
            and self._can_start(job)
            and self._later.get(job.id, 0.0) <= now
        ]

    def fresh(self, jobs: Iterable[Job]) -> list[Job]:
        """Return the jobs that neither run nor have failed before. A job that has failed is retried by itself."""
        return [job for job in jobs if job.id not in self.running and job.id not in self._tries]

    def end(self, record: Record) -> Record:
        """Record how a job ended, and return its record, which is another one if the job was done after all."""
        self.running.discard(record.id)
        if record.status == "lost":
            record = self.records.found_done(self.jobs[record.id]) or record
        if record.status == "elsewhere":
            self._later[record.id] = time.monotonic() + POLL
        elif record.status == "busy":
            if record.id not in self._later:
                note(f"{record.name} waits: {record.error}")
            self._later[record.id] = time.monotonic() + BUSY
        elif record.status == "done":
            self.done[record.id] = record
            self._reopen_dependents(record.id)
        else:
            self._requeue_damaged(self.jobs[record.id])
            self._tries[record.id] = tries = self._tries.get(record.id, 0) + 1
            if record.final or tries > self.retries:
                if record.status == "lost":
                    record = replace(record, attempts=tries, ended=round(time.time(), 3))
                    self.records.write_lost(record)
                self.failed[record.id] = record
                self._block()
        return record

    def _is_open(self, job: str) -> bool:
        return job not in self.done and job not in self.failed and job not in self.blocked

    def _can_start(self, job: Job) -> bool:
        return all(need in self.done for need in job.needs) and not any(map(self._is_open, job.after))

    def _reopen_dependents(self, made: str) -> None:
        """Queue again the done jobs that used something else than what a job they need has made now."""
        for job in self.jobs.values():
            if job.id in self.done and made in job.before and not self.records.is_done(job):
                del self.done[job.id]
                self.kept.discard(job.id)

    def _requeue_damaged(self, job: Job) -> None:
        """Queue again the jobs that a failed job needs, if their files are damaged."""
        for need in job.needs:
            with suppress(LrlError, OSError):  # a store that cannot be reached must not stop the study
                if need in self.done and self.records.changed_files(self.done[need], verify=True):
                    del self.done[need]
                    self.kept.discard(need)

    def _block(self) -> None:
        """Find the jobs that cannot start because a job they need has failed."""
        for job in self.jobs.values():
            is_blocked = any(need in self.failed or need in self.blocked for need in job.needs)
            if is_blocked and self._is_open(job.id):
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
    """Run the jobs that are not done, and return the final state of all. `tell` is called as each job ends."""
    schedule = Schedule({job.id: job for job in jobs}, records, retries)
    schedule.find_done(verify=verify)
    schedule.note_other_versions()
    while not schedule.is_over:
        waiting: set[str] = set()  # kinds without room: later jobs of the same kind must not overtake
        ready = schedule.ready()
        for job in ready:
            if job.id in schedule.running:  # started in the group of an earlier job
                continue
            if job.kind in waiting or not engine.takes(job):
                waiting.add(job.kind)
                continue
            fresh = schedule.fresh(ready)
            group = engine.group(job, fresh) if job in fresh else [job]
            engine.submit(group)
            schedule.running |= {member.id for member in group}
        for ended in engine.finished(POLL):
            record = schedule.end(ended)
            if record.status not in ("elsewhere", "busy"):
                tell(schedule, record)
    return schedule
