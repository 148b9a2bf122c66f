"""Grids whose workspace is on an S3-compatible server: every job may run on a different machine."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
from grids import write_recipe
from s3 import make_bucket
from torture_grid import hashes

from lrldata.remote import mirror_of
from lrltrain.grid.act import run_job
from lrltrain.grid.config import load_grid_config
from lrltrain.grid.job import Job
from lrltrain.grid.jobs import jobs_of
from lrltrain.grid.select import select

pytestmark = [
    pytest.mark.xdist_group("grid"),
    pytest.mark.usefixtures("s3"),
]  # they share one server and `grid_workspace`
SAMPLE = Path(str(files("lrldata.web").joinpath("sample.jsonl")))
Run = Callable[..., subprocess.CompletedProcess[str]]


def fetch_workspace(url: str, folder: Path) -> Path:
    """Return a local copy of the entire workspace."""
    mirror = mirror_of(url, folder)
    mirror.fetch([""])
    return mirror.folder


def run_on_new_machine(job: Job, url: str, machine: Path) -> dict[str, int]:
    """Run a job on a machine that has no files yet; return the files it has afterwards, with their sizes."""
    record = run_job(job.as_json(), url, str(machine))
    assert record.status == "done", record.error
    (mirror,) = machine.glob("workspaces/*")
    return {path.relative_to(mirror).as_posix(): path.stat().st_size for path in mirror.rglob("*") if path.is_file()}


def test_jobs_on_separate_machines_end_in_the_same_bytes_and_fetch_only_what_they_read(
    grid_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    url = make_bucket("machines")
    for number, job in enumerate(jobs_of(load_grid_config(write_recipe(tmp_path, tmp_path / "unused"), {}))):
        local_files = run_on_new_machine(job, url, tmp_path / str(number))
        if language := job.labels.get("lang"):
            others = {name for name in local_files if f"/{'mt' if language == 'bg' else 'bg'}/" in name}
            assert not others, job.name
        if job.kind == "report":
            assert not [name for name in local_files if name.endswith(".bin")], "a report reads no weights"
    assert hashes(fetch_workspace(url, tmp_path / "copy")) == hashes(grid_workspace)


def test_a_machine_does_not_repeat_the_jobs_of_another(
    tmp_path: Path, lrltrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    recipe, url = write_recipe(tmp_path, tmp_path / "unused"), make_bucket("goes-on")
    options = ("--out", url, "--quiet", "--json", "--workers", 1)
    for job in select(jobs_of(load_grid_config(recipe, {})), ["lang=bg,method=lora"]):
        run_on_new_machine(job, url, tmp_path / "one")
    dry_run = lrltrain("grid", recipe, "--out", url, "--dry-run", "--json", "--cache", tmp_path / "three")
    assert json.loads(dry_run.stdout)["done"] == 3
    store = mirror_of(url, tmp_path / "four")
    (adapter,) = (name for name in store.listing("adapters") if name.endswith(".bin"))
    store.store.pipe_file(f"{store.root}/{adapter}", b"harmed")
    second = lrltrain("grid", recipe, *options, "--only", "lang=bg", "--cache", tmp_path / "two")
    assert second.returncode == 0, second.stderr
    counts = json.loads(second.stdout)
    assert (counts["done"], counts["kept"]) == (7, 2), (
        "all earlier jobs but the damaged adapter and the report are kept"
    )
    status = json.loads(lrltrain("status", url, "--json", "--cache", tmp_path / "five").stdout)
    assert (status["done"], status["left"], status["failed"]) == (6, 7, 0), (
        "the other language of the study and the report are left"
    )
    reported = lrltrain("report", url, "--json")
    assert json.loads(reported.stdout)["scores"] == 3


def test_files_of_web_text_are_cleaned_on_separate_machines(tmp_path: Path) -> None:
    documents, url = SAMPLE.read_text("utf-8").splitlines(keepends=True), make_bucket("shards")
    (tmp_path / "web").mkdir()
    for number in range(3):
        packed = gzip.compress("".join(documents[number::3]).encode(), mtime=0)  # small plain files would share a job
        (tmp_path / "web" / f"{number}.jsonl.gz").write_bytes(packed)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'languages = "ro"\nout = "{url}"\ncache = "{tmp_path}/cache"\n'
        f'[build.web]\ninput = "{tmp_path}/web"\nshard-jobs = true\n'
    )
    *shards, build = jobs_of(load_grid_config(recipe, {}))
    assert [job.kind for job in shards] == ["shard"] * 3
    for number, job in enumerate(shards):
        local_files = run_on_new_machine(job, url, tmp_path / str(number))
        parts = {name.split("/")[2] for name in local_files if name.startswith("parts/") and not name.endswith(".lock")}
        assert parts == {f"{number:05d}"}, "a machine has only the file that it cleaned"
    run_on_new_machine(build, url, tmp_path / "merge")
    log = (next((tmp_path / "merge").glob("workspaces/*/grid/logs/*.log"))).read_text()
    assert "build ro web" in log
    workspace = fetch_workspace(url, tmp_path / "copy")
    assert not list(workspace.glob("parts/*/*")), "intermediate files are removed"
    command = [sys.executable, "-m", "lrldata.cli", "build", "--lang", "ro", "--source", "web", "--input"]
    subprocess.run([*command, str(tmp_path / "web"), "--out", str(tmp_path / "plain")], check=True, capture_output=True)
    assert hashes(workspace) == hashes(tmp_path / "plain")


def test_ray_works_with_a_remote_workspace(tmp_path: Path, lrltrain: Run) -> None:
    pytest.importorskip("ray")
    url = make_bucket(f"ray-{os.getpid()}")
    recipe = write_recipe(tmp_path, tmp_path / "unused")
    options = ("--engine", "ray", "--out", url, "--only", "lang=mt,method=lora", "--quiet", "--json")
    result = lrltrain("grid", recipe, *options, "--cache", tmp_path / "cache")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["done"] == 4
    assert [name for name in mirror_of(url, tmp_path / "look").listing("report") if name.endswith("report.html")]
