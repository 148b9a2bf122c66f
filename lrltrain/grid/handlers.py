"""The handler of each kind of job: it calls the pipeline of a command and returns the paths of its outputs."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrldata.engine import SOURCES
from lrldata.errors import StorageError, UsageError
from lrldata.imports import many_imports
from lrldata.manifest import ADAPTER, damaged, read_manifest
from lrldata.output import note, tell
from lrldata.progress import Progress
from lrltrain.grid.job import Job
from lrltrain.grid.places import SCRATCH, home_of, placed
from lrltrain.grid.records import Records

if TYPE_CHECKING:
    from lrldata.web.config import WebConfig
    from lrltrain.config import EvalConfig, FitConfig

QUIET = Progress(quiet=True)


def _build(job: Job, records: Records, cache: Path) -> list[Path]:
    """Build a dataset. Web text that `_shard` jobs have cleaned is read from their output, which is then removed."""
    from lrldata.conceptnet.build import build
    from lrldata.conceptnet.config import load_config
    from lrldata.web.build import build_web, scratch_of

    if job.settings["source"] == "conceptnet":
        config = load_config(None, {**job.settings, "out": records.workspace, "cache": cache})
        return [built.path for built in build(config, QUIET)]
    web = _web(job, records, cache)
    scratch = [scratch_of(web).relative_to(records.workspace).as_posix()] if job.needs else []
    records.fetch(scratch)
    paths = [built.path for built in build_web(web, QUIET)]
    records.send([str(home_of(job)), *scratch])
    return paths


def _shard(job: Job, records: Records, cache: Path) -> list[Path]:
    """Clean a file of web text, or several small ones. The output is no artifact; the build removes it."""
    from lrldata.web.build import judge_bundle

    folder = judge_bundle(_web(job, records, cache), int(job.labels["shard"]))
    records.send([folder.relative_to(records.workspace).as_posix()])
    return []


def _web(job: Job, records: Records, cache: Path) -> "WebConfig":
    from lrldata.web.config import load_web_config

    is_split = job.kind == "shard" or bool(job.needs)
    scratch = {"scratch": records.workspace / SCRATCH} if is_split else {}
    settings = {"workers": _threads(), **job.settings, **scratch, "out": records.workspace, "cache": cache}
    return load_web_config(None, settings)


def _threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS", "1"))


def _fit(job: Job, records: Records, cache: Path) -> list[Path]:
    with many_imports():
        from lrltrain.fitting.fit import fit
    return [fit(_fit_config(job, records, cache), QUIET).path]


def _fits(jobs: Sequence[Job], records: Records, cache: Path) -> None:
    with many_imports():
        from lrltrain.fitting.groups import fit_all
    fit_all([_fit_config(job, records, cache) for job in jobs], QUIET)


def _fit_config(job: Job, records: Records, cache: Path) -> "FitConfig":
    """Return the settings of a fit, which overwrites what was made with other settings. Raises LrlError.

    A run that began with other versions of the libraries is resumed: training it again could take days.
    """
    from lrltrain.config import load_fit_config

    with many_imports():
        from lrltrain.artifact import NOT_NEEDED
        from lrltrain.fitting.plan import is_made, prepare
        from lrltrain.fitting.runs import difference, differs_in_libraries_only, run_folder
    config = load_fit_config(None, placed(job, records.workspace) | {"out": records.workspace, "cache": cache})
    plan = prepare(config)
    home = records.workspace / str(home_of(job))
    if plan.folder.resolve() != home.resolve():  # other jobs look for the adapter there
        raise StorageError(
            f"{plan.folder}: the adapter would be written here, not to {home}: the base model's name has changed.",
            "Start the grid again.",
        )
    if is_made(plan):
        return config
    if differs_in_libraries_only(run_folder(home.resolve()), plan.recipe):
        return config.model_copy(update={"resume": True})
    if manifest := read_manifest(plan.folder, ADAPTER):
        reason = difference(manifest, plan.recipe) or ", ".join(damaged(plan.folder, manifest, NOT_NEEDED))
        note(f"{plan.folder}: the adapter is trained again and replaced: {reason}.")
    return config.model_copy(update={"overwrite": True})


def _eval(job: Job, records: Records, _cache: Path) -> list[Path]:
    with many_imports():
        from lrltrain.evaluation.score_tasks import score_tasks
        from lrltrain.evaluation.score_text import score_text

    config = _eval_config(job, records)
    if config.task == "pppl":
        return [score.path for score in score_text(config, QUIET)]
    return [run.folder for score in score_tasks(config, QUIET) for run in score.runs]


def _evals(jobs: Sequence[Job], records: Records, _cache: Path) -> None:
    """Train the seeds of a task together: jobs that differ only in their seed."""
    with many_imports():
        from lrltrain.evaluation.score_tasks import score_tasks

    seeds = [seed for job in jobs for seed in job.settings["seeds"]]
    score_tasks(_eval_config(jobs[0], records).model_copy(update={"seeds": seeds}), QUIET)


def _eval_config(job: Job, records: Records) -> "EvalConfig":
    from lrltrain.config import load_eval_config

    return load_eval_config(None, placed(job, records.workspace) | {"out": records.workspace}, own=())


def _report(_job: Job, records: Records, _cache: Path) -> list[Path]:
    with many_imports():
        from lrltrain.reporting.report import MADE_OF, is_read, report
    records.fetch(MADE_OF, is_read)
    return list(report(records.workspace).files)


def _push(job: Job, records: Records, _cache: Path) -> list[Path]:
    """Publish a language with `lrl push-hub`, whose package depends on this one and is therefore not imported.

    The process imports installed modules, and our own from where this package is. It never imports from the current
    folder, which `-m` would search first.
    """
    options = [option for key, value in job.settings.items() for option in _options_of(key, value)]
    start = f"import sys; sys.path.append({str(SOURCES)!r}); from hub_cards.cli import main; main()"
    command = [sys.executable, "-P", "-c", start, "push-hub", *options, "--out", str(records.workspace), "--quiet"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    tell(process.stdout + process.stderr)
    if process.returncode:
        # Errors in options are printed in a box.
        lines = [line.strip("│ ") for line in process.stderr.splitlines() if line.strip("╭╮╰╯─│ ")]
        message = lines[-1].removeprefix("error: ") if lines else "lrl push-hub failed; see the log of this job."
        raise (UsageError if process.returncode == UsageError.exit_code else StorageError)(message)
    return []


def _options_of(key: str, value: Any) -> list[str]:
    """Return the options of `lrl push-hub` for a setting."""
    name = f"--{key.replace('_', '-')}"
    if value is True:
        return [name]
    if value is False:  # the other switches are off by default and have no negative form
        return ["--no-collection"] if key == "collection" else []
    return [f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}"]


HANDLERS: Mapping[str, Callable[[Job, Records, Path], list[Path]]] = {
    "shard": _shard,
    "build": _build,
    "fit": _fit,
    "eval": _eval,
    "report": _report,
    "push": _push,
}

GROUP_HANDLERS: Mapping[str, Callable[[Sequence[Job], Records, Path], None]] = {"fit": _fits, "eval": _evals}
