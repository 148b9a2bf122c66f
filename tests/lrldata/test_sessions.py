"""Python sessions: cells that are stopped, files that are edited between calls, threads, forked processes."""

import gc
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from test_small_files import build
from test_web_build import content, prose

import lrldata
from lrldata import engine, folder
from lrldata.errors import UsageError
from lrldata.imports import many_imports
from lrldata.manifest import sha256_of, write_text
from lrldata.paths import walk
from lrldata.web import stages


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    lines = [json.dumps({"text": each}) for each in prose(40)]
    (tmp_path / "in" / "a.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return tmp_path / "in"


@pytest.mark.parametrize("spared", ["done", "00000.json"])
def test_a_build_that_is_stopped_as_it_clears_up_spoils_no_later_one(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spared: str
) -> None:
    def cut_short(left: Path) -> None:
        """Remove what is in it but for one file, as where files go in the order in which the folder lists them."""
        for path in sorted(walk(left)):
            if not path.name.endswith(spared):
                path.unlink()
        raise KeyboardInterrupt

    options: dict[str, Any] = {"cache": tmp_path / "cache"}
    with monkeypatch.context() as patched:
        patched.setattr(folder, "remove_tree", lambda left: cut_short(left) if left.is_dir() else None)
        with pytest.raises(KeyboardInterrupt):
            build(text, tmp_path / "one", **options)
    again = build(text, tmp_path / "two", **options)
    assert content(again.path) == content(build(text, tmp_path / "three", cache=tmp_path / "other").path)
    assert not [path for path in (tmp_path / "cache" / "glotcc").iterdir() if path.name != folder.LOCKS]


def test_a_bundle_that_lacks_parts_is_not_done(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrldata.web.build.discard", lambda _: None)
    whole = build(text, tmp_path / "one", cache=tmp_path / "cache")
    for part in (tmp_path / "cache" / "glotcc").glob("*/*/*-00000.json"):
        part.unlink()
    again = build(text, tmp_path / "two", cache=tmp_path / "cache")
    assert again.rows == whole.rows


def test_a_file_of_protected_text_that_is_edited_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = stages.Task("ro", "none", tmp_path, (Path("test.txt"),), benchmarks=False, unit="documents")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "test.txt").write_text("Alt text, cu alte cuvinte.\nȘi încă unul.\nȘi al treilea.\n", "utf-8")

    def protected() -> tuple[int, str]:
        found = stages.context_of(task).protected
        assert found
        return len(found.hashes), found.named[0]["sha256"]

    monkeypatch.chdir(tmp_path)
    Path("test.txt").write_text("Un rând de text protejat.\n", "utf-8")
    assert protected() == (1, sha256_of(Path("test.txt")))
    Path("test.txt").write_text("Un rând de text protejat.\nȘi al doilea rând al lui.\n", "utf-8")
    assert protected() == (2, sha256_of(Path("test.txt")))
    assert stages.context_of(task) is stages.context_of(task)
    monkeypatch.chdir(tmp_path / "b")
    assert protected() == (3, sha256_of(Path("test.txt")))


def test_a_session_s_own_objects_are_collected_after_a_call() -> None:
    def call(extra: str | None) -> int:
        with many_imports(extra):
            assert not gc.isenabled()
        assert gc.isenabled()
        return gc.get_freeze_count()

    gc.unfreeze()
    try:
        assert call("train") == 0
        assert call(None) > 0
        gc.disable()
        with many_imports("train"):
            pass
        assert not gc.isenabled(), "as it was"
    finally:
        gc.unfreeze()
        gc.enable()


def _built(_: int) -> str:
    try:
        lrldata.build("ro", source="conceptnet", sample=True, quiet=True)
    except UsageError as error:
        return str(error)
    return "built"


def test_what_is_forked_is_looked_at_as_soon_as_the_package_is_imported() -> None:
    told = "import lrldata, sys; print('lrldata.forks' in sys.modules, 'polars' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_a_forked_process_says_that_it_would_hang(tmp_path: Path) -> None:
    lrldata.build("ro", source="conceptnet", sample=True, out=tmp_path, cache=tmp_path, quiet=True)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        (told,) = pool.map_async(_built, [0]).get(timeout=60)
    assert "forked" in told
    assert "spawn" in told


def test_variables_that_threads_set_at_once_are_as_before_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LRL_ONE", raising=False)
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def one() -> str | None:
        with engine.environment_variables({"LRL_ONE": "a"}):
            first_in.set()
            second_in.wait(9)
        first_out.set()
        return os.environ.get("LRL_ONE")

    def other() -> str | None:
        first_in.wait(9)
        with engine.environment_variables({"LRL_ONE": "b"}):
            second_in.set()
            first_out.wait(9)
            return os.environ.get("LRL_ONE")

    with ThreadPoolExecutor(2) as pool:
        told = [pool.submit(each) for each in (one, other)]
        assert [each.result() for each in told] == ["b", "b"]
    assert "LRL_ONE" not in os.environ


def test_threads_write_one_text_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write_text(tmp_path / "a.md", f"{number}\n" * 999), range(80)))
    lines = (tmp_path / "a.md").read_text().split()
    assert len(set(lines)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.md"]


def test_what_is_waited_for_is_said_in_a_notebook_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    begun = threading.Event()

    def hold() -> None:
        with folder.lock(tmp_path / "ws"):
            begun.set()
            shutil.copy(__file__, tmp_path / "a")
            threading.Event().wait(0.5)

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait(9)
    with folder.lock(tmp_path / "ws"):
        pass
    thread.join()
    (told,) = (each for each in caplog.records if "waiting for it to end" in each.message)
    assert told.levelname == "WARNING"


ASK = """
import multiprocessing, sys
import lrldata
dataset = lrldata.build("ro", sample=True, out=sys.argv[1], cache=sys.argv[2], quiet=True)
dataset.to_frame().filter(True)  # Polars has its threads

def ask(name, told):
    try:
        {"frame": dataset.to_frame, "explain": lambda: lrldata.explain("Read more", "ro")}[name]()
    except lrldata.LrlError as error:
        told.put(str(error))

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    for name in ("frame", "explain"):
        told = context.Queue()
        process = context.Process(target=ask, args=(name, told))
        process.start()
        print(told.get(timeout=60))
        process.join(60)
"""


def test_a_forked_process_is_told_that_it_would_hang(tmp_path: Path) -> None:
    script = tmp_path / "ask.py"
    script.write_text(ASK, "utf-8")
    command = [sys.executable, str(script), str(tmp_path / "ws"), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("was forked from one in which Polars had already been used") == 2
