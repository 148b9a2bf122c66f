"""Closed streams, terminals that go away, and disks and memory file systems that are full or absent."""

import errno
import fcntl
import json
import os
import pty
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from warm import FIXED

import lrldata
from lrldata import engine, locks
from lrldata.conceptnet.index import _gzip_faults
from lrldata.errors import StorageError, UsageError
from lrldata.locks import Lock
from lrldata.review.verdicts import Verdict, append, read_verdicts_at
from lrldata.web.chunks import save_array

LRLDATA = f"{sys.executable} -m lrldata.cli"
BUILD = f"{LRLDATA} build --lang ro --source conceptnet --sample --out out --cache cache"
Shell = Callable[..., subprocess.CompletedProcess[str]]


def verdict_on(line: str) -> Verdict:
    facts = {"language": "ro", "source": "web", "version": "1.0.0", "decision": "right"}
    return Verdict(**facts, line=line, reviewer="ana", time="2026-01-01T10:00:00Z")  # type: ignore[arg-type]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a function that runs a line of shell."""

    def run(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = os.environ | FIXED | environment
        return subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


def test_a_command_works_with_closed_streams(shell: Shell, tmp_path: Path) -> None:
    assert shell(f"{BUILD} <&- >&- 2>&-").returncode == 0
    assert json.loads((tmp_path / "out/datasets/ro/conceptnet/manifest.json").read_text())["rows"]["train"] == 270
    stats = shell(f"{LRLDATA} stats --json out/datasets/ro/conceptnet 2>&-")
    assert json.loads(stats.stdout)["rows"]["train"] == 270
    wrong = shell(f"{LRLDATA} build --lang xx --json 2>&-")
    assert (wrong.returncode, wrong.stdout) == (2, ""), "an error is no result"


def test_a_command_goes_on_when_nobody_reads_its_messages() -> None:
    """As when its terminal is closed, or when the program at the other end of a pipe has ended."""
    gone, terminal = pty.openpty()
    os.close(gone)
    reader, writer = os.pipe()
    os.close(reader)
    code = """
from lrldata.cli.streams import open_streams
from lrldata.output import note, print_notes, tell
from lrldata.progress import Progress
open_streams()
print_notes()
tell("working")
note("still working")
Progress().log("step 1")
print("done")
"""
    for stream in (terminal, writer):
        run = subprocess.run(
            [sys.executable, "-c", code], stderr=stream, stdout=subprocess.PIPE, text=True, check=False
        )
        os.close(stream)
        assert (run.returncode, run.stdout) == (0, "done\n")


def test_a_message_is_written_at_once() -> None:
    code = """
from lrldata.cli.streams import open_streams
from lrldata.output import tell
open_streams()
tell("working")
input()
"""
    streams = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], text=True, **streams) as process:  # type: ignore[call-overload]
        assert process.stderr.readline() == "working\n"
        process.communicate("\n")


@pytest.mark.parametrize("columns", ["0", "", "40"])
def test_a_table_is_shown_whatever_width_the_environment_states(shell: Shell, columns: str) -> None:
    result = shell(f"{LRLDATA} langs --paper", COLUMNS=columns)
    assert result.returncode == 0, result.stderr
    assert "Yoruba" in result.stdout


def test_processes_of_a_machine_wait_for_each_other_even_if_the_file_system_has_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flock = tmp_path / "lock", fcntl.flock

    def refuse(descriptor: int, how: int) -> None:
        if os.path.sameopenfile(descriptor, reference.fileno()):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(locks, "_warned", set())
    with path.open("w") as reference:
        held = Lock(path)
        with pytest.raises(BlockingIOError):
            Lock(path)
        held.release()
        Lock(path).release()
        Lock(path.with_name("other")).release()


def test_verdicts_are_kept_on_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = fcntl.flock

    def refuse(descriptor: int, how: int) -> None:
        if os.fstat(descriptor).st_ino in {path.stat().st_ino for path in tmp_path.rglob("*")}:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", refuse)
    folder = tmp_path / "ro" / "web"
    folder.mkdir(parents=True)
    for line in ("a" * 32, "b" * 32):
        assert append(folder, [verdict_on(line)]) == 1
        assert append(folder, [verdict_on(line)]) == 0
    assert [verdict.line for verdict in read_verdicts_at(folder)] == ["a" * 32, "b" * 32]


def test_no_memory_file_system_for_semaphores_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(engine, "ProcessPoolExecutor", refuse)
    with pytest.raises(StorageError, match=r"Read-only file system\. Mount /dev/shm .* --workers 1"):
        engine.start_pool(2)


@pytest.mark.parametrize("length", [300, 3_000])
def test_an_array_that_does_not_fit_on_the_disk_is_an_error(tmp_path: Path, length: int) -> None:
    array = np.arange(length, dtype=np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in range(129, length + 128, length // 10):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            with pytest.raises(OSError, match="large"):
                save_array(tmp_path / "array.npy", array)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    save_array(tmp_path / "array.npy", array)
    assert (np.load(tmp_path / "array.npy") == array).all()


def test_a_full_disk_is_not_reported_as_a_damaged_dump(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"), _gzip_faults(tmp_path / "dump.csv.gz"):
        raise OSError("No space left on device (os error 28): edges.parquet")


def test_a_workspace_whose_name_is_not_utf_8_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Polars cannot read or write there."""
    home = tmp_path / os.fsdecode(b"caf\xe9")
    for name in ("out", "cache"):
        with pytest.raises(UsageError, match=f"{name}: the name of this folder is not UTF-8"):
            lrldata.build("ro", sample=True, **{"out": tmp_path / "ws", "cache": tmp_path / "cache", name: home})
    if sys.platform == "darwin":  # it has no such names
        return
    home.mkdir()
    monkeypatch.chdir(home)
    with pytest.raises(UsageError, match="the name of this folder is not UTF-8"):
        lrldata.build("ro", sample=True, cache=tmp_path / "cache")
