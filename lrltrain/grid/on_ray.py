"""Jobs on a Ray cluster: one that is there, or one that Ray starts on this machine. Resources and retries are Ray's."""

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

from lrldata.engine import APART, SOURCES, variables
from lrldata.errors import LrlError, first_line
from lrltrain.grid.act import run_job
from lrltrain.grid.job import Job
from lrltrain.grid.local import THREADS
from lrltrain.grid.machine import gpus, share_of
from lrltrain.grid.records import Record

_AHEAD = 4  # jobs a core that are handed to Ray before they can begin


@dataclass
class OnRay:
    """An engine that hands jobs to Ray, each that trains or measures with a GPU, or a part of one, where there are any.

    Ray does not say how much memory a GPU has: that of this machine's is taken for that of all.
    """

    workspace: str
    cache: str
    threads: int
    jobs_per_gpu: int | None
    address: str | None = None
    retries: int = 2
    slots: int = 1
    _has_gpus: bool = False
    _memory: int = 0
    _busy: dict[Any, tuple[Job, float]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        _look_for(self.address)
        chosen: dict[str, str] = dict.fromkeys(THREADS, str(self.threads)) | APART
        try:
            with variables(APART), TemporaryDirectory() as empty:
                # Without a folder to work in, Ray has each process look for modules in the current folder, before all
                # others. That is right where our own sources are in it.
                folder = {} if Path.cwd() == SOURCES else {"working_dir": empty}
                ray.init(
                    address=self.address,
                    runtime_env={"env_vars": chosen, **folder},
                    log_to_driver=False,
                    include_dashboard=False,
                    logging_level=logging.ERROR,
                )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise LrlError(
                f"--address {self.address}: {first_line(error)}", "Is the cluster up? `ray status` says."
            ) from error
        there = ray.cluster_resources()
        self.slots = max(1, int(there.get("CPU", 1))) * _AHEAD
        self._has_gpus = there.get("GPU", 0) > 0
        self._memory = min((gpu.memory for gpu in gpus()), default=0)
        return self

    def __exit__(self, *_: object) -> None:
        ray.shutdown()

    def takes(self, job: Job) -> bool:  # noqa: ARG002 -- where it runs is Ray's to say
        """Return whether a job may be handed to Ray, which may let it wait."""
        return len(self._busy) < self.slots

    def group(self, job: Job, ready: Sequence[Job]) -> list[Job]:  # noqa: ARG002 -- as Ray shares GPUs out itself
        """Return the job: each is handed over by itself."""
        return [job]

    def submit(self, jobs: Sequence[Job]) -> None:
        """Hand a job to Ray."""
        (job,) = jobs
        share = share_of(job, self._memory, self.jobs_per_gpu) if self._has_gpus else 0.0
        remote = ray.remote(_perform).options(
            num_cpus=self.threads, num_gpus=share, max_retries=self.retries, name=job.name
        )
        self._busy[remote.remote(str(Path.cwd()), job.as_json(), self.workspace, self.cache)] = (
            job,
            time.perf_counter(),
        )

    def finished(self, seconds: float) -> list[Record]:
        """Return the records of jobs that ended; `lost` where Ray gave one up."""
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
                gone = time.perf_counter() - began
                records.append(Record(job.id, job.name, "lost", gone, error=first_line(error)))
        return records


def _look_for(address: str | None) -> None:
    """Raise LrlError where nobody listens at an address, which Ray would try to reach for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit() and "/" not in host:
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise LrlError(f"--address {address}: {error}.", "Is the cluster up? `ray status` says.") from error


def _perform(home: str, described: dict[str, Any], workspace: str, cache: str) -> Record:
    """Do a job in the folder in which the grid was started, where the node has it: recipes name files from there."""
    if Path(home).is_dir():
        os.chdir(home)
    return run_job(described, workspace, cache)
