"""The pipeline of `lrltrain grid`: from a study file to a finished study."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from lrldata.errors import LrlError, UsageError
from lrldata.remote import is_remote
from lrltrain.config import check_trackers
from lrltrain.grid.config import GridConfig
from lrltrain.grid.job import Job
from lrltrain.grid.jobs import jobs_of
from lrltrain.grid.local import LocalEngine
from lrltrain.grid.machine import free_memory, gpus, slots_for
from lrltrain.grid.options import EngineName, Options
from lrltrain.grid.records import Record, Records, records_of
from lrltrain.grid.schedule import Engine, Schedule, run
from lrltrain.grid.select import select

_NEED_TRAINING = {"fit", "eval", "report"}  # kinds of jobs


@dataclass(frozen=True)
class Outcome:
    """The jobs of a grid and their final state."""

    jobs: Sequence[Job]
    state: Schedule

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as JSON-like values."""
        state = self.state
        counts = {"jobs": len(self.jobs), "done": len(state.done), "kept": len(state.kept)}
        failed = [{"id": record.id, "name": record.name, "error": record.error} for record in state.failed.values()]
        return {**counts, "failed": failed, "blocked": len(state.blocked)}

    def checked(self, records: Records) -> Self:
        """Return the outcome itself. Raises LrlError if a job failed."""
        failed = list(self.state.failed.values())
        if not failed:
            return self
        names = ", ".join(record.name for record in failed[:3]) + (", ..." if len(failed) > 3 else "")
        raise LrlError(
            f"{len(failed)} of {len(self.jobs)} jobs failed: {names}.",
            f"Their logs are in {records.address(records.folder / 'logs')}; run the grid again to retry them.",
        )


def planned(config: GridConfig, only: Iterable[str]) -> list[Job]:
    """Return the jobs of a study, or only those that `only` selects. Raises UsageError."""
    jobs = jobs_of(config)
    chosen = list(only)
    return select(jobs, chosen) if chosen else jobs


def check_libraries(jobs: Sequence[Job], engine: EngineName) -> None:
    """Raise UsageError if the libraries of a job are not installed: before the first job, and not hours later."""
    if engine is EngineName.RAY:  # its workers may have other libraries
        required = [("ray", "--engine ray", "train,ray")]
    else:
        check_trackers(tracker for job in jobs for tracker in job.settings.get("tracker", ()))
        kinds = {job.kind for job in jobs}
        required = [
            (name, "training", "train") for name in ("torch", "transformers", "scipy") if kinds & _NEED_TRAINING
        ]
        required += [(name, "publishing", "push") for name in ("huggingface_hub", "altair") if "push" in kinds]
    for library, purpose, extra in required:
        if find_spec(library) is None:
            raise UsageError(f"{purpose} needs {library}.", f"In a checkout of lrl, use `pip install '.[{extra}]'`.")


def grid(
    config: GridConfig, options: Options, tell: Callable[[Schedule, Record], None], jobs: Sequence[Job]
) -> Outcome:
    """Run all jobs of a study that are not done yet, and record those that fail. Raises LrlError."""
    check_libraries(jobs, options.engine)
    records = records_of(config.out, config.cache)
    records.fetch(["grid/jobs"])
    with _engine(config, options, jobs) as engine:
        # `lrltrain status` reports on the whole study, even if each machine runs a part of it.
        records.write_plan(planned(config, ()) if options.only else jobs, engine.slots)
        schedule = run(jobs, records, engine, retries=options.retries, verify=options.verify, tell=tell)
    return Outcome(jobs, schedule)


def _engine(config: GridConfig, options: Options, jobs: Sequence[Job]) -> AbstractContextManager[Engine]:
    workspace = config.out if is_remote(config.out) else str(Path(config.out).resolve())
    common = (workspace, str(config.cache.resolve()), config.threads)
    if options.engine is EngineName.RAY:
        from lrltrain.grid.on_ray import RayEngine  # noqa: PLC0415 -- Ray is optional

        return RayEngine(*common, options.jobs_per_gpu, options.retries, options.address)
    devices = gpus()
    if options.workers:
        return LocalEngine(*common, options.jobs_per_gpu, options.workers, devices)
    return LocalEngine(*common, options.jobs_per_gpu, slots_for(jobs, config.threads, devices), devices, free_memory())
