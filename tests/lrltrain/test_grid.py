"""Grids that are run: to the end, again, in parts, with jobs that fail, with files that are harmed, by two at once."""

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import polars as pl
import pytest
import torch
from grids import start, write_recipe
from torture_grid import hashes, torture

from lrltrain.grid.act import run_job
from lrltrain.grid.local import THREADS, process_of
from lrltrain.grid.records import Records
from lrltrain.grid.show import unfinished

pytestmark = pytest.mark.xdist_group("grid")  # which share the workspace of `whole`
SAMPLE = Path(str(files("lrldata.web").joinpath("sample.jsonl")))
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-a", str(whole), str(tmp_path / "out")], check=True)
    return tmp_path / "out"


def finished(run: Run, recipe: Path, *more: object) -> dict[str, object]:
    done = run("grid", recipe, "--quiet", "--json", "--workers", 1, *more)
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


def test_a_grid_makes_datasets_adapters_scores_and_a_report(whole: Path) -> None:
    assert len(list(whole.glob("datasets/*/conceptnet/manifest.json"))) == 2
    assert len(list(whole.glob("adapters/*/lrl-mini/*/manifest.json"))) == 4
    assert len(list(whole.glob("scores/*/lrl-mini/*/pppl-*/manifest.json"))) == 6
    assert "seq_bn_inv" in (whole / "report" / "results.csv").read_text()


@pytest.mark.usefixtures("whole")
def test_a_worker_computes_with_as_many_threads_as_the_recipe_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    with process_of(1, None, 1) as alone:
        assert alone.submit(torch.get_num_threads).result() == 1
        assert alone.submit(pl.thread_pool_size).result() == 1


def test_a_second_run_does_nothing_and_a_changed_setting_little(copy: Path, tmp_path: Path, lrltrain: Run) -> None:
    again = finished(lrltrain, write_recipe(tmp_path, copy))
    assert (again["done"], again["kept"]) == (13, 13)
    planned = json.loads(lrltrain("grid", write_recipe(tmp_path, copy), "--dry-run", "--json").stdout)
    assert (planned["total"]["jobs"], planned["done"]) == (13, 13)
    adapters = {path: path.stat().st_mtime_ns for path in copy.glob("adapters/*/*/*/manifest.json")}
    changed = finished(lrltrain, write_recipe(tmp_path, copy, resamples=300))
    assert (changed["done"], changed["kept"]) == (13, 6)
    assert adapters == {path: path.stat().st_mtime_ns for path in copy.glob("adapters/*/*/*/manifest.json")}


def test_status_is_of_the_whole_study_though_a_part_of_it_was_run(copy: Path, tmp_path: Path, lrltrain: Run) -> None:
    part = finished(lrltrain, write_recipe(tmp_path, copy), "--only", "lang=bg")
    assert part["jobs"] == 7
    told = json.loads(lrltrain("status", copy, "--cache", copy / "cache", "--json").stdout)
    assert (told["done"], told["left"], told["failed"]) == (13, 0, 0)


PARTLY = """
languages = "mt,fi"
out = "out"
cache = "cache"
[build.conceptnet]
sample = true
[[fit]]
languages = "fi"
sources = ["conceptnet"]
models = ["lrl-mini"]
methods = ["seq_bn_inv", "lora"]
[eval]
tasks = ["pppl"]
baselines = []
"""


def test_a_job_that_fails_is_listed_and_stops_only_what_needs_it(tmp_path: Path, lrltrain: Run) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(PARTLY)  # the sample has no Finnish
    failed = lrltrain("grid", recipe, "--workers", 1)
    assert failed.returncode == 1
    assert "error: 2 of 7 jobs failed: build fi conceptnet, report." in failed.stderr
    assert failed.stderr.count("build fi conceptnet: failed") == 2, "it was tried again"
    assert "1 of 7 jobs done" in failed.stdout
    assert "4 wait for failed jobs" in failed.stdout
    assert "holds no edge of Finnish" in failed.stdout
    status = json.loads(lrltrain("status", tmp_path / "out", "--json").stdout)
    assert (status["done"], status["failed"], status["left"], status["running"]) == (1, 2, 4, 0)
    assert (status["waiting"], status["seconds_left"]) == (4, 0)
    assert unfinished(tmp_path / "out") == "5 of 6 jobs of the study in this workspace are not done, 1 of them failed"
    listed = status["failures"][0]
    log = Path(listed["log"]).read_text()
    assert "Traceback" in log
    assert log.count("-- build fi conceptnet") == 2
    assert "Traceback" not in failed.stderr
    recipe.write_text(PARTLY.split("[[fit]]", maxsplit=1)[0].replace("mt,fi", "mt"))
    assert finished(lrltrain, recipe)["kept"] == 1
    assert unfinished(tmp_path / "out") == unfinished(tmp_path) == ""


