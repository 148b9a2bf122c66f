"""What a workspace knows of its jobs: a record each, written last, and a log. IO.

WORKSPACE/grid/plan.json          the jobs of the last grid
WORKSPACE/grid/jobs/ID.json       how a job ended, and each file that it made, by size, time and hash
WORKSPACE/grid/logs/ID.log        what it said
WORKSPACE/grid/locks/ID.lock      held while it runs
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from lrldata.errors import StorageError
from lrldata.manifest import sha256_of, write_json
from lrldata.remote import Mirror, is_remote, mirror_of
from lrltrain.grid.jobs import Job, job_of
from lrltrain.grid.places import folders_of

Status = Literal["done", "failed", "lost", "elsewhere"]


@dataclass(frozen=True)
class Record:
    """How a job ended: `files` are those that it made, each with size, time of change in ns and SHA-256."""

    id: str
    name: str
    status: Status
    seconds: float = 0.0
    attempts: int = 1
    error: str = ""
    final: bool = False  # trying again would not help
    files: Mapping[str, tuple[int, int, str]] = field(default_factory=dict)


def records_of(workspace: str, cache: Path) -> "Records":
    """Return the records of a workspace; of a remote one those of its mirror below the cache. Raises LrlError."""
    if not is_remote(workspace):
        return Records(Path(workspace).resolve())
    mirror = mirror_of(workspace, cache.resolve())
    return Records(mirror.folder.resolve(), mirror)


@dataclass(frozen=True)
class Records:
    """The records of a workspace. A remote one has a `mirror`: what is to be read is fetched, what was made is sent."""

    workspace: Path
    mirror: Mirror | None = None

    @property
    def folder(self) -> Path:
        """Return where they are."""
        return self.workspace / "grid"

    def fetch(self, below: Iterable[str], wanted: Callable[[str], bool] = lambda _: True) -> None:
        """Fetch what is below these paths, where the workspace is remote. Raises StorageError."""
        if self.mirror is not None:
            self.mirror.fetch(below, wanted)

    def send(self, below: Iterable[str]) -> None:
        """Send what is below these paths, where the workspace is remote. Raises StorageError."""
        if self.mirror is not None:
            self.mirror.send(below)

    def log(self, job: str) -> Path:
        """Return the file of what a job says."""
        return self.folder / "logs" / f"{job}.log"

    def address(self, path: Path) -> str:
        """Return how people find a file of the workspace."""
        return str(path) if self.mirror is None else f"{self.mirror.url}/{path.relative_to(self.workspace).as_posix()}"

    def read(self, job: str) -> Record | None:
        """Return the record of a job; None where there is none, or it is damaged."""
        try:
            found = json.loads((self.workspace / self.name(job)).read_text("utf-8"))
            return Record(**{**found, "files": {name: tuple(each) for name, each in found["files"].items()}})
        except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def write(self, record: Record) -> None:
        """Write a record."""
        path = self.workspace / self.name(record.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(record))
        self.send([f"grid/logs/{record.id}.log", self.name(record.id)])

    @staticmethod
    def name(job: str) -> str:
        """Return the path of a job's record in the workspace."""
        return f"grid/jobs/{job}.json"

    def described(self, paths: Iterable[Path]) -> dict[str, tuple[int, int, str]]:
        """Describe the files of artifacts' folders, by their path in the workspace. Hidden ones are nobody's."""
        found = {}
        for path in paths:
            inside = sorted(path.rglob("*")) if path.is_dir() else [path]
            for file in inside:
                name = file.relative_to(self.workspace)
                if file.is_file() and not any(part.startswith(".") for part in name.parts):
                    found[name.as_posix()] = (*_times(file), sha256_of(file))
        return found

    def is_done(self, job: Job, *, verify: bool = False) -> bool:
        """Return whether a job is finished and what it made is unharmed.

        A file of the size and time that it had is taken to be the same, unless `verify` is set.
        """
        record = self.read(job.id)
        return record is not None and record.status == "done" and not self.harmed(record, verify=verify)

    def harmed(self, record: Record, *, verify: bool = False) -> list[str]:
        """Name the files of a record that are missing or have other bytes. Remote ones are fetched to be verified."""
        if self.mirror is not None and not verify:
            return [name for name, entry in record.files.items() if self._sizes.get(name) != entry[0]]
        self.fetch(folders_of(record.files))
        return [
            name for name, entry in record.files.items() if not _is_same(self.workspace / name, entry, verify=verify)
        ]

    @cached_property
    def _sizes(self) -> Mapping[str, int]:
        """Return the size of each file of a remote workspace, as it was when it was first asked for."""
        return self.mirror.sizes() if self.mirror else {}

    def hold(self, job: str) -> FileLock | None:
        """Take the lock of a job; None where another process has it."""
        path = self.folder / "locks" / f"{job}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(path)
        try:
            held.acquire(timeout=0)
        except Timeout:
            return None
        return held

    def is_running(self, job: str) -> bool:
        """Return whether a process has the lock of a job."""
        if not (self.folder / "locks" / f"{job}.lock").exists():
            return False
        held = self.hold(job)
        if held is None:
            return True
        held.release()
        return False

    def write_plan(self, jobs: Iterable[Job], slots: int) -> None:
        """Write down what a grid is about to do, for `lrltrain status`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        value = {"began": time.time(), "slots": slots, "jobs": [job.as_json() for job in jobs]}
        write_json(self.folder / "plan.json", value)
        self.send(["grid/plan.json"])

    def read_plan(self) -> tuple[list[Job], int]:
        """Return the jobs of the last grid, and how many ran at once. Raises StorageError."""
        path = self.folder / "plan.json"
        self.fetch(["grid/plan.json", "grid/jobs"])
        try:
            found = json.loads(path.read_text("utf-8"))
            return [job_of(each) for each in found["jobs"]], int(found["slots"])
        except FileNotFoundError as error:
            raise StorageError(
                f"{self.address(self.workspace)}: no grid has run here.", "Start one with `lrltrain grid`."
            ) from error
        except (ValueError, TypeError, KeyError) as error:
            raise StorageError(f"{path}: cannot be read.", "Start the grid again: it is written anew.") from error


def _times(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_size, found.st_mtime_ns


def _is_same(file: Path, entry: tuple[int, int, str], *, verify: bool) -> bool:
    size, changed, digest = entry
    try:
        now = _times(file)
    except OSError:
        return False
    if now[0] != size:
        return False
    return (now[1] == changed and not verify) or sha256_of(file) == digest
