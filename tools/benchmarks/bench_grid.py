"""Speed of the grid: a rerun without work, the engine's overhead, and the speedup of two workers.

    python tools/benchmarks/bench_grid.py [--jobs 1000] [--steps 100]

Rerun: the paper's study, cut to --jobs jobs, is run again after records and output files (of one kilobyte) were
written for all jobs. Engine: adapters for three languages and two methods with lrl-mini are trained by one worker and
by two, in new workspaces. Work is the sum of the jobs' own seconds; the overhead includes the start of the driver.
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
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--steps", type=int, default=100)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [rerun(Path(folder), args.jobs), *engine(Path(folder), args.steps)]
    print("| | measured | target | |\n| --- | ---: | ---: | --- |")
    for label, measured, target, met in rows:
        print(f"| {label} | {measured} | {target} | {'met' if met else '**missed**'} |")


def rerun(folder: Path, count: int) -> tuple[str, str, str, bool]:
    """Time a grid with only finished jobs."""
    out = folder / "rerun"
    study = RECIPES / "paper.toml"
    all_jobs = [job for job in jobs_of(load_grid_config(study, {"out": str(out)})) if job.kind != "report"]
    text = study.read_text("utf-8")
    share = max(1, round(30 * count / len(all_jobs)))
    codes = ",".join(list(dict.fromkeys(job.labels["lang"] for job in all_jobs))[:share])
    small_study = folder / "small.toml"
    small_study.write_text(
        text.replace('languages = "paper"', f'languages = "{codes}"').split("[[fit]]\nlanguages")[0] + EVAL
    )
    jobs = jobs_of(load_grid_config(small_study, {"out": str(out)}))
    for job in jobs:
        _write_finished(job, Records(out))
    seconds, summary = _grid(small_study, out)
    assert (summary["done"], summary["kept"]) == (len(jobs), len(jobs))
    return f"rerun of {len(jobs):,} finished jobs", f"{seconds:.1f} s", "< 5 s", seconds < 5


EVAL = '[eval]\ntasks = ["pppl", "topic", "sentiment", "ner"]\n'


def engine(folder: Path, steps: int) -> list[tuple[str, str, str, bool]]:
    """Time the same jobs with one worker and with two."""
    study = folder / "work.toml"
    measurements: dict[int, tuple[float, float, int]] = {}
    for workers in (1, 2):
        out = folder / f"workers-{workers}"
        study.write_text(WORK.format(cache=folder / f"cache-{workers}", steps=steps), "utf-8")
        seconds, _ = _grid(study, out, "--workers", str(workers))
        records = [json.loads(path.read_text("utf-8")) for path in out.glob("grid/jobs/*.json")]
        measurements[workers] = (seconds, sum(record["seconds"] for record in records), len(records))
    wall, work, count = measurements[1]
    overhead, speedup = wall / work - 1, measurements[1][0] / measurements[2][0]
    jobs = f"{count} jobs, {work:.0f} s of work"
    return [
        (f"one worker: overhead ({jobs})", f"{overhead:.1%}", "< 5 %", overhead < 0.05),
        (f"two workers: speedup ({measurements[2][1]:.0f} s of work)", f"{speedup:.2f} x", ">= 1.8 x", speedup >= 1.8),
    ]


def _write_finished(job: Job, records: Records) -> None:
    """Write a record and an output file of a job as if it had run."""
    file = records.workspace / "scores" / job.id / "manifest.json"
    file.parent.mkdir(parents=True)
    file.write_text("x" * 1_000, "utf-8")
    records.write(Record(job.id, job.name, "done", files=records.described([file.parent])))


def _grid(study: Path, out: Path, *options: str) -> tuple[float, dict[str, int]]:
    began = time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "lrltrain.cli",
        "grid",
        str(study),
        "--out",
        str(out),
        "--quiet",
        "--json",
        *options,
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    summary: dict[str, int] = json.loads(result.stdout)
    return time.perf_counter() - began, summary


if __name__ == "__main__":
    main()
