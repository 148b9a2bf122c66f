"""Do jobs in this process: call what does them, keep what it says, and write their records."""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from lrldata.errors import LrlError, NothingError, StorageError, UsageError, one_line
from lrldata.output import guard, redact, say_traceback
from lrldata.paths import remove
from lrldata.workspace import anchored
from lrltrain.grid.handlers import GROUP_HANDLERS, HANDLERS
from lrltrain.grid.job import Job, job_of
from lrltrain.grid.places import folders_of, made_by, read_by
from lrltrain.grid.records import Record, Records, records_of
from lrltrain.memory import release_gpu_memory


def run_jobs(described: Sequence[Mapping[str, Any]], workspace: str, cache: str) -> list[Record]:
    """Do jobs, as `run_job` does one. Several are fits, or seeds of a task, which are trained as a group first.

    What the group has made is then found made; what it has not, as it failed, is tried by itself.
    """
    began = time.perf_counter()
    if len(described) > 1:
        _train_together([job_of(each) for each in described], workspace, Path(cache))
    each_has = (time.perf_counter() - began) / len(described)
    return [run_job(each, workspace, cache, each_has) for each in described]


def run_job(described: Mapping[str, Any], workspace: str, cache: str, spent: float = 0.0) -> Record:
    """Do a job and write its record; one that another process is at, or has done, is left to it.

    Where the workspace is remote, what the job reads is fetched before it and what it made is sent after it. `spent`
    seconds are its part of what was done for several jobs before.
    """
    guard()
    job = job_of(described)
    try:
        records = records_of(workspace, Path(cache))
        held = records.hold(job.id)
        if held is None:
            return Record(job.id, job.name, "elsewhere")
        try:
            return _perform(job, records, Path(cache), spent)
        finally:
            held.release()
            release_gpu_memory()
    except (LrlError, OSError) as error:
        return _failed(job, error, 0.0)


def _train_together(jobs: Sequence[Job], workspace: str, cache: Path) -> None:
    """Train as a group those of some jobs that were not done before and that no other process is at.

    One that was done has damaged files, which `run_job` removes first. It raises nothing: each job is tried by itself
    next, and says what is wrong.
    """
    guard()
    with suppress(LrlError, OSError), ExitStack() as held:
        records = records_of(workspace, cache)
        left = []
        for job in jobs:
            records.fetch([records.name(job.id)])
            before = records.read(job.id)
            was_done = before is not None and before.status == "done"
            if not was_done and (lock := records.hold(job.id)) is not None:
                held.callback(lock.release)
                left.append(job)
                records.fetch(read_by(job))
        if left:
            with _redirect_output(records.log(left[0].id), ", ".join(job.name for job in left)):
                try:
                    GROUP_HANDLERS[left[0].kind](left, records, cache)
                except Exception as error:  # noqa: BLE001 -- whatever it is
                    say_traceback(error)
                finally:
                    release_gpu_memory()


def _perform(job: Job, records: Records, cache: Path, spent: float) -> Record:
    records.fetch([records.name(job.id)])
    before = records.read(job.id)
    if before is not None and records.is_done(job, verify=True):
        return before
    attempts = before.attempts + 1 if before is not None and before.status != "done" else 1
    if before is not None and before.status == "done":
        job = _clear_corrupted(job, before, records)
    record = _attempt(job, records, cache)
    record = replace(record, attempts=attempts, seconds=round(record.seconds + spent, 3), ended=round(time.time(), 3))
    records.write(record)
    return record


def _clear_corrupted(job: Job, before: Record, records: Records) -> Job:
    """Make way for a job whose files are corrupted: what is left of them is not to be taken for whole.

    A dataset is built over what is there, as its manifest has the history of its versions.
    """
    if job.kind == "build":
        return replace(job, settings={**job.settings, "force": True})
    for name in before.files if job.kind in ("fit", "eval") else ():
        if name.startswith(tuple(f"{folder}/" for folder in made_by(job))):  # whatever else a record may say
            remove(*anchored(records.workspace, name))
    return job


def _attempt(job: Job, records: Records, cache: Path) -> Record:
    began = time.perf_counter()
    try:
        with _redirect_output(records.log(job.id), job.name):
            try:
                records.fetch(read_by(job))
                _check_needs(job, records)
                files = _files(job, records, cache)
                _check_needs(job, records)  # another study may have replaced an adapter while it was measured
                records.send(folders_of(files))
            except BaseException as error:
                say_traceback(error)
                raise
    except Exception as error:  # noqa: BLE001 -- whatever it is, the other jobs go on, and it is listed
        return _failed(job, error, time.perf_counter() - began)
    return Record(job.id, job.name, "done", round(time.perf_counter() - began, 3), files=files)


def _check_needs(job: Job, records: Records) -> None:
    """Raise StorageError where what a job needs is no longer what the jobs that it needs have made.

    Of a remote workspace each machine has records and files of its own, which may be older.
    """
    for need in job.needs if job.kind != "report" and records.mirror is None else ():
        made = records.read(need)
        if made is None or made.status != "done":
            continue
        if changed := records.changed_files(made):
            raise StorageError(
                f"{made.name}: {changed[0]} is missing, or has been changed since it was made.",
                "The same command makes it again; two studies of one adapter want an `out` each.",
            )


def _files(job: Job, records: Records, cache: Path) -> dict[str, tuple[int, int, str]]:
    files = records.described(HANDLERS[job.kind](job, records, cache))
    if not files and job.kind in ("fit", "eval"):
        raise StorageError(f"{job.name}: made nothing.", "See its log.")
    return files


def _failed(job: Job, error: Exception, seconds: float) -> Record:
    final = isinstance(error, UsageError | NothingError | PermissionError)
    return Record(job.id, job.name, "failed", seconds, error=_describe(error), final=final)


def _describe(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {(error.strerror or str(error)).lower()}."
    told = one_line(error)
    return redact(told) if isinstance(error, LrlError) else redact(f"{type(error).__name__}: {told}")


@contextmanager
def _redirect_output(log: Path, name: str) -> Iterator[None]:
    """Let all that is printed, by libraries in C too, go into a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    before = os.dup(1), os.dup(2)
    try:
        with log.open("a", encoding="utf-8", buffering=1) as file:
            file.write(f"-- {name}, {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, kept in enumerate(before, 1):
            os.dup2(kept, number)
            os.close(kept)
