"""Grids whose workspace is on an S3-compatible server: each job may be done by another machine."""

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

pytestmark = [pytest.mark.xdist_group("grid"), pytest.mark.usefixtures("s3")]  # one server, and one `whole`
SAMPLE = Path(str(files("lrldata.web").joinpath("sample.jsonl")))
Run = Callable[..., subprocess.CompletedProcess[str]]


def fetched(url: str, folder: Path) -> Path:
    """Return a copy of all that is there."""
    mirror = mirror_of(url, folder)
    mirror.fetch([""])
    return mirror.folder


def alone(job: Job, url: str, machine: Path) -> dict[str, int]:
    """Do a job as a machine does that has nothing yet; return the files that it then has, and their sizes."""
    record = run_job(job.as_json(), url, str(machine))
    assert record.status == "done", record.error
    (mirror,) = machine.glob("workspaces/*")
    return {path.relative_to(mirror).as_posix(): path.stat().st_size for path in mirror.rglob("*") if path.is_file()}


def test_jobs_on_machines_of_their_own_end_in_the_same_bytes_and_fetch_what_they_read(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    url = make_bucket("machines")
    for number, job in enumerate(jobs_of(load_grid_config(write_recipe(tmp_path, tmp_path / "unused"), {}))):
        held = alone(job, url, tmp_path / str(number))
        if language := job.labels.get("lang"):
            others = {name for name in held if f"/{'mt' if language == 'bg' else 'bg'}/" in name}
            assert not others, job.name
        if job.kind == "report":
            assert not [name for name in held if name.endswith(".bin")], "a report reads no weights"
    assert hashes(fetched(url, tmp_path / "copy")) == hashes(whole)


def test_what_one_machine_has_done_another_does_not_do_again(
    tmp_path: Path, lrltrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    recipe, url = write_recipe(tmp_path, tmp_path / "unused"), make_bucket("goes-on")
    there = ("--out", url, "--quiet", "--json", "--workers", 1)
    for job in select(jobs_of(load_grid_config(recipe, {})), ["lang=bg,method=lora"]):
        alone(job, url, tmp_path / "one")
    planned = lrltrain("grid", recipe, "--out", url, "--dry-run", "--json", "--cache", tmp_path / "three")
    assert json.loads(planned.stdout)["done"] == 3
    store = mirror_of(url, tmp_path / "four")
    (adapter,) = (name for name in store.listing("adapters") if name.endswith(".bin"))
    store.store.pipe_file(f"{store.root}/{adapter}", b"harmed")
    second = lrltrain("grid", recipe, *there, "--only", "lang=bg", "--cache", tmp_path / "two")
    assert second.returncode == 0, second.stderr
    counts = json.loads(second.stdout)
    assert (counts["done"], counts["kept"]) == (7, 2), "all but the adapter that was harmed, and the report"
    status = json.loads(lrltrain("status", url, "--json", "--cache", tmp_path / "five").stdout)
    assert (status["done"], status["left"], status["failed"]) == (6, 7, 0), (
        "of the study: its other language, and report"
    )
    reported = lrltrain("report", url, "--json")
    assert json.loads(reported.stdout)["scores"] == 3


def test_files_of_web_text_are_cleaned_on_machines_of_their_own(tmp_path: Path) -> None:
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
        held = alone(job, url, tmp_path / str(number))
        parts = {name.split("/")[2] for name in held if name.startswith("parts/") and not name.endswith(".lock")}
        assert parts == {f"{number:05d}"}, "a machine has the file that it cleaned, and no other"
    alone(build, url, tmp_path / "merge")
    log = (next((tmp_path / "merge").glob("workspaces/*/grid/logs/*.log"))).read_text()
    assert "build ro web" in log
    there = fetched(url, tmp_path / "copy")
    assert not list(there.glob("parts/*/*")), "what was between goes"
    plain = [sys.executable, "-m", "lrldata.cli", "build", "--lang", "ro", "--source", "web", "--input"]
    subprocess.run([*plain, str(tmp_path / "web"), "--out", str(tmp_path / "plain")], check=True, capture_output=True)
    assert hashes(there) == hashes(tmp_path / "plain")


def test_ray_works_on_a_remote_workspace(tmp_path: Path, lrltrain: Run) -> None:
    pytest.importorskip("ray")
    url = make_bucket(f"ray-{os.getpid()}")
    recipe = write_recipe(tmp_path, tmp_path / "unused")
    command = ("--engine", "ray", "--out", url, "--only", "lang=mt,method=lora", "--quiet", "--json")
    done = lrltrain("grid", recipe, *command, "--cache", tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["done"] == 4
    assert [name for name in mirror_of(url, tmp_path / "look").listing("report") if name.endswith("report.html")]
