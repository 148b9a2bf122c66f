"""Which jobs run at once, by cores, memory and GPUs. GPUs are simulated, and jobs only wait for a signal."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from lrltrain.grid import local, machine
from lrltrain.grid.config import load_grid_config
from lrltrain.grid.cost import memory_of
from lrltrain.grid.job import Job
from lrltrain.grid.jobs import jobs_of
from lrltrain.grid.local import LocalEngine
from lrltrain.grid.machine import Gpu, gpus, share_of, slots_for
from lrltrain.grid.records import Record, Records
from lrltrain.grid.schedule import run

H100 = Gpu("0", 80 << 30)
RECIPES = Path(__file__).resolve().parents[2] / "recipes"
NVIDIA = """#!/bin/sh
echo "0, GPU-aa, 81559"
echo "1, GPU-bb, 24564"
"""
# One GPU is divided into slices (MIG), and another has no memory of its own. `--list-gpus` prints the slices.
DIVIDED = """#!/bin/sh
case "$1" in
--list-gpus)
  echo "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-5c89852c-d268)"
  echo "  MIG 3g.40gb     Device  0: (UUID: MIG-57de94a5-be15)"
  echo "  MIG 1g.10gb+me  Device  1: (UUID: MIG-9d4e0b32-11aa)"
  echo "GPU 1: NVIDIA GB10 (UUID: GPU-77aa52c1-0f3e)" ;;
*)
  echo "0, GPU-5c89852c-d268, 81559"
  echo "1, GPU-77aa52c1-0f3e, [N/A]" ;;
