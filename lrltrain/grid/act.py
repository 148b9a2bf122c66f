"""Do one job, in this process: call the recipe of its command, keep what it says, and write its record."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrldata.engine import SOURCES
from lrldata.errors import LrlError, StorageError, UsageError
from lrldata.imports import many_imports
from lrldata.output import guard, redact, say_traceback, tell
from lrldata.paths import remove
from lrldata.progress import Progress
from lrltrain.grid.job import Job, job_of
from lrltrain.grid.places import SCRATCH, folders_of, home_of, made_by, placed, read_by
from lrltrain.grid.records import Record, Records, records_of

if TYPE_CHECKING:
    from lrldata.web.config import WebConfig
    from lrltrain.config import FitConfig

QUIET = Progress(quiet=True)


def run_jobs(described: Sequence[Mapping[str, Any]], workspace: str, cache: str) -> list[Record]:
    """Do jobs, as `run_job` does one. Several are fits, which are trained as a group first.

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
            _release_gpu_memory()
    except (LrlError, OSError) as error:
        return _failed(job, error, 0.0)


def _release_gpu_memory() -> None:
    """Give back what this process keeps of a GPU's memory for its next job: others may want it meanwhile."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _train_together(jobs: Sequence[Job], workspace: str, cache: Path) -> None:
    """Train as a group those of some fits that were not done before and that no other process is at.

    One that was done has damaged files, which `run_job` removes first. It raises nothing: each fit is tried by itself
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
                _fit_together(left, records, cache)


def _fit_together(jobs: Sequence[Job], records: Records, cache: Path) -> None:
    try:
        with many_imports():
            from lrltrain.fitting.groups import fit_all
        fit_all([_fit_config(job, records, cache) for job in jobs], QUIET)
    except Exception as error:  # noqa: BLE001 -- whatever it is
        say_traceback(error)
    finally:
        _release_gpu_memory()


def _perform(job: Job, records: Records, cache: Path, spent: float) -> Record:
    records.fetch([records.name(job.id)])
    before = records.read(job.id)
    if before is not None and records.is_done(job, verify=True):
        return before
    attempts = before.attempts + 1 if before is not None and before.status != "done" else 1
    if before is not None and before.status == "done":
        job = _afresh(job, before, records)
    record = _attempt(job, records, cache)
    record = replace(record, attempts=attempts, seconds=round(record.seconds + spent, 3))
    records.write(record)
    return record


def _afresh(job: Job, before: Record, records: Records) -> Job:
    """Make way for a job whose files were harmed: what is left of them is not to be taken for whole.

    A dataset is built over what is there, as its manifest has the history of its versions.
    """
    if job.kind == "build":
        return replace(job, settings={**job.settings, "force": True})
    for name in before.files if job.kind in ("fit", "eval") else ():
        if name.startswith(tuple(f"{folder}/" for folder in made_by(job))):  # whatever else a record may say
            remove(records.workspace, name)
    return job


def _attempt(job: Job, records: Records, cache: Path) -> Record:
    began = time.perf_counter()
    try:
        with _redirect_output(records.log(job.id), job.name):
            try:
                records.fetch(read_by(job))
                files = _files(job, records, cache)
                records.send(folders_of(files))
            except BaseException as error:
                say_traceback(error)
                raise
    except Exception as error:  # noqa: BLE001 -- whatever it is, the other jobs go on, and it is listed
        return _failed(job, error, time.perf_counter() - began)
    return Record(job.id, job.name, "done", round(time.perf_counter() - began, 3), files=files)


def _files(job: Job, records: Records, cache: Path) -> dict[str, tuple[int, int, str]]:
    files = records.described(HANDLERS[job.kind](job, records, cache))
    if not files and job.kind in ("fit", "eval"):
        raise StorageError(f"{job.name}: made nothing.", "See its log.")
    return files


def _failed(job: Job, error: Exception, seconds: float) -> Record:
    final = isinstance(error, UsageError | PermissionError)
    return Record(job.id, job.name, "failed", seconds, error=_describe(error), final=final)


