"""Python sessions: interrupted cells, files that are edited between calls, threads, and forked processes."""

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
from lrldata.locks import Lock
from lrldata.manifest import sha256_of, write_text
from lrldata.paths import walk
from lrldata.web import stages


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    lines = [json.dumps({"text": document}) for document in prose(40)]
    (tmp_path / "in" / "a.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return tmp_path / "in"


@pytest.mark.parametrize("spared", ["done", "00000.json"])
def test_a_build_interrupted_while_cleaning_up_does_not_spoil_later_ones(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spared: str
) -> None:
    def cut_short(scratch: Path) -> None:
        """Remove all files but one, as if interrupted in a folder that lists that one last."""
        for path in sorted(walk(scratch)):
            if not path.name.endswith(spared):
                path.unlink()
        raise KeyboardInterrupt

    options: dict[str, Any] = {"cache": tmp_path / "cache"}
    with monkeypatch.context() as patched:
        patched.setattr(folder, "remove_tree", lambda scratch: cut_short(scratch) if scratch.is_dir() else None)
        with pytest.raises(KeyboardInterrupt):
            build(text, tmp_path / "one", **options)
    again = build(text, tmp_path / "two", **options)
    assert content(again.path) == content(build(text, tmp_path / "three", cache=tmp_path / "other").path)
    assert not [path for path in (tmp_path / "cache" / "glotcc").iterdir() if path.name != folder.LOCKS]


def test_an_unchanged_build_removes_what_killed_builds_have_left(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch, options = tmp_path / "cache" / "glotcc", {"cache": tmp_path / "cache"}
    with monkeypatch.context() as patched:
        patched.setattr("lrldata.web.build.discard", lambda _: None)  # as if killed before
        built = build(text, tmp_path / "ws", **options)
    (work,) = (path for path in scratch.iterdir() if path.name != folder.LOCKS)
    left = [built.path.with_name(f".{built.path.name}.{ending}") for ending in ("old", "partial")]
    left += [work.with_name(f".{work.name}.partial")]
    for path in left:
        path.mkdir()
        (path / "rows").write_text("of before")
    with Lock(work.parent / folder.LOCKS / f"{work.name}.lock"):
        assert build(text, tmp_path / "ws", **options).status == "unchanged"
        assert (work.is_dir(), [path.is_dir() for path in left]) == (True, [False, False, True]), "it is in use"
    assert build(text, tmp_path / "ws", **options).status == "unchanged"
    assert not any(path.exists() for path in left)
    assert work.is_dir(), "a build into another folder may resume from there"


def test_a_bundle_without_all_its_parts_is_not_complete(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrldata.web.build.discard", lambda _: None)
    whole = build(text, tmp_path / "one", cache=tmp_path / "cache")
    for part in (tmp_path / "cache" / "glotcc").glob("*/*/*-00000.json"):
        part.unlink()
    again = build(text, tmp_path / "two", cache=tmp_path / "cache")
    assert again.rows == whole.rows


def test_an_edited_file_of_protected_text_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = stages.Task("ro", "none", tmp_path, (Path("test.txt"),), benchmarks=False, unit="documents")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "test.txt").write_text("Alt text, cu alte cuvinte.\nȘi încă unul.\nȘi al treilea.\n", "utf-8")

    def protected() -> tuple[int, str]:
        protected_text = stages.context_of(task).protected
        assert protected_text
        return len(protected_text.hashes), protected_text.named[0]["sha256"]

    monkeypatch.chdir(tmp_path)
    Path("test.txt").write_text("Un rând de text protejat.\n", "utf-8")
    assert protected() == (1, sha256_of(Path("test.txt")))
    Path("test.txt").write_text("Un rând de text protejat.\nȘi al doilea rând al lui.\n", "utf-8")
    assert protected() == (2, sha256_of(Path("test.txt")))
    assert stages.context_of(task) is stages.context_of(task)
    monkeypatch.chdir(tmp_path / "b")
    assert protected() == (3, sha256_of(Path("test.txt")))


def test_objects_of_the_session_are_still_collected_after_a_call() -> None:
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
        assert not gc.isenabled(), "it stays disabled"
    finally:
        gc.unfreeze()
        gc.enable()


def _try_to_build(_: int) -> str:
    try:
        lrldata.build("ro", source="conceptnet", sample=True, quiet=True)
    except UsageError as error:
        return str(error)
    return "built"


def test_forks_are_watched_as_soon_as_the_package_is_imported() -> None:
    code = "import lrldata, sys; print('lrldata.forks' in sys.modules, 'polars' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "False"]


def test_a_build_in_a_forked_worker_raises_instead_of_hanging(tmp_path: Path) -> None:
    lrldata.build("ro", source="conceptnet", sample=True, out=tmp_path, cache=tmp_path, quiet=True)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        (message,) = pool.map_async(_try_to_build, [0]).get(timeout=60)
    assert "forked" in message
    assert "spawn" in message


def test_environment_variables_that_threads_set_concurrently_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LRL_ONE", raising=False)
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> str | None:
        with engine.environment_variables({"LRL_ONE": "a"}):
            first_in.set()
            second_in.wait(9)
        first_out.set()
        return os.environ.get("LRL_ONE")

    def second() -> str | None:
        first_in.wait(9)
        with engine.environment_variables({"LRL_ONE": "b"}):
            second_in.set()
            first_out.wait(9)
            return os.environ.get("LRL_ONE")

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(function) for function in (first, second)]
        assert [future.result() for future in futures] == ["b", "b"]
    assert "LRL_ONE" not in os.environ


def test_threads_that_write_the_same_file_do_not_mix_their_texts(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write_text(tmp_path / "a.md", f"{number}\n" * 999), range(80)))
    lines = (tmp_path / "a.md").read_text().split()
    assert len(set(lines)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.md"]


def test_waiting_for_a_lock_is_reported_in_a_notebook_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    locked = threading.Event()

    def hold() -> None:
        with folder.lock(tmp_path / "ws"):
            locked.set()
            shutil.copy(__file__, tmp_path / "a")
            threading.Event().wait(0.5)

    thread = threading.Thread(target=hold)
    thread.start()
    locked.wait(9)
    with folder.lock(tmp_path / "ws"):
        pass
    thread.join()
    (record,) = (record for record in caplog.records if "waiting for it to end" in record.message)
    assert record.levelname == "WARNING"


ASK = """
import multiprocessing, sys
import lrldata
dataset = lrldata.build("ro", sample=True, out=sys.argv[1], cache=sys.argv[2], quiet=True)
dataset.to_frame().filter(True)  # Polars starts its threads

def ask(name, messages):
    try:
        {"frame": dataset.to_frame, "explain": lambda: lrldata.explain("Read more", "ro")}[name]()
    except lrldata.LrlError as error:
        messages.put(str(error))

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    for name in ("frame", "explain"):
        messages = context.Queue()
        process = context.Process(target=ask, args=(name, messages))
        process.start()
        print(messages.get(timeout=60))
        process.join(60)
"""


def test_calls_in_a_forked_process_raise_instead_of_hanging(tmp_path: Path) -> None:
    script = tmp_path / "ask.py"
    script.write_text(ASK, "utf-8")
    command = [sys.executable, str(script), str(tmp_path / "ws"), str(tmp_path / "cache")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("was forked from one in which Polars had already been used") == 2
