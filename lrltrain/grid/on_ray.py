"""Jobs on a Ray cluster: an existing one, or one started here. Ray manages resources and restarts lost jobs."""

import logging
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import ray
from ray.exceptions import RayError

from lrldata.engine import SAFE_PATH, SOURCES, environment_variables
from lrldata.errors import LrlError, first_line
from lrldata.threads import cores
from lrltrain.grid.act import run_job
from lrltrain.grid.job import Job
from lrltrain.grid.local import THREADS
from lrltrain.grid.machine import gpus, share_of
from lrltrain.grid.records import Record

_AHEAD = 4  # Ray is given up to this many times the jobs that can run at once, and queues the rest


@dataclass
class RayEngine:
    """An engine that hands jobs to Ray. If the cluster has GPUs, fits and evals get one, or a fraction of one.

    Ray does not report GPU memory: every GPU is assumed to have that of this machine's smallest one.
    """

    workspace: str
    cache: str
    threads: int
    jobs_per_gpu: int | None
    retries: int
    address: str | None = None
    slots: int = 1
    _has_gpus: bool = False
    _memory: int = 0
    _busy: dict[Any, tuple[Job, float]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        _check_address(self.address)
        address = self.address or os.environ.get("RAY_ADDRESS") or "local"
        environment: dict[str, str] = dict.fromkeys(THREADS, str(self.threads)) | SAFE_PATH
        try:
            with environment_variables(SAFE_PATH), TemporaryDirectory() as empty:
                # Without a working folder, each process of Ray imports modules from the current folder first. That is
                # right only if the current folder holds our own sources.
                folder = {} if Path.cwd() == SOURCES else {"working_dir": empty}
                ray.init(
                    address=address,
                    num_cpus=cores() if address == "local" else None,
                    runtime_env={"env_vars": environment, **folder},
                    log_to_driver=False,
                    include_dashboard=False,
                    logging_level=logging.ERROR,
                )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise LrlError(
                f"--address {self.address}: {first_line(error)}.", "Check that the cluster is up, with `ray status`."
            ) from error
        resources = ray.cluster_resources()
        self.slots = max(1, int(resources.get("CPU", 1)) // self.threads)
        self._has_gpus = resources.get("GPU", 0) > 0
        self._memory = min((gpu.memory for gpu in gpus()), default=0)
        return self

    def __exit__(self, *_: object) -> None:
        ray.shutdown()

    def takes(self, job: Job) -> bool:  # noqa: ARG002 -- Ray decides where it runs
        """Return whether a job may be handed to Ray, which may queue it."""
        return len(self._busy) < self.slots * _AHEAD

    def group(self, job: Job, ready: Sequence[Job]) -> list[Job]:  # noqa: ARG002 -- Ray assigns GPUs itself
        """Return only the job: Ray gets each job by itself."""
        return [job]

    def submit(self, jobs: Sequence[Job]) -> None:
        """Hand a job to Ray."""
        (job,) = jobs
        share = share_of(job, self._memory, self.jobs_per_gpu) if self._has_gpus else 0.0
        remote = ray.remote(_run_in_folder).options(
            num_cpus=self.threads, num_gpus=share, max_retries=self.retries, name=job.name
        )
        self._busy[remote.remote(str(Path.cwd()), job.as_json(), self.workspace, self.cache)] = (
            job,
            time.perf_counter(),
        )

    def finished(self, seconds: float) -> list[Record]:
        """Return the records of jobs that ended; the status is `lost` if Ray gave a job up."""
        if not self._busy:
            time.sleep(seconds)
            return []
        ended, _ = ray.wait(list(self._busy), num_returns=1, timeout=seconds)
        records = []
        for reference in ended:
            job, began = self._busy.pop(reference)
            try:
                records.append(ray.get(reference))
            except RayError as error:
                seconds_run = time.perf_counter() - began
                records.append(Record(job.id, job.name, "lost", seconds_run, error=first_line(error)))
        return records


def _check_address(address: str | None) -> None:
    """Raise LrlError if nothing listens at an address; Ray would try to reach it for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit() and "/" not in host:
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise LrlError(
                f"--address {address}: {error}.", "Check that the cluster is up, with `ray status`."
            ) from error


def _run_in_folder(home: str, described: dict[str, Any], workspace: str, cache: str) -> Record:
    """Run a job in the folder where the grid was started, if the node has it: paths in a study are relative to it."""
    if Path(home).is_dir():
        os.chdir(home)
    return run_job(described, workspace, cache)
