"""Grid jobs that run as a group: which jobs form a group, and their results. The GPU is simulated."""

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
    """Run a grid on texts in three languages with an `nvidia-smi` that lists a GPU; return the completed process."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(NVIDIA)
    program.chmod(0o755)
    for number, language in enumerate(("bg", "mt", "ug")):
        lines = (f"line {word * (number + 2)} of {language}" for word in range(1, 120))
        (tmp_path / f"{language}.txt").write_text("\n".join(lines))

    def run(out: str, *options: object, evals: str = "") -> subprocess.CompletedProcess[str]:
        (tmp_path / "recipe.toml").write_text(RECIPE.format(out=out) + evals)
        path = f"{program.parent}:{os.environ['PATH']}"
        environment = {"PATH": path, "CUDA_VISIBLE_DEVICES": "0", "JOBS_HERE": "1"}
        return lrltrain("grid", "recipe.toml", "--json", *options, **environment)

    return run


@pytest.fixture(scope="module")
def jobs() -> list[Job]:
    return jobs_of(load_grid_config(RECIPES / "paper.toml", {}))


@pytest.fixture(scope="module")
def fits(jobs: list[Job]) -> list[Job]:
    return [job for job in jobs if job.kind == "fit"]


def are_alike(job: Job, other: Job) -> bool:
    key, other_key = ([fit.labels["model"], fit.labels["method"], fit.settings.get("preset")] for fit in (job, other))
    return key == other_key


def test_a_group_contains_similar_fits_up_to_the_limit_of_memory(fits: list[Job]) -> None:
    first = next(job for job in fits if job.labels["method"] == "lora")
    group = group_of(first, fits, 1_000 * GB, 1)
    assert group == [job for job in fits if are_alike(first, job)]
    assert len({job.labels["lang"] for job in group}) == 30
    assert len(group_of(first, fits, 1_000 * GB, 4)) == -(-len(group) // 4)
    assert 16 <= len(group_of(first, fits, 80 * GB, 1)) <= 32, "with 768 tokens each, 30 fits took 9 GB on an H100"
    assert group_of(first, fits, 2 * GB, 1) == [first]
    pairs = [replace(job, settings={**job.settings, "group": 2}) for job in group]
    assert group_of(pairs[0], pairs, 80 * GB, 1) == pairs[:2]
    for method in ("full", "fusion"):
        single = next(job for job in fits if job.labels["method"] == method)
        assert group_of(single, fits, 1_000 * GB, 1) == [single]


def test_the_seeds_of_a_task_form_a_group(jobs: list[Job]) -> None:
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


def test_the_seeds_of_a_task_take_the_space_of_one_job(jobs: list[Job]) -> None:
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
    result = on_gpu("group", "--workers", 1, evals=evals)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["done"] == 10
    runs = [folder for folder in (tmp_path / "group" / "scores").rglob("seed-*") if (folder / "manifest.json").exists()]
    assert sorted((folder.parts[-5], folder.name) for folder in runs) == [
        (language, f"seed-{seed}") for language in ("bg", "mt", "ug") for seed in (1, 2)
    ]
    heads = [file.read_text().split("\n")[0] for file in (tmp_path / "group").rglob("*.log")]
    assert sum(head.count("eval") == 2 for head in heads) == 3
    assert all(f" {tmp_path.name} " in head for head in heads if "eval" in head), (
        "the name of a test set in the current folder"
    )


def test_fits_that_a_grid_trains_as_a_group_on_a_gpu_equal_fits_trained_alone(tmp_path: Path, on_gpu: Run) -> None:
    for out, options in (("group", ()), ("alone", ("--jobs-per-gpu", 1))):
        result = on_gpu(out, *options)
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["done"] == 3
    for language in ("bg", "mt", "ug"):
        one, other = (
            tmp_path / out / "adapters" / language / "lrl-mini" / "web-seq_bn_inv" for out in ("group", "alone")
        )
        manifests = [json.loads((folder / "manifest.json").read_text()) for folder in (one, other)]
        assert len(manifests[0]["group"]) == 3
        assert "group" not in manifests[1]
        weights, expected = (load_file(folder / "adapter.safetensors") for folder in (one, other))
        for name, value in weights.items():
            torch.testing.assert_close(value, expected[name], atol=1e-4, rtol=0)
    records = [json.loads(file.read_text()) for file in (tmp_path / "group" / "grid" / "jobs").glob("*.json")]
    assert all(record["seconds"] > 0.1 for record in records), "each job has its share of the group's time"
    assert json.loads(on_gpu("group").stdout)["kept"] == 3


def test_a_fit_that_fails_in_a_group_does_not_stop_the_others(tmp_path: Path, on_gpu: Run) -> None:
    (tmp_path / "mt.txt").write_text("")
    result = on_gpu("out", "--retries", 0)
    assert result.returncode == 1
    assert "1 of 3 jobs failed: fit mt" in result.stderr
    assert "Traceback" not in result.stderr
    assert len(list(tmp_path.glob("out/adapters/*/*/*/manifest.json"))) == 2
