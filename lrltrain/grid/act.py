"""Do one job, in this process: call the recipe of its command, keep what it says, and write its record."""

import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from lrldata.errors import LrlError, StorageError, UsageError
from lrldata.progress import Progress
from lrltrain.grid.jobs import Job, job_of
from lrltrain.grid.records import Record, Records

QUIET = Progress(quiet=True)
_IN_WORKSPACE = {"adapters", "adapter", "corpus"}  # settings that name what other jobs make


def perform(described: Mapping[str, Any], workspace: str, cache: str) -> Record:
    """Do a job and write its record; one that another process is at, or has done, is left to it."""
    job, records = job_of(described), Records(Path(workspace))
    try:
        held = records.hold(job.id)
    except OSError as error:
        return Record(job.id, job.name, "failed", error=_in_words(error), final=isinstance(error, PermissionError))
    if held is None:
        return Record(job.id, job.name, "elsewhere")
    try:
        before = records.read(job.id)
        if before is not None and records.is_done(job, verify=True):
            return before
        attempts = before.attempts + 1 if before is not None and before.status != "done" else 1
        if before is not None and before.status == "done":
            job = _afresh(job, before, records)
        record = _attempt(job, records, Path(cache))
        record = replace(record, attempts=attempts)
        try:
            records.write(record)
        except OSError as error:
            return replace(record, status="failed", error=_in_words(error), files={})
        return record
    finally:
        held.release()


def _afresh(job: Job, before: Record, records: Records) -> Job:
    """Make way for a job whose files were harmed: what is left of them is not to be taken for whole.

    A dataset is built over what is there, as its manifest has the history of its versions.
    """
    if job.kind == "build":
        return replace(job, settings={**job.settings, "force": True})
    for name in before.files if job.kind in ("fit", "eval") else ():
        records.workspace.joinpath(name).unlink(missing_ok=True)
    return job


def _attempt(job: Job, records: Records, cache: Path) -> Record:
    began = time.perf_counter()
    try:
        with _told_to(records.log(job.id), job.name):
            try:
                made = DO[job.kind](job, records.workspace, cache)
                files = records.described(made)
            except BaseException:
                traceback.print_exc()
                raise
    except Exception as error:  # noqa: BLE001 -- whatever it is, the other jobs go on, and it is listed
        final = isinstance(error, UsageError | PermissionError)
        return Record(job.id, job.name, "failed", time.perf_counter() - began, error=_in_words(error), final=final)
    return Record(job.id, job.name, "done", round(time.perf_counter() - began, 3), files=files)


def _in_words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {(error.strerror or str(error)).lower()}."
    told = " ".join(str(error).split())
    return told if isinstance(error, LrlError) else f"{type(error).__name__}: {told}"


def _build(job: Job, workspace: Path, cache: Path) -> list[Path]:
    from lrldata.build import build
    from lrldata.config import load_config
    from lrldata.glotcc.build import build_web
    from lrldata.glotcc.config import load_web_config

    settings = {"workers": _threads(), **job.settings, "out": workspace, "cache": cache}
    if job.settings["source"] == "conceptnet":
        del settings["workers"]
        return [each.path for each in build(load_config(None, settings), QUIET)]
    return [each.path for each in build_web(load_web_config(None, settings), QUIET)]


def _shard(job: Job, workspace: Path, cache: Path) -> list[Path]:
    """Clean one file of web text, into the cache."""
    from lrldata.glotcc.build import judge_shard
    from lrldata.glotcc.config import load_web_config

    settings = {"workers": _threads(), **job.settings, "out": workspace, "cache": cache}
    judge_shard(load_web_config(None, settings), int(job.labels["shard"]))
    return []


def _threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS", "1"))


def _fit(job: Job, workspace: Path, cache: Path) -> list[Path]:
    """Train an adapter; one of other settings in its place is replaced."""
    from lrldata.manifest import ADAPTER, fingerprint, is_unchanged
    from lrltrain.config import load_fit_config
    from lrltrain.fit import fit, prepare

    config = load_fit_config(None, _placed(job, workspace) | {"out": workspace, "cache": cache})
    plan = prepare(config)
    done = is_unchanged(plan.folder.resolve(), ADAPTER, fingerprint(plan.recipe))
    return [fit(config if done else config.model_copy(update={"overwrite": True}), QUIET).path]


def _eval(job: Job, workspace: Path, _cache: Path) -> list[Path]:
    from lrltrain.config import load_eval_config
    from lrltrain.evaluate.score_tasks import score_tasks
    from lrltrain.scores import evaluate

    config = load_eval_config(None, _placed(job, workspace) | {"out": workspace})
    if config.task == "pppl":
        return [score.path for score in evaluate(config, QUIET)]
    return [run.folder for score in score_tasks(config, QUIET) for run in score.runs]


def _report(_job: Job, workspace: Path, _cache: Path) -> list[Path]:
    from lrltrain.results.recipe import report

    return list(report(workspace).files)


def _push(job: Job, workspace: Path, _cache: Path) -> list[Path]:
    """Publish a language, by the command of its own package, which stands above this one."""
    typed = [f"--{key.replace('_', '-')}={_typed(value)}" for key, value in job.settings.items() if value is not True]
    typed += [f"--{key.replace('_', '-')}" for key, value in job.settings.items() if value is True]
    command = [sys.executable, "-m", "hub_cards.cli", "push-hub", *typed, "--out", str(workspace), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    if done.returncode:
        told = done.stderr.strip().split("\n")[-1].removeprefix("error: ")
        raise (UsageError if done.returncode == UsageError.exit_code else StorageError)(told)
    return []


def _typed(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


DO: Mapping[str, Callable[[Job, Path, Path], list[Path]]] = {
    "shard": _shard,
    "build": _build,
    "fit": _fit,
    "eval": _eval,
    "report": _report,
    "push": _push,
}


def _placed(job: Job, workspace: Path) -> dict[str, Any]:
    """Return a job's settings, with what other jobs make in its place in the workspace."""

    def place(value: Any) -> Any:
        return [place(each) for each in value] if isinstance(value, list) else workspace / value

    placed = {key: place(value) if key in _IN_WORKSPACE else value for key, value in job.settings.items()}
    if isinstance(held := placed.get("data"), str) and held.startswith("datasets/"):
        placed["data"] = str(workspace / held)
    return placed


@contextmanager
def _told_to(log: Path, name: str) -> Iterator[None]:
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
