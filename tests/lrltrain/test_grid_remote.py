"""Grids whose workspace is on an S3-compatible server: every job may run on a different machine."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path

import pytest
from grids import write_recipe
from s3 import make_bucket
from torture_grid import hashes

from lrldata import build
from lrldata.errors import StorageError
from lrldata.lease import leased
from lrldata.remote import Mirror, mirror_of, opened
from lrltrain.grid.act import run_job
from lrltrain.grid.config import load_grid_config
from lrltrain.grid.job import Job
from lrltrain.grid.jobs import jobs_of
from lrltrain.grid.places import home_of
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
    second = lrltrain("grid", recipe, *options, "--only", "lang=bg", "--cache", tmp_path / "two", JOBS_HERE="1")
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
    assert "6 of 12 jobs of the study in this workspace are not done" in reported.stderr
    records = {name: json.loads(store.store.cat_file(f"{store.root}/{name}")) for name in store.listing("grid/jobs")}
    scored = [name for name, record in records.items() if record["name"].startswith("eval")]
    for name in scored:  # as if the machine had died after it sent the scores
        store.store.rm_file(f"{store.root}/{name}")
    third = lrltrain("grid", recipe, *options, "--only", "lang=bg", "--cache", tmp_path / "seven", JOBS_HERE="1")
    assert third.returncode == 0, third.stderr
    assert set(scored) <= set(mirror_of(url, tmp_path / "eight").listing("grid/jobs"))


def test_a_record_that_could_not_be_sent_is_sent_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, url = write_recipe(tmp_path, tmp_path / "unused"), make_bucket("later")
    (job, *_) = jobs_of(load_grid_config(recipe, {"out": url, "cache": tmp_path}))
    send = Mirror.send

    def fail(mirror: Mirror, below: Iterable[str], **options: bool) -> None:
        names = list(below)
        if any(name.startswith("grid/jobs") for name in names):
            raise StorageError("connection reset")
        send(mirror, names, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Mirror, "send", fail)
        assert run_job(job.as_json(), url, str(tmp_path)).error == "connection reset"
    mirror = mirror_of(url, tmp_path / "look")
    assert not mirror.listing("grid/jobs")
    assert run_job(job.as_json(), url, str(tmp_path)).status == "done"
    assert list(mirror.listing("grid/jobs")) == [f"grid/jobs/{job.id}.json"]


def test_a_job_waits_for_another_machine_that_sends_the_same_files(tmp_path: Path) -> None:
    recipe, url = write_recipe(tmp_path, tmp_path / "unused"), make_bucket("waits")
    (job, *_) = jobs_of(load_grid_config(recipe, {"out": url, "cache": tmp_path}))
    mirror = mirror_of(url, tmp_path / "other")
    with leased(mirror.store, mirror.root, home_of(job) or "", "ws"):
        waiting = run_job(job.as_json(), url, str(tmp_path))
    assert (waiting.status, "another process is writing to it" in waiting.error) == ("busy", True)
    assert run_job(job.as_json(), url, str(tmp_path)).status == "done"
    assert run_job(job.as_json(), url, str(tmp_path / "third")).status == "done"
    assert mirror.listing("grid/logs"), "a machine without the log leaves it"


def test_another_version_of_a_dataset_that_a_study_does_not_build_changes_its_jobs(tmp_path: Path) -> None:
    url, fits = make_bucket("given"), '[[fit]]\nsources = ["conceptnet"]\nmodels = ["lrl-mini"]\nmethods = ["lora"]\n'
    (tmp_path / "study.toml").write_text(f'languages = "ro"\n{fits}')
    identifiers = []
    for weight in (1.0, 2.0):
        with opened(url, ["datasets"], ["datasets"], tmp_path / "builder") as folder:
            build("ro", sample=True, min_weight=weight, out=folder, cache=tmp_path)
        (job,) = jobs_of(load_grid_config(tmp_path / "study.toml", {"out": url, "cache": tmp_path / "study"}))
        identifiers.append(job.id)
    assert identifiers[0] != identifiers[1]


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
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('languages = "bg,mt"\n[build.conceptnet]\nsample = true\n')
    options = ("--engine", "ray", "--out", url, "--quiet", "--json")
    result = lrltrain("grid", recipe, *options, "--cache", tmp_path / "cache")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["done"] == 2
    sent = set(mirror_of(url, tmp_path / "look").listing("datasets"))
    assert {f"datasets/{language}/conceptnet/manifest.json" for language in ("bg", "mt")} <= sent
