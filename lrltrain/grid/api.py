"""`lrltrain.run_grid`: run a whole study from Python, with the same pipeline as the command."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from os import PathLike
from typing import Any, Literal

from lrldata.arguments import as_text, naming_arguments, plain
from lrldata.errors import UsageError
from lrldata.forks import refuse_forked
from lrldata.language import Language
from lrldata.settings import AnyPath, as_path
from lrltrain.grid import show
from lrltrain.grid.config import load_grid_config
from lrltrain.grid.grid import grid, planned
from lrltrain.grid.options import EngineName, Options
from lrltrain.grid.records import records_of


@dataclass(frozen=True)
class Study:
    """A study: its workspace, the number of jobs, how many are done, and how many were done before (`kept`).

    `plan` estimates the cost of the jobs, in all (`total`) and by what they make (`jobs`): their number, `gpu_seconds`
    on an H100 (by formula), bytes on `disk`, and bytes that they read (`reads`).
    """

    workspace: str
    jobs: int
    done: int
    kept: int
    plan: Mapping[str, Any] = field(hash=False)

    def as_json(self) -> dict[str, Any]:
        """Return the study as JSON-like values."""
        return dict(vars(self))


def run_grid(
    study: AnyPath | Mapping[str, Any],
    *,
    only: str | Iterable[str] | None = None,
    engine: Literal["local", "ray"] = "local",
    workers: int | None = None,
    jobs_per_gpu: int | None = None,
    address: str | None = None,
    retries: int = 1,
    verify: bool = False,
    out: AnyPath | None = None,
    cache: AnyPath | None = None,
    dry_run: bool = False,
    quiet: bool = False,
) -> Study:
    """Make everything in a study that is not done yet: datasets, adapters, scores, the report, publishing.

    Jobs run in separate processes. After an interruption, the same call continues the study.

    Args:
        study: A study file, or its content as a dict: `{"languages": "ug,mt", "build": {...}, "fit": [{...}],
            "eval": {...}}`.
        only: Labels of jobs, `"lang=ug,method=lora"`, or a list of them: run only these jobs and the jobs they need.
        engine: `"local"` for processes on this machine, or `"ray"` for a cluster.
        workers: Number of jobs that the local engine runs at once; by default as cores, memory and GPUs allow.
        jobs_per_gpu: Number of jobs that share a GPU; by default similar fits form a group, and other jobs share it as
            memory allows.
        address: Address of a Ray cluster, `"auto"` or `"HOST:PORT"`.
        retries: How often a failed job is tried again.
        verify: Read every finished file and compare its hash, not only its size and time.
        out: The workspace; by default the study's, or `lrl-workspace`.
        cache: Folder for downloads and intermediate files; by default the study's, or the user's.
        dry_run: Run nothing, and return what would be done.
        quiet: Do not print a line for each job that ends.

    Returns:
        The study: `workspace`, `jobs`, `done`, `kept`, `plan`. Its scores are `lrltrain.report(workspace).to_frame()`.

    Raises:
        UsageError: If the study or an argument is invalid; nothing has run.
        LrlError: If jobs failed; `WORKSPACE/grid/logs` says why. All jobs that do not need them are done.

    """
    refuse_forked()
    with naming_arguments(signature(run_grid).parameters):
        options = Options(
            engine=_engine(engine),
            workers=_at_least(1, workers, "workers"),
            address=address,
            jobs_per_gpu=_at_least(1, jobs_per_gpu, "jobs_per_gpu"),
            retries=_at_least(0, retries, "retries") or 0,
            verify=verify,
            only=_labels(only),
        )
        places = {"out": out, "cache": cache}
        flags = {name: as_text(place, name) for name, place in places.items() if place is not None}
        source = _as_toml(study) if isinstance(study, Mapping) else as_path(study, "study")
        config = load_grid_config(source, flags)
        jobs = planned(config, options.only)
        records = records_of(config.out, config.cache)
        if dry_run:
            records.fetch(["grid/jobs"])
            done = {job.id for job in jobs if records.is_done(job)}
            return Study(config.out, len(jobs), len(done), len(done), show.plan_as_json(jobs, done))
        state = grid(config, options, show.progress_printer(len(jobs), quiet=quiet), jobs).checked(records).state
        plan = show.plan_as_json(jobs, state.kept)
        return Study(config.out, len(jobs), len(state.done), len(state.kept), plan)


def _engine(name: str) -> EngineName:
    try:
        return EngineName(name)
    except ValueError as error:
        raise UsageError(f"engine: {name!r} is unknown.", f"Choose from {', '.join(EngineName)}.") from error


def _labels(only: str | Iterable[str] | None) -> tuple[str, ...]:
    labels = plain([only] if isinstance(only, str) else only or [])
    if isinstance(labels, list) and all(isinstance(label, str) for label in labels):
        return tuple(labels)
    raise UsageError(f"only: {only!r:.60} is not a label.", 'Give a label such as "lang=ug", or a list of labels.')


def _as_toml(value: Any) -> Any:
    """Return the content of a study in the types of a TOML file: tables, lists, strings, numbers."""
    if isinstance(value, Mapping):
        return {str(key): _as_toml(item) for key, item in value.items()}
    if isinstance(value, Language):
        return value.code
    value = plain(value)
    if isinstance(value, list):
        return [_as_toml(item) for item in value]
    return str(value) if isinstance(value, PathLike) else value


def _at_least(minimum: int, count: int | None, name: str) -> int | None:
    count = plain(count)
    if count is None or (isinstance(count, int) and count >= minimum):
        return count
    raise UsageError(f"{name}: {count!r} is not a number of {minimum} or more.")