esac
"""


@pytest.fixture(scope="module")
def paper() -> list[Job]:
    return jobs_of(load_grid_config(RECIPES / "paper.toml", {}))


def first(jobs: list[Job], **labels: str) -> Job:
    return next(job for job in jobs if labels.items() <= (job.labels | {"kind": job.kind}).items())


def test_small_jobs_share_a_gpu_and_a_large_model_has_one_to_itself(paper: list[Job]) -> None:
    small = first(paper, kind="fit", model="FacebookAI/xlm-roberta-base", method="lora")
    large = first(paper, kind="fit", model="meta-llama/Meta-Llama-3-8B")
    assert share_of(small, H100.memory, None) == 1 / 4
    assert share_of(small, 12 << 30, None) > 1 / 4
    assert share_of(large, H100.memory, None) == 1
    assert share_of(small, H100.memory, 2) == 1 / 2
    assert share_of(first(paper, kind="build"), H100.memory, None) == 0


def test_slots_are_limited_by_cores_memory_and_threads(paper: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    cores = machine.cores()
    build = [first(paper, kind="build")]
    monkeypatch.setattr(machine, "free_memory", lambda: cores * memory_of(build[0]))
    assert slots_for(build, 1, ()) == cores
    assert slots_for(build, 2, ()) == max(1, cores // 2)
    assert slots_for(build, 64, (H100, H100)) == 2
    large = first(paper, kind="fit", model="meta-llama/Meta-Llama-3-8B")
    assert slots_for([large], 1, ()) < max(2, cores), "a model of 8 billion weights does not fit into a laptop twice"
    assert slots_for([*build, large], 1, ()) == cores, "other jobs still run in parallel"


def test_half_of_the_memory_counts_as_free_where_the_system_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"SC_PHYS_PAGES": 1_000, "SC_PAGE_SIZE": 4_096}
    monkeypatch.setattr(machine, "Path", lambda _: Path("/nowhere"))
    monkeypatch.setattr("os.sysconf", sizes.get)
    monkeypatch.setattr(machine, "memory_left", lambda: None)
    assert machine.free_memory() == 2_048_000


def test_a_job_starts_if_memory_suffices_for_it_and_the_running_jobs(
    paper: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    released = Event()
    monkeypatch.setattr(local, "process_of", lambda *_: ThreadPoolExecutor(1))
    monkeypatch.setattr(local, "run_jobs", lambda *_: released.wait(30) and [])
    small = first(paper, kind="fit", model="FacebookAI/xlm-roberta-base", method="lora")
    large = first(paper, kind="fit", model="meta-llama/Meta-Llama-3-8B")
    with LocalEngine("", "", 1, None, 4, (), 1.5 * memory_of(large)) as engine:
        engine.submit([large])
        assert not engine.takes(large)
        assert engine.takes(small)
        engine.submit([small])
        released.set()
    with LocalEngine("", "", 1, None, 4, (), 0.5 * memory_of(large)) as engine:
        assert engine.takes(large), "a job that is too large is tried alone, or it would never start"


def test_jobs_go_to_gpus_with_space_and_others_to_any_slot(paper: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    released, gpus_used = Event(), list[str | None]()

    def wait_and_finish(descriptions: list[dict[str, str]], _workspace: str, _cache: str) -> list[Record]:
        released.wait(30)
        return [Record(description["id"], "", "done") for description in descriptions]

    def process_of(_threads: int, gpu: str | None, reading: int) -> ThreadPoolExecutor:
        assert reading == 2, "16 cores are divided among 4 jobs on each of 2 GPUs"
        gpus_used.append(gpu)
        return ThreadPoolExecutor(1)

    monkeypatch.setattr(local, "process_of", process_of)
    monkeypatch.setattr(local, "cores", lambda: 16)
    monkeypatch.setattr(local, "run_jobs", wait_and_finish)
    small = [job for job in paper if job.kind == "fit" and job.labels["method"] == "lora"]
    large = first(paper, kind="fit", model="meta-llama/Meta-Llama-3-8B")
    with LocalEngine("", "", 1, None, 12, (H100, Gpu("1", 80 << 30))) as engine:
        for job in small[:8]:
            assert engine.takes(job)
            engine.submit([job])
        assert not engine.takes(small[8])
        assert not engine.takes(large)
        assert engine.takes(first(paper, kind="build"))
        assert sorted(map(str, gpus_used)) == ["0"] * 4 + ["1"] * 4
        released.set()
        finished = 0
        while finished < 8:
            finished += len(engine.finished(1))
        assert engine.takes(large)


def test_no_job_is_overtaken_by_another_of_the_same_kind(paper: list[Job], tmp_path: Path) -> None:
    class Narrow:
        """An engine that takes a job of a large model only when it is idle."""

        slots = 3

        def __init__(self) -> None:
            self.busy: list[Job] = []
            self.order: list[str] = []

        def takes(self, job: Job) -> bool:
            is_large = "8B" in job.labels.get("model", "")
            return len(self.busy) < self.slots and not (is_large and self.busy)

        def group(self, job: Job, ready: Sequence[Job]) -> list[Job]:
            assert job in ready
            return [job]

        def submit(self, jobs: Sequence[Job]) -> None:
            self.busy += jobs
            self.order += [job.name for job in jobs]

        def finished(self, seconds: float) -> list[Record]:
            assert seconds
            job = self.busy.pop(0)
            return [Record(job.id, job.name, "done")]

    fits = [Job(job.kind, job.labels, job.settings, (), job.id) for job in paper if job.kind == "fit"]
    large = next(job for job in fits if "8B" in job.labels["model"])
    small = [job for job in fits if "8B" not in job.labels["model"]]
    jobs, engine = [*small[:2], large, *small[2:4]], Narrow()
    run(jobs, Records(tmp_path), engine, retries=0, verify=False, tell=lambda *_: None)
    assert engine.order == [job.name for job in jobs]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [("MIG-57de94a5-be15", 40), ("MIG-9d4e0b32-11aa", 10), ("GPU-77aa52c1-0f3e", 4)]),
        ("MIG-9d4e0b32-11aa", [("MIG-9d4e0b32-11aa", 10)]),
        ("MIG-9d", [("MIG-9d4e0b32-11aa", 10)]),
        ("GPU-77,MIG-57", [("GPU-77aa52c1-0f3e", 4), ("MIG-57de94a5-be15", 40)]),
        ("0", [("0", 40)]),  # CUDA uses the first slice
        ("MIG-GPU-5c89852c-d268/1/0,-1", [("MIG-GPU-5c89852c-d268/1/0", 0)]),  # as older drivers name a slice
    ],
)
def test_slices_and_gpus_without_own_memory_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: list[tuple[str, int]]
) -> None:
    monkeypatch.setattr("os.sysconf", {"SC_PHYS_PAGES": 1 << 20, "SC_PAGE_SIZE": 4_096}.get)
    _use_nvidia_smi(tmp_path, DIVIDED, visible, monkeypatch)
    assert [(gpu.name, gpu.memory >> 30) for gpu in gpus()] == expected


def test_only_visible_gpus_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _use_nvidia_smi(tmp_path, NVIDIA, None, monkeypatch)
    assert [(gpu.name, gpu.memory >> 30) for gpu in gpus()] == [("GPU-aa", 79), ("GPU-bb", 23)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-bb")
    assert [gpu.name for gpu in gpus()] == ["GPU-bb"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == ()


def _use_nvidia_smi(folder: Path, text: str, visible: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "nvidia-smi"
    program.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
