"""`lrltrain.run_grid`: a whole study from a Python session. The command runs the same pipeline."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from inspect import signature
from os import PathLike
from typing import Any, Literal

from lrldata.arguments import as_text, naming_arguments, plain
from lrldata.errors import UsageError
from lrldata.forks import refuse_forked
from lrldata.language import Language
from lrldata.settings import Place, as_path
from lrltrain.grid import show
from lrltrain.grid.config import load_grid_config
from lrltrain.grid.grid import grid, planned
from lrltrain.grid.options import EngineName, Options
from lrltrain.grid.records import records_of


@dataclass(frozen=True)
class Study:
    """A study: its workspace, how many jobs it has, how many are done, and how many of these (`kept`) were before.

    `plan` says what the jobs take, in all (`total`) and by what they make (`jobs`): their number, `gpu_seconds` on an
    H100 (by formula), and bytes on the `disk` and that they read (`reads`).
    """

    workspace: str
    jobs: int
    done: int
    kept: int
    plan: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-like values."""
        return dict(vars(self))


def run_grid(
    recipe: Place | Mapping[str, Any],
    *,
    only: str | Iterable[str] | None = None,
    engine: Literal["local", "ray"] = "local",
    workers: int | None = None,
    jobs_per_gpu: int | None = None,
    address: str | None = None,
    retries: int = 1,
    verify: bool = False,
    out: Place | None = None,
    cache: Place | None = None,
    dry_run: bool = False,
    quiet: bool = False,
) -> Study:
    """Do all that a recipe asks for and that is not done: datasets, adapters, scores, the report, publishing.

    Jobs run in processes of their own. The same call goes on after an interruption.

    Args:
        recipe: A recipe's file, or what would be in it as a dict: `{"languages": "ug,mt", "build": {...}, "fit":
            [{...}], "eval": {...}}`.
        only: Labels of jobs, `"lang=ug,method=lora"`, or a list of such: only these, and what they need.
        engine: `"local"`, processes of this machine, or `"ray"`, a cluster.
        workers: Jobs at once of the local engine; by default by cores, memory and GPUs.
        jobs_per_gpu: Jobs that share a GPU; by default similar fits as a group, and others as memory allows.
        address: Of a Ray cluster, `"auto"` or `"HOST:PORT"`.
        retries: How often a job that failed is tried again.
        verify: Read every finished file and compare its hash, not its size and time alone.
        out: The workspace; by default the recipe's, or `lrl-workspace`.
        cache: Where dumps, indexes and tokens are kept; by default the recipe's, or the user's.
        dry_run: Run nothing, and return what would be done.
        quiet: Print no line for each job that ends.

    Returns:
        The study: `workspace`, `jobs`, `done`, `kept`, `plan`. Its scores are `lrltrain.report(workspace).to_frame()`.

    Raises:
        UsageError: A recipe or an argument that cannot be meant; nothing has run.
        LrlError: Jobs failed. All others that do not need them are done; `WORKSPACE/grid/logs` says why.

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
        given = _as_toml(recipe) if isinstance(recipe, Mapping) else as_path(recipe, "recipe")
        config = load_grid_config(given, flags)
        jobs = planned(config, options.only)
        records = records_of(config.out, config.cache)
        if dry_run:
            records.fetch(["grid/jobs"])
            done = {job.id for job in jobs if records.is_done(job)}
            return Study(config.out, len(jobs), len(done), len(done), show.plan_as_json(jobs, done))
        state = grid(config, options, show.teller(len(jobs), quiet=quiet), jobs).checked(records).state
        plan = show.plan_as_json(jobs, state.kept)
        return Study(config.out, len(jobs), len(state.done), len(state.kept), plan)


def _engine(name: str) -> EngineName:
    try:
        return EngineName(name)
    except ValueError as error:
        raise UsageError(f"engine: {name!r} is not known.", f"Known: {', '.join(EngineName)}.") from error


def _labels(only: str | Iterable[str] | None) -> tuple[str, ...]:
    labels = plain([only] if isinstance(only, str) else only or [])
    if isinstance(labels, list) and all(isinstance(each, str) for each in labels):
        return tuple(labels)
    raise UsageError(f"only: {only!r:.60} is not a label.", 'Give one as "lang=ug", or a list of such.')


def _as_toml(value: Any) -> Any:
    """Return what is in a recipe as a TOML file has it: tables, lists, texts, numbers."""
    if isinstance(value, Mapping):
        return {str(key): _as_toml(each) for key, each in value.items()}
    if isinstance(value, Language):
        return value.code
    value = plain(value)
    if isinstance(value, list):
        return [_as_toml(each) for each in value]
    return str(value) if isinstance(value, PathLike) else value


def _at_least(least: int, count: int | None, name: str) -> int | None:
    count = plain(count)
    if count is None or (isinstance(count, int) and count >= least):
        return count
    raise UsageError(f"{name}: {count!r} is not a number of {least} or more.")