@pytest.mark.parametrize(
    ("harmed", "same_time"),
    [("datasets/bg/conceptnet/data/train-*", False), ("adapters/mt/*/*lora/*.safetensors", True)],
)
def test_one_flipped_byte_is_found_and_made_again(
    harmed: str, same_time: bool, copy: Path, whole: Path, tmp_path: Path, lrltrain: Run
) -> None:
    file = next(iter(sorted(copy.glob(harmed))))
    before, content = file.stat(), bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    if same_time:  # as a disk does it, and not a program: it wants --verify
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    result = finished(lrltrain, write_recipe(tmp_path, copy), *(["--verify"] if same_time else []))
    assert result["done"] == 13
    assert hashes(copy) == hashes(whole)


def test_a_plan_needs_no_library_for_training(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, tmp_path / "out")
    start = "import sys; sys.modules['torch'] = None; from lrltrain.cli import main; main()"
    for more, code in (("--dry-run", 0), ("--quiet", 2)):
        command = [sys.executable, "-c", start, "grid", str(recipe), more]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == code, done.stderr
    assert done.stderr == "error: training needs torch. In a checkout of lrl, use `pip install '.[train]'`.\n"
    assert not (tmp_path / "out").exists()


def test_a_score_of_an_adapter_that_another_study_has_replaced_is_not_done(copy: Path, tmp_path: Path) -> None:
    records = Records(copy)
    job = next(job for job in records.read_plan()[0] if job.kind == "eval" and job.labels["method"] == "lora")
    (copy / records.name(job.id)).unlink()
    weights = next(copy.glob(f"adapters/{job.labels['lang']}/*/*lora/adapter.safetensors"))
    before = weights.read_bytes()
    weights.write_bytes(before + b" ")
    record = run_job(job.as_json(), str(copy), str(tmp_path / "cache"))
    assert (record.status, record.final) == ("failed", False)
    assert "fit" in record.error
    assert "adapter.safetensors is missing, or has changed since it was made" in record.error


def test_folders_of_a_workspace_may_be_links_to_a_larger_disk(copy: Path, tmp_path: Path, lrltrain: Run) -> None:
    for name in ("datasets", "adapters", "scores", "report"):
        (copy / name).rename(tmp_path / f"large-{name}")
        (copy / name).symlink_to(tmp_path / f"large-{name}")
    result = finished(lrltrain, write_recipe(tmp_path, copy))
    assert (result["done"], result["kept"]) == (13, 13)
    shutil.rmtree(next((tmp_path / "large-adapters/mt/lrl-mini").iterdir()))
    assert finished(lrltrain, write_recipe(tmp_path, copy))["done"] == 13
    assert len(list(copy.glob("adapters/*/lrl-mini/*/manifest.json"))) == 4


def test_a_job_that_stumbles_over_a_harmed_input_has_it_made_again(
    copy: Path, whole: Path, tmp_path: Path, lrltrain: Run
) -> None:
    file = next(copy.glob("datasets/bg/conceptnet/data/train-*"))
    before, content = file.stat(), bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    for adapter in copy.glob("adapters/bg/*/*"):
        subprocess.run(["rm", "-r", str(adapter)], check=True)
    finished(lrltrain, write_recipe(tmp_path, copy))
    assert hashes(copy) == hashes(whole)


def test_two_grids_in_one_workspace_share_the_work(whole: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, tmp_path / "out")
    both = [start("grid", recipe, "--workers", 1, cwd=tmp_path) for _ in range(2)]
    told = [each.communicate(timeout=300) for each in both]
    assert [each.returncode for each in both] == [0, 0], told
    assert hashes(tmp_path / "out") == hashes(whole)
    for log in (tmp_path / "out" / "grid" / "logs").iterdir():
        said = re.findall(r"^-- (\S+)", log.read_text(), re.MULTILINE)
        assert len(said) == 1 or said[0] == "report", "no job was done twice"


