"""Processes and threads: workers import nothing from the current folder, and use only the available cores."""

import importlib.util
import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest

import lrldata
from lrldata import engine, threads
from lrldata.engine import WorkerPool, environment_variables
from lrldata.errors import IncompleteError, LrlError
from lrldata.threads import cores, limit_threads, memory_left, quota

SHADOWS = ("types", "random", "colorsys", "polars")  # imported by multiprocessing, by a library, by nobody, and by us
STUDY = """
import os, random, sys
from importlib.util import find_spec
from pathlib import Path
from lrldata.engine import WorkerPool
for name in sys.argv[1:]:
    Path(name + ".py").write_text(f"raise SystemExit('own {name}')")
before = dict(os.environ)
with WorkerPool(2) as pool:
    print(*(spec.origin for spec in pool.imap_unordered(find_spec, [("colorsys",), ("lrldata",)])), sep="\\n")
assert dict(os.environ) == before
print("end")
"""


@pytest.mark.parametrize("source", ["code", "script"])
def test_workers_import_nothing_from_the_current_folder_and_do_not_rerun_the_script(
    tmp_path: Path, source: str
) -> None:
    (tmp_path / "study.py").write_text(STUDY)
    start = ["-c", STUDY] if source == "code" else ["study.py"]  # both search the current folder first
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    result = subprocess.run(
        [sys.executable, *start, *SHADOWS], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    *origins, end = result.stdout.splitlines()
    assert set(origins) == {importlib.util.find_spec(name).origin for name in ("colorsys", "lrldata")}  # type: ignore[union-attr]
    assert (end, result.stderr) == ("end", "")


def test_workers_search_where_this_process_does_and_find_our_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sources, other = str(engine.SOURCES), str(tmp_path / "other")
    assert engine.module_search_path(["", "/lib", sources]) == ["/lib", sources]
    assert engine.module_search_path([str(tmp_path), other, sources]) == [other, sources]
    # A current folder that is not the first entry was added explicitly.
    assert engine.module_search_path([other, str(tmp_path), sources]) == [other, str(tmp_path), sources]
    assert engine.module_search_path(["", "/lib"]) == ["/lib", sources]
    monkeypatch.setattr(engine, "SOURCES", tmp_path)
    assert engine.module_search_path(["", "/lib"]) == ["", "/lib"]


def test_environment_variables_are_set_temporarily(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRL_ONE", "before")
    monkeypatch.delenv("LRL_TWO", raising=False)
    with environment_variables({"LRL_ONE": "1", "LRL_TWO": "2"}):
        assert (os.environ["LRL_ONE"], os.environ["LRL_TWO"]) == ("1", "2")
    assert (os.environ["LRL_ONE"], "LRL_TWO" in os.environ) == ("before", False)


def test_a_worker_has_one_polars_thread_unless_the_user_sets_another_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POLARS_MAX_THREADS", raising=False)
    with WorkerPool(2) as pool:
        assert list(pool.imap_unordered(os.getenv, [("POLARS_MAX_THREADS",)])) == ["1"]
    monkeypatch.setenv("POLARS_MAX_THREADS", "3")
    with WorkerPool(2) as pool:
        assert list(pool.imap_unordered(os.getenv, [("POLARS_MAX_THREADS",)])) == ["3"]


def test_a_kill_leaves_no_warning(tmp_path: Path) -> None:
    code = "import os, signal; from lrldata.engine import WorkerPool\n"
    code += (
        "with WorkerPool(2) as pool:\n    list(pool.imap_unordered(abs, [(1,)])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    with (tmp_path / "errors").open("w") as errors:  # a pipe would stay open in the tracker
        subprocess.run([sys.executable, "-c", code], stderr=errors, check=False)
    time.sleep(1)  # for the tracker, which outlives the process
    assert (tmp_path / "errors").read_text() == ""


GROUPS = {
    "none": ("", {}, None),
    "version 2": ("0::/a/b\n", {"a/b/cpu.max": "150000 100000\n"}, 1.5),
    "version 2, a group around it": ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "200000 100000"}, 2.0),
    "version 2, the least of all": ("0::/a/b\n", {"a/b/cpu.max": "400000 100000", "a/cpu.max": "50000 100000"}, 0.5),
    "version 2, no limit": ("0::/\n", {"cpu.max": "max 100000\n"}, None),
    "version 2, a container": ("0::/../..\n", {"cpu.max": "300000 100000\n"}, 3.0),
    "version 1": (
        "4:cpu,cpuacct:/a\n3:cpuset:/z\n",
        {"cpu,cpuacct/a/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n"},
        2.5,
    ),
    "version 1, a container": (
        "4:cpu,cpuacct:/docker/ab\n",
        {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"},
        1.0,
    ),
    "version 1, no limit": (
        "1:cpu:/\n0::/\n",
        {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
        None,
    ),
    "both": (
        "1:cpu:/\n0::/\n",
        {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000", "unified/cpu.max": "max 100000"},
        2.0,
    ),
    "odd": ("0::/a\n", {"cpu.max": "", "a/cpu.max": "100000 0\n"}, None),
}


@pytest.mark.parametrize("case", GROUPS)
def test_a_cpu_quota_is_read_from_either_version_of_control_groups(tmp_path: Path, case: str) -> None:
    cgroup, files, expected = GROUPS[case]
    for name, text in {"proc/self/cgroup": cgroup, **{f"sys/fs/cgroup/{name}": files[name] for name in files}}.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert quota(tmp_path) == expected


MEMORY = {
    "version 2": (
        "0::/a/job\n",
        {"a/memory.max": "1000\n", "a/memory.current": "700\n", "a/memory.stat": "anon 1\ninactive_file 100\n"}
        | {"a/job/memory.max": "max\n", "a/job/memory.current": "500\n"},
        400,
    ),
    "version 1, a job": (
        "4:memory:/slurm/uid_1/job_2\n3:cpuset:/z\n",
        {
            "memory/slurm/uid_1/job_2/memory.limit_in_bytes": "900",
            "memory/slurm/uid_1/job_2/memory.usage_in_bytes": "1000",
        },
        0,
    ),
    "no limit": ("0::/a\n", {"a/memory.max": "max\n", "a/memory.current": "5\n"}, None),
    "none": ("", {}, None),
}


@pytest.mark.parametrize("case", MEMORY)
def test_remaining_memory_is_read_from_either_version_of_control_groups(tmp_path: Path, case: str) -> None:
    cgroup, files, expected = MEMORY[case]
    for name, text in {"proc/self/cgroup": cgroup, **{f"sys/fs/cgroup/{name}": files[name] for name in files}}.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert memory_left(tmp_path) == expected


@pytest.mark.parametrize(("limit", "expected"), [(None, 8), (16.0, 8), (2.9, 2), (0.5, 1)])
def test_the_number_of_cores_respects_affinity_and_the_cpu_quota(
    monkeypatch: pytest.MonkeyPatch, limit: float | None, expected: int
) -> None:
    monkeypatch.setattr(threads, "_allowed", lambda: 8)
    monkeypatch.setattr(threads, "quota", lambda: limit)
    monkeypatch.setattr(os, "environ", {})
    assert cores() == expected
    limit_threads()
    assert os.environ.get("OMP_NUM_THREADS") == (None if expected == 8 else str(expected))
    assert os.environ["GOMP_SPINCOUNT"] == "1000"


@pytest.mark.parametrize("settings", [{"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}])
def test_thread_settings_of_the_user_are_kept(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> None:
    monkeypatch.setattr(threads, "quota", lambda: 0.5)
    monkeypatch.setattr(os, "environ", {**settings, "OMP_NUM_THREADS": "5"})
    limit_threads()
    assert os.environ == {**settings, "OMP_NUM_THREADS": "5"}


def test_a_command_sets_how_threads_wait_and_where_python_searches_before_it_starts() -> None:
    script = "import json, os, typer; from lrldata.cli.run import run; app = typer.Typer()\n"
    script += "@app.command()\ndef tell(): print(json.dumps(dict(os.environ)))\nrun(app, 'tell')"
    environment = {
        name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "PYTHONSAFEPATH")
    }
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    variables = json.loads(result.stdout)
    assert (variables["GOMP_SPINCOUNT"], variables["PYTHONSAFEPATH"]) == ("1000", "1")


def test_an_error_reaches_the_caller_from_another_process(tmp_path: Path) -> None:
    for kind in (LrlError, *every_kind(LrlError)):
        error = pickle.loads(pickle.dumps(kind("x", "y")))  # noqa: S301 -- our own
        assert (type(error), error.message, error.hint) == (kind, "x", "y")
    job = partial(lrldata.build, sample=True, out=tmp_path, cache=tmp_path / "cache", quiet=True)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # Uyghur is not in the sample
        with pytest.raises(IncompleteError, match="has no edges in Uyghur") as raised:
            pool.submit(job, "ug").result(timeout=60)
        assert raised.value.built == []


def every_kind(kind: type[LrlError]) -> Iterator[type[LrlError]]:
    for derived in kind.__subclasses__():
        yield derived
        yield from every_kind(derived)
