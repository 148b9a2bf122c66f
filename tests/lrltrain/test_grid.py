"""Running grids: to the end, again, in parts, with failing jobs, with damaged files, and two at once."""

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
from torture_grid import hashes, workers_of

from lrltrain.grid.act import run_job
from lrltrain.grid.config import load_grid_config
from lrltrain.grid.jobs import jobs_of
from lrltrain.grid.local import THREADS, process_of
from lrltrain.grid.records import Records
from lrltrain.grid.show import unfinished

pytestmark = pytest.mark.xdist_group("grid")  # these tests share `grid_workspace`
SAMPLE = Path(str(files("lrldata.web").joinpath("sample.jsonl")))
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def copy(grid_workspace: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-a", str(grid_workspace), str(tmp_path / "out")], check=True)
    return tmp_path / "out"


def run_grid(run: Run, recipe: Path, *options: object) -> dict[str, object]:
    process = run("grid", recipe, "--quiet", "--json", "--workers", 1, *options, JOBS_HERE="1")
    assert process.returncode == 0, process.stderr
    result: dict[str, object] = json.loads(process.stdout)
    return result


def test_a_grid_writes_datasets_adapters_scores_and_a_report(grid_workspace: Path) -> None:
    assert len(list(grid_workspace.glob("datasets/*/conceptnet/manifest.json"))) == 2
    assert len(list(grid_workspace.glob("adapters/*/lrl-mini/*/manifest.json"))) == 4
    assert len(list(grid_workspace.glob("scores/*/lrl-mini/*/pppl-*/manifest.json"))) == 6
    assert "seq_bn_inv" in (grid_workspace / "report" / "results.csv").read_text()


@pytest.mark.usefixtures("grid_workspace")
def test_a_worker_uses_the_number_of_threads_of_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    with process_of(1, None, 1) as executor:
        assert executor.submit(torch.get_num_threads).result() == 1
        assert executor.submit(pl.thread_pool_size).result() == 1


def test_a_second_run_does_nothing_and_a_changed_setting_reruns_little(
    copy: Path, tmp_path: Path, lrltrain: Run
) -> None:
    repeated = run_grid(lrltrain, write_recipe(tmp_path, copy))
    assert (repeated["done"], repeated["kept"]) == (13, 13)
    plan = json.loads(lrltrain("grid", write_recipe(tmp_path, copy), "--dry-run", "--json").stdout)
    assert (plan["total"]["jobs"], plan["done"]) == (13, 13)
    adapters = {path: path.stat().st_mtime_ns for path in copy.glob("adapters/*/*/*/manifest.json")}
    changed = run_grid(lrltrain, write_recipe(tmp_path, copy, resamples=300))
    assert (changed["done"], changed["kept"]) == (13, 6)
    assert adapters == {path: path.stat().st_mtime_ns for path in copy.glob("adapters/*/*/*/manifest.json")}


def test_status_covers_the_whole_study_even_if_only_a_part_was_run(copy: Path, tmp_path: Path, lrltrain: Run) -> None:
    part = run_grid(lrltrain, write_recipe(tmp_path, copy), "--only", "lang=bg")
    assert part["jobs"] == 7
    status = json.loads(lrltrain("status", copy, "--cache", copy / "cache", "--json").stdout)
    assert (status["done"], status["left"], status["failed"]) == (13, 0, 0)


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


def test_a_job_that_fails_is_listed_and_stops_only_its_dependents(tmp_path: Path, lrltrain: Run) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(PARTLY)  # the sample has no Finnish
    failed = lrltrain("grid", recipe, "--workers", 1)
    assert failed.returncode == 1
    assert "error: 2 of 7 jobs failed: build fi conceptnet, report." in failed.stderr
    assert failed.stderr.count("build fi conceptnet: failed") == 2, "it was retried"
    assert "1 of 7 jobs done" in failed.stdout
    assert "4 wait for failed jobs" in failed.stdout
    assert "has no edges in Finnish" in failed.stdout
    status = json.loads(lrltrain("status", tmp_path / "out", "--json").stdout)
    assert (status["done"], status["failed"], status["left"], status["running"]) == (1, 2, 4, 0)
    assert (status["waiting"], status["seconds_left"]) == (4, 0)
    assert unfinished(tmp_path / "out") == "5 of 6 jobs of the study in this workspace are not done, 1 of them failed"
    failure = status["failures"][0]
    log = Path(failure["log"]).read_text()
    assert "Traceback" in log
    assert log.count("-- build fi conceptnet") == 2
    assert "Traceback" not in failed.stderr
    recipe.write_text(PARTLY.split("[[fit]]", maxsplit=1)[0].replace("mt,fi", "mt"))
    assert run_grid(lrltrain, recipe)["kept"] == 1
    assert unfinished(tmp_path / "out") == unfinished(tmp_path) == ""


@pytest.mark.parametrize(
    ("damaged", "same_time"),
    [("datasets/bg/conceptnet/data/train-*", False), ("adapters/mt/*/*lora/*.safetensors", True)],
)
def test_a_file_with_one_flipped_byte_is_found_and_rebuilt(
    damaged: str, same_time: bool, copy: Path, grid_workspace: Path, tmp_path: Path, lrltrain: Run
) -> None:
    file = next(iter(sorted(copy.glob(damaged))))
    before, content = file.stat(), bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    if same_time:  # as a failing disk changes it, unlike a program; only --verify finds it
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    result = run_grid(lrltrain, write_recipe(tmp_path, copy), *(["--verify"] if same_time else []))
    assert result["done"] == 13
    assert hashes(copy) == hashes(grid_workspace)


def test_a_dry_run_needs_no_training_libraries(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, tmp_path / "out")
    script = "import sys; sys.modules['torch'] = None; from lrltrain.cli import main; main()"
    for option, code in (("--dry-run", 0), ("--quiet", 2)):
        command = [sys.executable, "-c", script, "grid", str(recipe), option]
        result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert result.returncode == code, result.stderr
    assert result.stderr == "error: training needs torch. In a checkout of lrl, use `pip install '.[train]'`.\n"
    assert not (tmp_path / "out").exists()


def test_a_score_fails_if_another_study_has_replaced_its_adapter(copy: Path, tmp_path: Path) -> None:
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
    result = run_grid(lrltrain, write_recipe(tmp_path, copy))
    assert (result["done"], result["kept"]) == (13, 13)
    shutil.rmtree(next((tmp_path / "large-adapters/mt/lrl-mini").iterdir()))
    assert run_grid(lrltrain, write_recipe(tmp_path, copy))["done"] == 13
    assert len(list(copy.glob("adapters/*/lrl-mini/*/manifest.json"))) == 4


def test_a_job_that_finds_a_damaged_input_has_it_rebuilt(
    copy: Path, grid_workspace: Path, tmp_path: Path, lrltrain: Run
) -> None:
    file = next(copy.glob("datasets/bg/conceptnet/data/train-*"))
    before, content = file.stat(), bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    for adapter in copy.glob("adapters/bg/*/*"):
        subprocess.run(["rm", "-r", str(adapter)], check=True)
    run_grid(lrltrain, write_recipe(tmp_path, copy))
    assert hashes(copy) == hashes(grid_workspace)


def test_two_grids_in_one_workspace_share_the_work(grid_workspace: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, tmp_path / "out")
    processes = [start("grid", recipe, "--workers", 1, cwd=tmp_path) for _ in range(2)]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert hashes(tmp_path / "out") == hashes(grid_workspace)
    for log in (tmp_path / "out" / "grid" / "logs").iterdir():
        job_names = re.findall(r"^-- (\S+)", log.read_text(), re.MULTILINE)
        assert len(job_names) == 1 or job_names[0] == "report", "no job ran twice"


def test_kills_during_a_fit_and_a_score_end_in_the_same_bytes(grid_workspace: Path, tmp_path: Path) -> None:
    """A kill of the worker and one of the driver; tools/torture_grid.py makes more of them, at random times."""
    out = tmp_path / "out"
    recipe = write_recipe(tmp_path, out, languages="mt")
    score_logs = [Records(out).log(job.id) for job in jobs_of(load_grid_config(recipe, {})) if job.kind == "eval"]
    driver = start("grid", recipe, "--workers", 1, cwd=tmp_path)
    for moment, victims in (
        (lambda: any(out.glob("adapters/mt/lrl-mini/.*.run")), workers_of),
        (lambda: any(log.exists() for log in score_logs), lambda driver: [driver]),
    ):
        while not moment():
            assert driver.poll() is None, driver.communicate()
            time.sleep(0.005)
        (victim,) = victims(driver.pid)
        os.kill(victim, signal.SIGKILL)
    driver.communicate()
    assert driver.returncode == -signal.SIGKILL
    assert not list(out.glob("report/*"))
    again = start("grid", recipe, "--workers", 1, cwd=tmp_path)
    _, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    expected = {name: digest for name, digest in hashes(grid_workspace).items() if "/mt/" in name}
    assert hashes(out) == expected != {}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_is_an_error_and_the_grid_resumes_when_there_is_space(
    grid_workspace: Path, tmp_path: Path, lrltrain: Run
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not allow mounting a disk")
    try:
        recipe = write_recipe(tmp_path, disk / "out")
        recipe.write_text(recipe.read_text().replace(f'"{disk}/out/cache"', f'"{tmp_path}/cache"'))
        failed = lrltrain("grid", recipe, "--workers", 1)
        assert failed.returncode == 1
        assert "no space left" in (failed.stdout + failed.stderr).lower()
        assert "Traceback" not in failed.stderr
        subprocess.run(["mount", "-o", "remount,size=300m", disk], check=True)
        assert run_grid(lrltrain, recipe)["done"] == 13
        assert hashes(disk / "out") == hashes(grid_workspace)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_workspace_that_cannot_be_written_is_an_error(tmp_path: Path, lrltrain: Run) -> None:
    (tmp_path / "file").write_text("")
    result = lrltrain("grid", write_recipe(tmp_path, tmp_path / "file" / "out"), "--workers", 1)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert "file" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_workspace_without_write_permission_is_an_error_until_it_is_granted(
    grid_workspace: Path, copy: Path, tmp_path: Path, lrltrain: Run
) -> None:
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root has every permission, and setpriv is not installed")
    unprivileged = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    recipe = write_recipe(tmp_path, copy)
    shutil.rmtree(copy / "scores" / "bg")
    (copy / "scores").chmod(0o555)
    command = [sys.executable, "-m", "lrltrain.cli", "grid", str(recipe), "--workers", "1"]
    result = subprocess.run([*unprivileged, *command], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 1, result.stdout
    assert f"{copy}/scores/bg: permission denied" in result.stderr
    assert "Traceback" not in result.stderr
    (copy / "scores").chmod(0o755)
    assert run_grid(lrltrain, recipe)["done"] == 13
    assert hashes(copy) == hashes(grid_workspace)


def test_an_interrupted_grid_says_how_to_resume(tmp_path: Path, lrltrain: Run) -> None:
    recipe = write_recipe(tmp_path, tmp_path / "out", steps=400)
    process = start("grid", recipe, "--workers", 1, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("out/grid/locks/*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    status = json.loads(lrltrain("status", tmp_path / "out", "--json").stdout)
    assert status["done"] + status["running"] + status["left"] == 13
    process.send_signal(signal.SIGINT)  # to the driver only: it ends its workers
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "run the same command again to resume" in errors


def test_status_without_a_grid_says_so(tmp_path: Path, lrltrain: Run) -> None:
    result = lrltrain("status", tmp_path)
    assert (result.returncode, "no grid has run here" in result.stderr) == (1, True)


def test_web_text_is_cleaned_one_file_per_job_and_merged_to_the_same_bytes(tmp_path: Path, lrltrain: Run) -> None:
    documents = [json.loads(line) for line in SAMPLE.read_text("utf-8").splitlines()]
    for number in range(3):
        part = "".join(json.dumps(document, ensure_ascii=False) + "\n" for document in documents[number::3])
        (tmp_path / "web").mkdir(exist_ok=True)
        packed = gzip.compress(part.encode(), mtime=0)  # small plain files would share a job
        (tmp_path / "web" / f"{number}.jsonl.gz").write_bytes(packed)
    recipe = tmp_path / "recipe.toml"
    text = 'languages = "ro"\nout = "{out}"\ncache = "{out}/cache"\n[build.web]\ninput = "web"\nshard-jobs = {shards}\n'
    recipe.write_text(text.format(out="whole", shards="false"))
    assert run_grid(lrltrain, recipe)["jobs"] == 1
    recipe.write_text(text.format(out="parts", shards="true"))
    result = run_grid(lrltrain, recipe)
    assert (result["jobs"], result["done"]) == (4, 4)
    assert hashes(tmp_path / "parts") == hashes(tmp_path / "whole")
    logs = {log.read_text().split()[1] for log in (tmp_path / "parts" / "grid" / "logs").iterdir()}
    assert logs == {"shard", "build"}
    assert run_grid(lrltrain, recipe)["kept"] == 4
    (tmp_path / "web" / "1.jsonl.gz").write_bytes(gzip.compress(json.dumps(documents[0], ensure_ascii=False).encode()))
    assert run_grid(lrltrain, recipe)["kept"] == 0, "the folder is an input of every job"