def test_kills_at_random_end_in_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    """So many kills of the driver or of one of its processes; tools/torture_grid.py does more of them."""
    assert torture(write_recipe(tmp_path, tmp_path / "out"), tmp_path / "out", kills=4, seed=1, longest=6.0) >= 4
    assert hashes(tmp_path / "out") == hashes(whole)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_is_an_error_and_the_grid_goes_on_when_there_is_room(
    whole: Path, tmp_path: Path, lrltrain: Run
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]
    if subprocess.run(mounted, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let a disk be mounted")
    try:
        recipe = write_recipe(tmp_path, disk / "out")
        recipe.write_text(recipe.read_text().replace(f'"{disk}/out/cache"', f'"{tmp_path}/cache"'))
        failed = lrltrain("grid", recipe, "--workers", 1)
        assert failed.returncode == 1
        assert "no space left" in (failed.stdout + failed.stderr).lower()
        assert "Traceback" not in failed.stderr
        subprocess.run(["mount", "-o", "remount,size=300m", disk], check=True)
        assert finished(lrltrain, recipe)["done"] == 13
        assert hashes(disk / "out") == hashes(whole)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_workspace_that_cannot_be_written_is_an_error(tmp_path: Path, lrltrain: Run) -> None:
    (tmp_path / "file").write_text("")
    refused = lrltrain("grid", write_recipe(tmp_path, tmp_path / "file" / "out"), "--workers", 1)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")
    assert "file" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_workspace_without_permission_is_an_error_and_goes_on_when_there_is_some(
    whole: Path, copy: Path, tmp_path: Path, lrltrain: Run
) -> None:
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may do everything, and there is no setpriv")
    mortal = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    recipe = write_recipe(tmp_path, copy)
    shutil.rmtree(copy / "scores" / "bg")
    (copy / "scores").chmod(0o555)
    command = [sys.executable, "-m", "lrltrain.cli", "grid", str(recipe), "--workers", "1"]
    refused = subprocess.run([*mortal, *command], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert refused.returncode == 1, refused.stdout
    assert f"{copy}/scores/bg: permission denied" in refused.stderr
    assert "Traceback" not in refused.stderr
    (copy / "scores").chmod(0o755)
    assert finished(lrltrain, recipe)["done"] == 13
    assert hashes(copy) == hashes(whole)


def test_an_interrupted_grid_says_how_to_go_on(tmp_path: Path, lrltrain: Run) -> None:
    recipe = write_recipe(tmp_path, tmp_path / "out", steps=400)
    running = start("grid", recipe, "--workers", 1, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("out/grid/locks/*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    status = json.loads(lrltrain("status", tmp_path / "out", "--json").stdout)
    assert status["done"] + status["running"] + status["left"] == 13
    os.killpg(running.pid, signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "run the same command again to resume" in errors


def test_status_without_a_grid_says_so(tmp_path: Path, lrltrain: Run) -> None:
    told = lrltrain("status", tmp_path)
    assert (told.returncode, "no grid has run here" in told.stderr) == (1, True)


def test_web_text_is_cleaned_a_file_a_job_and_merged_to_the_same_bytes(tmp_path: Path, lrltrain: Run) -> None:
    documents = [json.loads(line) for line in SAMPLE.read_text("utf-8").splitlines()]
    for number in range(3):
        part = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in documents[number::3])
        (tmp_path / "web").mkdir(exist_ok=True)
        packed = gzip.compress(part.encode(), mtime=0)  # small plain files would share a job
        (tmp_path / "web" / f"{number}.jsonl.gz").write_bytes(packed)
    recipe = tmp_path / "recipe.toml"
    text = 'languages = "ro"\nout = "{out}"\ncache = "{out}/cache"\n[build.web]\ninput = "web"\nshard-jobs = {shards}\n'
    recipe.write_text(text.format(out="whole", shards="false"))
    assert finished(lrltrain, recipe)["jobs"] == 1
    recipe.write_text(text.format(out="parts", shards="true"))
    result = finished(lrltrain, recipe)
    assert (result["jobs"], result["done"]) == (4, 4)
    assert hashes(tmp_path / "parts") == hashes(tmp_path / "whole")
    logs = {log.read_text().split()[1] for log in (tmp_path / "parts" / "grid" / "logs").iterdir()}
    assert logs == {"shard", "build"}
    assert finished(lrltrain, recipe)["kept"] == 4
    (tmp_path / "web" / "1.jsonl.gz").write_bytes(gzip.compress(json.dumps(documents[0], ensure_ascii=False).encode()))
    assert finished(lrltrain, recipe)["kept"] == 0, "the folder is an input of each"
