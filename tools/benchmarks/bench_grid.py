"""Speed of the grid: a rerun that has nothing to do, what the engine costs beside the work, and one worker against two.

    python tools/benchmarks/bench_grid.py [--jobs 1000] [--steps 100]

Rerun: the paper's recipe, cut to so many jobs, of which all have their record and their files (of a kilobyte), is run
again. Engine: the adapters of three languages by two methods with lrl-mini, on one worker and on two, in new
workspaces; the work is the sum of the jobs' own seconds, and what the driver takes to start is measured with it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lrltrain.grid.config import load_grid_config
from lrltrain.grid.job import Job
from lrltrain.grid.jobs import jobs_of
from lrltrain.grid.records import Record, Records

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
WORK = """
languages = "ro,bg,mt"
cache = "{cache}"
[build.conceptnet]
sample = true
[[fit]]
sources = ["conceptnet"]
models = ["lrl-mini"]
methods = ["seq_bn_inv", "lora"]
steps = {steps}
batch-size = 8
max-length = 128
learning-rate = 5e-3
eval-every = {steps}
"""


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [rerun(Path(folder), given.jobs), *engine(Path(folder), given.steps)]
    print("| | measured | target | |\n| --- | ---: | ---: | --- |")
    for what, told, target, met in rows:
        print(f"| {what} | {told} | {target} | {'met' if met else '**missed**'} |")


def rerun(folder: Path, count: int) -> tuple[str, str, str, bool]:
    """Time a grid of which every job is done."""
    out = folder / "rerun"
    recipe = RECIPES / "paper.toml"
    whole = [job for job in jobs_of(load_grid_config(recipe, {"out": str(out)})) if job.kind != "report"]
    text = recipe.read_text("utf-8")
    share = max(1, round(30 * count / len(whole)))
    codes = ",".join(list(dict.fromkeys(job.labels["lang"] for job in whole))[:share])
    small = folder / "small.toml"
    small.write_text(
        text.replace('languages = "paper"', f'languages = "{codes}"').split("[[fit]]\nlanguages")[0] + EVAL
    )
    jobs = jobs_of(load_grid_config(small, {"out": str(out)}))
    for job in jobs:
        _pretend(job, Records(out))
    seconds, told = _grid(small, out)
    assert (told["done"], told["kept"]) == (len(jobs), len(jobs))
    return f"a rerun of {len(jobs):,} jobs that are done", f"{seconds:.1f} s", "< 5 s", seconds < 5


EVAL = '[eval]\ntasks = ["pppl", "topic", "sentiment", "ner"]\n'


def engine(folder: Path, steps: int) -> list[tuple[str, str, str, bool]]:
    """Time the same jobs on one worker and on two."""
    recipe = folder / "work.toml"
    took: dict[int, tuple[float, float, int]] = {}
    for workers in (1, 2):
        out = folder / f"workers-{workers}"
        recipe.write_text(WORK.format(cache=folder / f"cache-{workers}", steps=steps), "utf-8")
        seconds, _ = _grid(recipe, out, "--workers", str(workers))
        records = [json.loads(path.read_text("utf-8")) for path in out.glob("grid/jobs/*.json")]
        took[workers] = (seconds, sum(each["seconds"] for each in records), len(records))
    wall, work, count = took[1]
    over, gain = wall / work - 1, took[1][0] / took[2][0]
    jobs = f"{count} jobs, {work:.0f} s of work"
    return [
        (f"one worker: what is not work ({jobs})", f"{over:.1%}", "< 5 %", over < 0.05),
        (f"two workers: times as fast ({took[2][1]:.0f} s of work)", f"{gain:.2f} x", ">= 1.8 x", gain >= 1.8),
    ]


def _pretend(job: Job, records: Records) -> None:
    """Write a record and a file of a job, as if it had been done."""
    file = records.workspace / "scores" / job.id / "manifest.json"
    file.parent.mkdir(parents=True)
    file.write_text("x" * 1_000, "utf-8")
    records.write(Record(job.id, job.name, "done", files=records.described([file.parent])))


def _grid(recipe: Path, out: Path, *more: str) -> tuple[float, dict[str, int]]:
    began = time.perf_counter()
    command = [sys.executable, "-m", "lrltrain.cli", "grid", str(recipe), "--out", str(out), "--quiet", "--json", *more]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told: dict[str, int] = json.loads(done.stdout)
    return time.perf_counter() - began, told


if __name__ == "__main__":
    main()
