"""Jobs of a grid that are trained as a group: which, and what comes of them. The GPU is one in name alone."""

import json
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lrltrain.grid.config import load_grid_config
from lrltrain.grid.job import Job
from lrltrain.grid.jobs import jobs_of
from lrltrain.grid.local import LocalEngine
from lrltrain.grid.machine import MAX_JOBS_PER_GPU, Gpu
from lrltrain.grid.together import group_of

Run = Callable[..., subprocess.CompletedProcess[str]]
GB = 1 << 30
RECIPES = Path(__file__).resolve().parents[2] / "recipes"
RECIPE = """
languages = "bg,mt,ug"
out = "{out}"
cache = "cache"
[[fit]]
sources = ["web"]
models = ["lrl-mini"]
methods = ["seq_bn_inv"]
text = ["{{lang}}.txt"]
steps = 4
batch-size = 4
max-length = 64
dropout = 0.0
"""
NVIDIA = """#!/bin/sh
echo "0, GPU-aa, 81559"
"""


@pytest.fixture
def on_gpu(tmp_path: Path, lrltrain: Run) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a grid on texts of three languages, where `nvidia-smi` tells of a GPU; return the process that ended."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(NVIDIA)
    program.chmod(0o755)
    for number, language in enumerate(("bg", "mt", "ug")):
        lines = (f"line {word * (number + 2)} of {language}" for word in range(1, 120))
        (tmp_path / f"{language}.txt").write_text("\n".join(lines))

    def run(out: str, *more: object, evals: str = "") -> subprocess.CompletedProcess[str]:
        (tmp_path / "recipe.toml").write_text(RECIPE.format(out=out) + evals)
        path = f"{program.parent}:{os.environ['PATH']}"
        return lrltrain("grid", "recipe.toml", "--json", *more, PATH=path, CUDA_VISIBLE_DEVICES="0")

    return run


@pytest.fixture(scope="module")
def jobs() -> list[Job]:
    return jobs_of(load_grid_config(RECIPES / "paper.toml", {}))


@pytest.fixture(scope="module")
def fits(jobs: list[Job]) -> list[Job]:
    return [job for job in jobs if job.kind == "fit"]


def alike(job: Job, other: Job) -> bool:
    ours, theirs = ([each.labels["model"], each.labels["method"], each.settings.get("preset")] for each in (job, other))
    return ours == theirs


def test_a_group_is_of_fits_that_are_alike_and_as_large_as_memory(fits: list[Job]) -> None:
    first = next(job for job in fits if job.labels["method"] == "lora")
    whole = group_of(first, fits, 1_000 * GB, 1)
    assert whole == [job for job in fits if alike(first, job)]
    assert len({job.labels["lang"] for job in whole}) == 30
    assert len(group_of(first, fits, 1_000 * GB, 4)) == -(-len(whole) // 4)
    assert 16 <= len(group_of(first, fits, 80 * GB, 1)) <= 32, "at 768 tokens each, 30 took 9 GB on an H100"
    assert group_of(first, fits, 2 * GB, 1) == [first]
    pairs = [replace(job, settings={**job.settings, "group": 2}) for job in whole]
    assert group_of(pairs[0], pairs, 80 * GB, 1) == pairs[:2]
    for method in ("full", "fusion"):
        alone = next(job for job in fits if job.labels["method"] == method)
        assert group_of(alone, fits, 1_000 * GB, 1) == [alone]


def test_the_seeds_of_a_task_are_a_group(jobs: list[Job]) -> None:
    evals = [job for job in jobs if job.kind == "eval"]
    for task in ("topic", "ner", "pppl"):
        first = next(job for job in evals if job.labels["task"] == task and job.labels["method"] == "lora")
        group = group_of(first, evals, 0.0, 8)
        if task == "pppl":
            assert group == [first]
            continue
        assert group[0] == first
        assert sorted(job.labels["seed"] for job in group) == ["1", "2", "3"]
        assert len({json.dumps({**job.labels, "seed": ""}) for job in group}) == 1


def test_the_seeds_of_a_task_have_the_room_of_one_job(jobs: list[Job]) -> None:
    gpu = Gpu("GPU-aa", 80 * GB)
    topics = [job for job in jobs if job.kind == "eval" and job.labels["task"] == "topic"]
    engine = LocalEngine("out", "cache", 1, None, MAX_JOBS_PER_GPU + 1, (gpu,))
    with engine:
        for _ in range(MAX_JOBS_PER_GPU):
            assert engine.takes(topics[0])
            slot = engine._free.pop()  # noqa: SLF001
            engine._busy[Future()] = slot, group_of(topics[0], topics, 0.0, 1), 0.0  # noqa: SLF001
        assert not engine.takes(topics[0])


def test_a_grid_on_a_gpu_scores_the_seeds_of_a_task_in_one_process(tmp_path: Path, on_gpu: Run) -> None:
    for split in ("train", "dev", "test"):
        rows = (f"{n}\t{'sports' if n % 2 else 'health'}\tline {n} of {split}" for n in range(16))
        (tmp_path / f"{split}.tsv").write_text("\n".join(["index_id\tcategory\ttext", *rows]))
    evals = '[eval]\ntasks = ["topic"]\nseeds = [1, 2]\nepochs = 2\nbaselines = []\ntopic = {data = "."}\n'
    for out, more in (("group", ("--workers", 1)), ("alone", ("--jobs-per-gpu", 1))):
        done = on_gpu(out, *more, evals=evals)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["done"] == 10
        runs = [each for each in (tmp_path / out / "scores").rglob("seed-*") if (each / "manifest.json").exists()]
        assert sorted((each.parts[-5], each.name) for each in runs) == [
            (language, f"seed-{seed}") for language in ("bg", "mt", "ug") for seed in (1, 2)
        ]
    heads = [file.read_text().split("\n")[0] for file in (tmp_path / "group").rglob("*.log")]
    assert sum(head.count("eval") == 2 for head in heads) == 3
    assert all(f" {tmp_path.name} " in head for head in heads if "eval" in head), "of a set that is the current folder"


def test_a_grid_on_a_gpu_trains_fits_as_a_group_and_each_is_as_alone(tmp_path: Path, on_gpu: Run) -> None:
    for out, more in (("group", ()), ("alone", ("--jobs-per-gpu", 1))):
        done = on_gpu(out, *more)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["done"] == 3
    for language in ("bg", "mt", "ug"):
        one, other = (
            tmp_path / out / "adapters" / language / "lrl-mini" / "web-seq_bn_inv" for out in ("group", "alone")
        )
        manifests = [json.loads((each / "manifest.json").read_text()) for each in (one, other)]
        assert len(manifests[0]["group"]) == 3
        assert "group" not in manifests[1]
        weights, expected = (load_file(each / "adapter.safetensors") for each in (one, other))
        for name, value in weights.items():
            torch.testing.assert_close(value, expected[name], atol=1e-4, rtol=0)
    records = [json.loads(file.read_text()) for file in (tmp_path / "group" / "grid" / "jobs").glob("*.json")]
    assert all(record["seconds"] > 0.1 for record in records), "each has its part of the group's time"
    assert json.loads(on_gpu("group").stdout)["kept"] == 3


def test_a_fit_that_fails_in_a_group_stops_none_of_the_others(tmp_path: Path, on_gpu: Run) -> None:
    (tmp_path / "mt.txt").write_text("")
    done = on_gpu("out", "--retries", 0)
    assert done.returncode == 1
    assert "1 of 3 jobs failed: fit mt" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(list(tmp_path.glob("out/adapters/*/*/*/manifest.json"))) == 2
