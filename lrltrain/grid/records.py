"""The records of a workspace's jobs. Each job has a record, which is written last, and a log. IO.

WORKSPACE/grid/plan.json          the jobs of the last grid
WORKSPACE/grid/jobs/ID.json       how a job ended, and the size, time and hash of each file that it wrote
WORKSPACE/grid/logs/ID.log        the output of a job
WORKSPACE/grid/locks/ID.lock      held while a job runs
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    StringConstraints,
    ValidationError,
)
from pydantic.dataclasses import dataclass as checked_dataclass

from lrldata.errors import LrlError, StorageError
from lrldata.layout import anchored
from lrldata.locks import SHARED, Lock
from lrldata.manifest import MANIFEST, DamagedError, fingerprint, identity, read_beside, sealed, sha256_of, write_json
from lrldata.manifest_schema import Sha256
from lrldata.output import note
from lrldata.paths import PathError, find, inside, safe_name, walk
from lrldata.remote import Mirror, as_folder, is_remote, mirror_of
from lrltrain.grid.job import Job, Kind, job_of
from lrltrain.grid.places import contents_of, folders_of

WORKSPACE = "workspace"  # what a report used, beside jobs
Status = Literal["done", "failed", "lost", "elsewhere", "busy"]


@checked_dataclass(frozen=True)
class Record:
    """How a job ended. `files` are the files that it wrote, each with its size, mtime in ns and SHA-256.

    `state` is a hash of what it made that is the same for the same result, `used` has those of the jobs it needed, by
    id, and `lrl` is the version that ran it. Earlier versions recorded none of these.
    """

    id: str
    name: str
    status: Status
    seconds: FiniteFloat = 0.0
    attempts: NonNegativeInt = 1
    error: str = ""
    final: bool = False  # retrying would not help
    ended: FiniteFloat = 0.0  # end time, in seconds since 1970
    files: dict[Annotated[str, AfterValidator(safe_name)], tuple[NonNegativeInt, int, Sha256]] = field(
        default_factory=dict
    )
    state: str = ""
    used: dict[str, str] = field(default_factory=dict)
    lrl: str = ""


class PlannedJob(BaseModel):
    """A job in a plan."""

    model_config = ConfigDict(defer_build=True)

    kind: Kind
    labels: dict[str, str]
    settings: dict[str, Any]
    needs: list[str]
    given: dict[str, str] = {}
    after: list[str] = []
    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]


class Plan(BaseModel):
    """The plan of a grid: its jobs and when it began."""

    model_config = ConfigDict(defer_build=True)

    slots: Annotated[int, Field(ge=1, le=1_000_000)]
    jobs: list[PlannedJob]
    began: FiniteFloat = 0.0


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
    return error.message if isinstance(error, StorageError) else str(error)


def records_of(workspace: str, cache: Path) -> "Records":
    """Return the records of a workspace; for a remote one, those of its mirror in the cache. Raises LrlError."""
    if not is_remote(workspace):
        return Records(as_folder(workspace).resolve())
    mirror = mirror_of(workspace, cache.resolve())
    return Records(mirror.folder.resolve(), mirror)


@dataclass(frozen=True)
class Records:
    """The records of a workspace. A remote one has a `mirror`: inputs are fetched to it and outputs sent from it."""

    workspace: Path
    mirror: Mirror | None = None

    @property
    def folder(self) -> Path:
        """Return the folder of the records."""
        return self.workspace / "grid"

    def fetch(self, below: Iterable[str], wanted: Callable[[str], bool] = lambda _: True) -> None:
        """If the workspace is remote, fetch the files below these paths. Raises StorageError."""
        if self.mirror is not None:
            self.mirror.fetch(below, wanted)

    def send(self, below: Iterable[str]) -> None:
        """If the workspace is remote, send the files below these paths. Raises StorageError."""
        if self.mirror is not None:
            self.mirror.send(below)

    def log(self, job: str) -> Path:
        """Return the path of a job's log."""
        return inside(self.workspace, f"grid/logs/{job}.log")

    def address(self, path: Path) -> str:
        """Return the path or URL by which people find a file of the workspace."""
        return str(path) if self.mirror is None else f"{self.mirror.url}/{path.relative_to(self.workspace).as_posix()}"

    def read(self, job: str) -> Record | None:
        """Return the record of a job; None if there is none or it is damaged."""
        try:
            value = read_beside(self.workspace, self.name(job))
            record = Record(**value) if value is not None else None
        except (DamagedError, PathError, ValidationError, TypeError) as error:
            note(f"{self.workspace / self.name(job)} is ignored: not a valid record ({_first_line(error)}).")
            return None
        return record if record is not None and record.id == job else None

    def write(self, record: Record) -> None:
        """Write a record."""
        path = inside(self.workspace, self.name(record.id))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, sealed(asdict(record)))
        self.send([f"grid/logs/{record.id}.log", self.name(record.id)])

    def send_again(self, job: str) -> None:
        """Send the record and log of a job if they are here, as they may be from just before the store failed."""
        paths = (self.log(job), inside(self.workspace, self.name(job)))
        if self.mirror is not None:
            names = [path.relative_to(self.workspace).as_posix() for path in paths if path.is_file()]
            self.mirror.send(names, delete=False)

    def found_done(self, job: Job) -> Record | None:
        """Return the record of a job that was done although its process died, perhaps by another grid; else None."""
        with suppress(LrlError, OSError):
            self.fetch([self.name(job.id)])
            return self.done(job, verify=self.mirror is not None)
        return None

    def write_lost(self, record: Record) -> None:
        """Write the record of a job whose process could not do so itself, unless another process runs the job."""
        with suppress(LrlError, OSError):  # it is for `lrltrain status`, and no reason to stop the study
            lock = self.hold(record.id)
            if lock is None:
                return
            with lock:
                previous = self.read(record.id)
                if previous is not None and previous.status == "done":
                    return
                path = inside(self.workspace, self.name(record.id))
                path.parent.mkdir(parents=True, exist_ok=True)
                write_json(path, sealed(asdict(record)))
                self.send([self.name(record.id)])

    @staticmethod
    def name(job: str) -> str:
        """Return the path of a job's record, relative to the workspace."""
        return f"grid/jobs/{job}.json"

    def described(self, paths: Iterable[Path]) -> dict[str, tuple[int, int, str]]:
        """Return size, mtime and SHA-256 of the files of artifacts, by path in the workspace, without hidden files."""
        entries = {}
        for path in paths:
            for file in walk(path) if path.is_dir() else [path]:
                name = file.relative_to(self.workspace)
                if not any(part.startswith(".") for part in name.parts):
                    entries[name.as_posix()] = (*_size_and_mtime(file), sha256_of(file))
        return entries

    def is_done(self, job: Job, *, verify: bool = False) -> bool:
        """Return whether a job is done, its files are undamaged, and the jobs it needs have not made something new.

        A file that still has its recorded size and time is assumed to be the same, unless `verify` is set.
        """
        return self.done(job, verify=verify) is not None

    def done(self, job: Job, *, verify: bool = False, known: Mapping[str, Record] | None = None) -> Record | None:
        """Return the record of a job if `is_done` holds for it; None otherwise.

        `known` has the records of the jobs that it needs, if they have been read.
        """
        record = self.read(job.id)
        if record is None or record.status != "done" or not self._is_current(job, record, known):
            return None
        return None if self.changed_files(record, verify=verify) else record

    def used_by(self, job: Job) -> dict[str, str]:
        """Return the state of what each job that a job needs has made, if it is recorded."""
        states = {other: record.state for other in job.before if (record := self.read(other)) and record.state}
        return states | ({WORKSPACE: contents_of(self.workspace)} if job.kind == "report" else {})

    def state_of(self, files: Iterable[str]) -> str:
        """Return a hash of the artifacts that files belong to, without what differs from run to run; "" for others."""
        folders = sorted(self.workspace / Path(name).parent for name in files if Path(name).name == MANIFEST)
        identities = [identity(folder, read_beside(folder, MANIFEST) or {}) for folder in folders]
        return fingerprint(identities)[:16] if identities else ""

    def _is_current(self, job: Job, record: Record, known: Mapping[str, Record] | None) -> bool:
        """Return whether the jobs before this one have made nothing new since; a report covers those that failed.

        In a remote workspace this is known only of a report: each machine has its own records of other jobs.
        """
        read = self.read if known is None else known.get
        if job.kind == "report":
            if record.used.get(WORKSPACE) not in (None, contents_of(self.workspace)) and self.mirror is None:
                return False  # scores of other commands, or that were deleted
            began = record.ended - record.seconds  # compared only without states: clocks differ, and are set back
            before = ((record.used.get(name), other) for name in job.after if (other := read(name)))
            return all(state == other.state if other.state else other.ended <= began for state, other in before)
        used = ((state, read(need)) for need, state in record.used.items()) if self.mirror is None else ()
        return all(other is None or other.status != "done" or other.state in ("", state) for state, other in used)

    def changed_files(self, record: Record, *, verify: bool = False) -> list[str]:
        """Return the files of a record that are missing or changed. To verify remote files, they are fetched first."""
        if self.mirror is not None and not verify:
            return [name for name, entry in record.files.items() if self._sizes.get(name) != entry[0]]
        self.fetch(folders_of(record.files))
        return [
            name for name, entry in record.files.items() if not _is_same(self.workspace, name, entry, verify=verify)
        ]

    def has_files(self, record: Record) -> bool:
        """Return whether the files of a record are there, by their sizes alone."""
        if self.mirror is not None:
            return not self.changed_files(record)
        files = ((find(*anchored(self.workspace, name)), entry[0]) for name, entry in record.files.items())
        return all(file is not None and file.stat().st_size == size for file, size in files)

    @cached_property
    def _sizes(self) -> Mapping[str, int]:
        """Return the size of each file of a remote workspace, as of the first call."""
        return self.mirror.sizes() if self.mirror else {}

    def hold(self, job: str) -> Lock | None:
        """Take the lock of a job; return None if another process holds it."""
        path = inside(self.workspace, f"grid/locks/{job}.lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return Lock(path)
        except BlockingIOError:
            return None

    def is_running(self, job: str) -> bool:
        """Return whether a process holds the lock of a job. Works in a workspace that may only be read."""
        try:
            Lock(inside(self.workspace, f"grid/locks/{job}.lock"), SHARED, create=False).release()
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def write_plan(self, jobs: Iterable[Job], slots: int) -> None:
        """Write the plan of a grid, for `lrltrain status`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        value = {"began": time.time(), "slots": slots, "jobs": [job.as_json() for job in jobs]}
        write_json(inside(self.workspace, "grid/plan.json"), sealed(value))
        self.send(["grid/plan.json"])

    def read_plan(self) -> tuple[list[Job], int, float]:
        """Return the jobs of the last grid, the number of its slots, and when it began. Raises StorageError."""
        path = self.folder / "plan.json"
        self.fetch(["grid/plan.json", "grid/jobs"])
        hint = "Start the grid again to write a new one."
        try:
            value = read_beside(self.workspace, "grid/plan.json")
            plan = Plan.model_validate(value) if value is not None else None
        except DamagedError as error:
            raise DamagedError(error.message, hint) from error
        except ValidationError as error:
            raise DamagedError(f"{path}: not a plan that lrl wrote ({_first_line(error)}).", hint) from error
        if plan is None:
            raise StorageError(
                f"{self.address(self.workspace)}: no grid has run here.", "Start one with `lrltrain grid`."
            )
        return [job_of(job.model_dump()) for job in plan.jobs], plan.slots, plan.began


def _size_and_mtime(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _is_same(workspace: Path, name: str, entry: tuple[int, int, str], *, verify: bool) -> bool:
    size, mtime, digest = entry
    file = find(*anchored(workspace, name))
    if file is None:
        return False
    current = _size_and_mtime(file)
    if current[0] != size:
        return False
    return (current[1] == mtime and not verify) or sha256_of(file) == digest
