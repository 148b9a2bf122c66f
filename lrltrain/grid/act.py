"""Run jobs in this process: call their handlers, log their output, and write their records."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from lrldata.code_version import code_version
from lrldata.errors import BusyError, LrlError, NoDataError, StorageError, UsageError, is_full, is_panic, one_line
from lrldata.layout import anchored
from lrldata.output import guard, redact, say_traceback
from lrldata.paths import remove
from lrltrain.grid.handlers import GROUP_HANDLERS, HANDLERS
from lrltrain.grid.job import Job, job_of
from lrltrain.grid.places import folders_of, made_by, read_by, scores_of
from lrltrain.grid.records import Record, Records, records_of
from lrltrain.memory import release_gpu_memory


def run_jobs(described: Sequence[Mapping[str, Any]], workspace: str, cache: str) -> list[Record]:
    """Run jobs as `run_job` does. Several at once are fits, or seeds of one task, and are first trained as a group.

    The jobs that the group finished are then found done; those that failed in it are tried one by one.
    """
    signal.signal(signal.SIGINT, _interrupt_once)
    began = time.perf_counter()
    if len(described) > 1:
        _train_together([job_of(description) for description in described], workspace, Path(cache))
    share = (time.perf_counter() - began) / len(described)
    return [run_job(description, workspace, cache, share) for description in described]


def _interrupt_once(*_: object) -> None:
    """Raise KeyboardInterrupt for the first signal, and ignore later ones: terminal and study may both send one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def run_job(described: Mapping[str, Any], workspace: str, cache: str, spent: float = 0.0) -> Record:
    """Run a job and write its record. Skip a job that is done, or that another process is running.

    If the workspace is remote, the job's inputs are fetched first and its outputs are sent afterwards. `spent` is the
    job's share, in seconds, of the time that was already spent on a group of jobs.
    """
    guard()
    job = job_of(described)
    try:
        records = records_of(workspace, Path(cache))
        lock = records.hold(job.id)
        if lock is None:
            return Record(job.id, job.name, "elsewhere")
        try:
            return _perform(job, records, Path(cache), spent)
        finally:
            lock.release()
            release_gpu_memory()
    except (LrlError, OSError) as error:
        return _failed(job, error, 0.0)


def _train_together(jobs: Sequence[Job], workspace: str, cache: Path) -> None:
    """Train jobs as a group, without those that another process is running or that are done.

    If files of a job recorded as done are damaged, `run_job` removes them first. No error is raised: each job is then
    tried by itself and reports what is wrong.
    """
    guard()
    with suppress(LrlError, OSError), ExitStack() as locks:
        records = records_of(workspace, cache)
        pending = []
        for job in jobs:
            records.fetch([records.name(job.id)])
            previous = records.read(job.id)
            is_left_out = (
                previous is not None
                and previous.status == "done"
                and (records.is_done(job) or bool(records.changed_files(previous)))
            )
            if not is_left_out and (lock := records.hold(job.id)) is not None:
                locks.callback(lock.release)
                pending.append(job)
                records.fetch(read_by(job))
        if pending:
            with _redirect_output(records.log(pending[0].id), ", ".join(job.name for job in pending)):
                try:
                    GROUP_HANDLERS[pending[0].kind](pending, records, cache)
                except BaseException as error:  # each job is tried by itself next
                    say_traceback(error)
                    if not _is_of_job(error):
                        raise
                finally:
                    release_gpu_memory()


def _perform(job: Job, records: Records, cache: Path, spent: float) -> Record:
    records.fetch(["grid/jobs"] if job.kind == "report" else [records.name(job.id)])
    previous = records.read(job.id)
    if previous is not None and records.is_done(job, verify=True):
        records.send_again(job.id)
        return previous
    attempts = previous.attempts + 1 if previous is not None and previous.status != "done" else 1
    if previous is not None and previous.status == "done" and records.changed_files(previous, verify=True):
        job = _clear_corrupted(job, previous, records)
    record = _attempt(job, records, cache)
    if record.status == "busy":
        return record
    record = replace(record, attempts=attempts, seconds=round(record.seconds + spent, 3), ended=round(time.time(), 3))
    records.write(record)
    return record