def _describe(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {(error.strerror or str(error)).lower()}."
    told = " ".join(str(error).split())
    return redact(told) if isinstance(error, LrlError) else redact(f"{type(error).__name__}: {told}")


def _build(job: Job, records: Records, cache: Path) -> list[Path]:
    """Build a dataset; of web text whose files were jobs of their own, from what came of them, which then goes."""
    from lrldata.conceptnet.build import build
    from lrldata.conceptnet.config import load_config
    from lrldata.web.build import build_web, scratch_of

    if job.settings["source"] == "conceptnet":
        config = load_config(None, {**job.settings, "out": records.workspace, "cache": cache})
        return [each.path for each in build(config, QUIET)]
    asked = _web(job, records, cache)
    between = [scratch_of(asked).relative_to(records.workspace).as_posix()] if job.needs else []
    records.fetch(between)
    made = [each.path for each in build_web(asked, QUIET)]
    records.send([str(home_of(job)), *between])
    return made


def _shard(job: Job, records: Records, cache: Path) -> list[Path]:
    """Clean one file of web text. What comes of it is no artifact, and is gone when the dataset is there."""
    from lrldata.web.build import judge_shard

    folder = judge_shard(_web(job, records, cache), int(job.labels["shard"]))
    records.send([folder.relative_to(records.workspace).as_posix()])
    return []


def _web(job: Job, records: Records, cache: Path) -> "WebConfig":
    from lrldata.web.config import load_web_config

    several = job.kind == "shard" or bool(job.needs)
    own = {"scratch": records.workspace / SCRATCH} if several else {}
    settings = {"workers": _threads(), **job.settings, **own, "out": records.workspace, "cache": cache}
    return load_web_config(None, settings)


def _threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS", "1"))


def _fit(job: Job, records: Records, cache: Path) -> list[Path]:
    with many_imports():
        from lrltrain.fitting.fit import fit
    return [fit(_fit_config(job, records, cache), QUIET).path]


def _fit_config(job: Job, records: Records, cache: Path) -> "FitConfig":
    """Return what is asked of a fit: an adapter of other settings in its place is replaced. Raises LrlError."""
    from lrltrain.config import load_fit_config

    with many_imports():
        from lrltrain.fitting.plan import is_made, prepare
    config = load_fit_config(None, placed(job, records.workspace) | {"out": records.workspace, "cache": cache})
    plan = prepare(config)
    home = records.workspace / str(home_of(job))
    if plan.folder.resolve() != home.resolve():  # what needs it looks for it there
        raise StorageError(
            f"{plan.folder}: would be made there, and not in {home}: the base model has changed its name.",
            "Start the grid again.",
        )
    return config if is_made(plan) else config.model_copy(update={"overwrite": True})


def _eval(job: Job, records: Records, _cache: Path) -> list[Path]:
    from lrltrain.config import load_eval_config

    with many_imports():
        from lrltrain.evaluation.score_tasks import score_tasks
        from lrltrain.evaluation.score_text import score_text

    config = load_eval_config(None, placed(job, records.workspace) | {"out": records.workspace})
    if config.task == "pppl":
        return [score.path for score in score_text(config, QUIET)]
    return [run.folder for score in score_tasks(config, QUIET) for run in score.runs]


def _report(_job: Job, records: Records, _cache: Path) -> list[Path]:
    with many_imports():
        from lrltrain.reporting.report import MADE_OF, is_read, report
    records.fetch(MADE_OF, is_read)
    return list(report(records.workspace).files)


def _push(job: Job, records: Records, _cache: Path) -> list[Path]:
    """Publish a language, by the command of its own package, which stands above this one.

    The process looks for modules where Python was installed, and for ours where this package is: not in the current
    folder, where `-m` would look first.
    """
    typed = [f"--{key.replace('_', '-')}={_typed(value)}" for key, value in job.settings.items() if value is not True]
    typed += [f"--{key.replace('_', '-')}" for key, value in job.settings.items() if value is True]
    start = f"import sys; sys.path.append({str(SOURCES)!r}); from hub_cards.cli import main; main()"
    command = [sys.executable, "-P", "-c", start, "push-hub", *typed, "--out", str(records.workspace), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    tell(done.stdout + done.stderr)
    if done.returncode:
        told = done.stderr.strip().split("\n")[-1].removeprefix("error: ")
        raise (UsageError if done.returncode == UsageError.exit_code else StorageError)(told)
    return []


def _typed(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


HANDLERS: Mapping[str, Callable[[Job, Records, Path], list[Path]]] = {
    "shard": _shard,
    "build": _build,
    "fit": _fit,
    "eval": _eval,
    "report": _report,
    "push": _push,
}


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