def _clear_corrupted(job: Job, previous: Record, records: Records) -> Job:
    """Remove the files of a corrupted job, so that they are not mistaken for finished work.

    A dataset is not removed but built over, because its manifest holds the history of its versions.
    """
    if job.kind == "build":
        return replace(job, settings={**job.settings, "force": True})
    for name in previous.files if job.kind in ("fit", "eval") else ():
        if name.startswith(tuple(f"{folder}/" for folder in made_by(job))):  # a damaged record may name other files
            remove(*anchored(records.workspace, name))
    return job


def _attempt(job: Job, records: Records, cache: Path) -> Record:
    began = time.perf_counter()
    try:
        with _redirect_output(records.log(job.id), job.name):
            try:
                records.fetch(read_by(job))
                records.fetch(scores_of(job, records.workspace))
                _check_needs(job, records)
                used = records.used_by(job)
                files = _files(job, records, cache)
                _check_needs(job, records)  # another study may have replaced an adapter while it was being measured
                _check_used(job, records, used)
                state = records.state_of(files)
                records.send(folders_of(files))
            except BaseException as error:
                say_traceback(error)
                raise
    except BaseException as error:  # listed as failed; the other jobs go on
        if not _is_of_job(error):
            raise
        if isinstance(error, BusyError):  # another machine is sending the same files
            return Record(job.id, job.name, "busy", error=_describe(error))
        return _failed(job, error, time.perf_counter() - began)
    seconds = round(time.perf_counter() - began, 3)
    return Record(job.id, job.name, "done", seconds, files=files, state=state, used=used, lrl=code_version())


def _check_needs(job: Job, records: Records) -> None:
    """Raise StorageError if the files of a job that this one needs have changed since they were made.

    In a remote workspace nothing is checked: each machine has its own records and files, which may be older.
    """
    for need in job.needs if records.mirror is None else ():
        needed = records.read(need)
        if needed is None or needed.status != "done":
            continue
        if changed := records.changed_files(needed):
            raise StorageError(
                f"{needed.name}: {changed[0]} is missing, or has changed since it was made.",
                "Run the same command to make it again. Give each study of the same adapter its own `out`.",
            )


def _check_used(job: Job, records: Records, used: Mapping[str, str]) -> None:
    """Raise StorageError if a job that this one needs has made something new in the meantime."""
    current = records.used_by(job) if records.mirror is None and job.kind != "report" else {}
    if any(current.get(need, state) != state for need, state in used.items()):
        raise StorageError(f"{job.name}: its input was made again meanwhile.", "Run the same command again.")


def _files(job: Job, records: Records, cache: Path) -> dict[str, tuple[int, int, str]]:
    files = records.described(HANDLERS[job.kind](job, records, cache))
    if not files and job.kind in ("fit", "eval"):
        raise StorageError(f"{job.name}: wrote no files.", "See the log of this job.")
    return files


def _is_of_job(error: BaseException) -> bool:
    """Return whether an error fails the job alone; others, such as Ctrl-C, end the study."""
    return isinstance(error, Exception | SystemExit) or is_panic(error)


def _failed(job: Job, error: BaseException, seconds: float) -> Record:
    final = isinstance(error, UsageError | NoDataError | PermissionError)
    return Record(job.id, job.name, "failed", seconds, error=_describe(error), final=final)


def _describe(error: BaseException) -> str:
    if is_full(error) and not isinstance(error, LrlError):
        problem = f"no space left on a disk, or in your quota ({one_line(error)})"
        return f"{problem}. Free some disk space and run the grid again."
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {(error.strerror or str(error)).lower()}."
    if isinstance(error, LrlError):
        return redact(" ".join(str(error).split()))
    return redact(f"{type(error).__name__}: {one_line(error)}")


@contextmanager
def _redirect_output(log: Path, name: str) -> Iterator[None]:
    """Redirect all output, including that of C libraries, to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    try:
        with log.open("a", encoding="utf-8", buffering=1) as file:
            file.write(f"-- {name}, {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in enumerate(saved, 1):
            os.dup2(copy, number)
            os.close(copy)
