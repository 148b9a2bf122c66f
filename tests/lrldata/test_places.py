"""Where it runs: file systems without locks or modes, limits of a process, folders that others write into too."""

import errno
import fcntl
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from warm import FIXED

import lrldata
from lrldata import locks
from lrldata.cli.run import _describe, _is_foreseen
from lrldata.errors import StorageError
from lrldata.folder import is_exchanged, lock, prevent_exchange, replaced
from lrldata.locks import Lock, wait_for_lock

Run = Callable[..., subprocess.CompletedProcess[str]]
TEXT = """Satul nostru este așezat pe malul râului și are o biserică veche de lemn.
Oamenii de aici lucrează la câmp de dimineața până seara, când se întorc acasă.
Primăvara apele cresc și trec uneori peste podul cel mic de lângă moară.
"""


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_worked_on_without(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(_descriptor: int, _how: int) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / ".locks").mkdir()
    (tmp_path / ".locks" / "made.lock").touch()  # as a process with locks has left it
    monkeypatch.setattr(fcntl, "flock", refused)
    monkeypatch.setattr(locks, "_told", set())
    folder = tmp_path / "made"
    with lock(folder), replaced(folder, lambda _: True, "a thing") as partial:
        (partial / "it").touch()
    with prevent_exchange([folder]), wait_for_lock(tmp_path / "a.lock", "somebody"):
        assert not is_exchanged(folder)
    assert (folder / "it").is_file()
    told = capsys.readouterr().err
    assert told.count("has no locks. Run only one process at a time") == 1
    assert "waiting" not in told


def test_a_lock_keeps_others_out_and_goes_with_its_process(tmp_path: Path) -> None:
    held = Lock(tmp_path / "lock")
    with pytest.raises(BlockingIOError):
        Lock(tmp_path / "lock")
    child = os.fork()
    if child == 0:  # which has the file open, and not the lock once that is released
        time.sleep(30)
        os._exit(0)
    held.release()
    Lock(tmp_path / "lock").release()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    code = (
        "import sys; from pathlib import Path; from lrldata.locks import Lock; Lock(Path(sys.argv[1])); print('has it')"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "lock"], capture_output=True, text=True, check=True)
    assert done.stdout == "has it\n"
    Lock(tmp_path / "lock").release()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        Lock(tmp_path / "link")


def test_a_lock_that_fails_otherwise_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_descriptor: int, _how: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(OSError, match="Input/output"):
        Lock(tmp_path / "lock")


def test_what_is_there_is_read_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, _why: str) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    (tmp_path / "made").mkdir()
    monkeypatch.setattr("lrldata.folder.waited", refused)
    with lock(tmp_path / "made", to_read=True):
        pass
    for name, to_read in (("new", True), ("made", False)):
        with pytest.raises(OSError, match="Read-only"), lock(tmp_path / name, to_read=to_read):
            pass


def test_a_lock_file_of_somebody_else_in_a_shared_folder_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, _why: str) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    (tmp_path / "made").mkdir()
    monkeypatch.setattr("lrldata.folder.waited", refused)
    with pytest.raises(OSError, match="Permission"), lock(tmp_path / "made", to_read=True):
        pass


def test_what_systems_leave_in_a_folder_is_not_somebody_s_data(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    for name in (".DS_Store", "data/.DS_Store", "data/._train.parquet", "Thumbs.db", ".nfs0000a1", "it"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "README-checkpoint.md").touch()
    with lock(folder), replaced(folder, {"it"}.__contains__, "a thing"):
        pass
    assert list(folder.iterdir()) == []
    (folder / "my.DS_Store.txt").touch()
    with lock(folder), pytest.raises(StorageError, match=r"my\.DS_Store\.txt"):  # noqa: SIM117
        with replaced(folder, {"it"}.__contains__, "a thing"):
            pass


def test_more_parts_than_a_process_may_have_files_open(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    words = "casa munte drum apă carte copil soare vânt pădure oraș sat lume viață seară zi noapte floare câmp".split()
    draw = random.Random(1)
    for number in range(115):
        lines = [f"{' '.join(draw.sample(words, 9)).capitalize()} {number}." for _ in range(4)]
        (tmp_path / "many" / f"{number}.txt").write_text("\n".join(lines), "utf-8")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    command = [sys.executable, "-m", "lrldata.cli", "build", "--lang", "ro", "--source", "web", "--input", "many"]
    done = subprocess.run(
        [*command, "--lid", "none", "--out", "out", "--cache", "cache", "--workers", "1", "--quiet"],
        cwd=tmp_path,
        env=os.environ | FIXED,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, before[1])),
    )
    assert done.returncode == 0, done.stderr


def test_a_dataset_loads_from_a_relative_folder_whose_name_is_a_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "[2024] thesis"
    home.mkdir()
    monkeypatch.chdir(home)
    lrldata.build("ro", sample=True, out="ws", cache=tmp_path / "cache")
    loaded = lrldata.open_dataset("ws/datasets/ro/conceptnet").load()
    assert loaded["train"].num_rows > 100


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_quota_is_told_as_a_full_disk_is(number: int) -> None:
    error = RuntimeError(f"I/O error: {os.strerror(number)} (os error {number})")
    assert _is_foreseen(error)
    assert "or in your quota" in _describe(error)
    assert "Make room" in _describe(error)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
    ],
)
def test_a_lack_of_memory_is_no_bug(error: Exception) -> None:
    assert _is_foreseen(error)
    assert "out of memory. Close other programs" in _describe(error)


def test_a_locale_without_letters_changes_nothing(lrldata: Run, tmp_path: Path) -> None:
    variables = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    (tmp_path / "é").mkdir()
    (tmp_path / "é" / "a ġ.txt").write_text(TEXT, "utf-8")
    web = ("--source", "web", "--input", tmp_path / "é" / "a ġ.txt", "--workers", 1)
    for name, arguments in (("conceptnet", ("--source", "conceptnet", "--sample")), ("web", web)):
        done = lrldata("build", "--lang", "română", *arguments, "--out", tmp_path / "é" / "ws", **variables)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "é/ws/datasets/ro" / name / "manifest.json").is_file()
    arguments = [sys.executable, "-I", "-m", "lrldata.cli", "--version"]  # which reads no variables of Python's
    done = subprocess.run(arguments, env=os.environ | variables, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0


def test_who_has_no_home_is_told_what_to_set() -> None:
    error = RuntimeError("could not determine the home directory for '~/.cache'")
    assert _is_foreseen(error)
    assert "Set HOME" in _describe(error)
    assert not _is_foreseen(RuntimeError("another"))
    assert "ulimit -n" in _describe(OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
    for number, told in ((errno.EMFILE, "ulimit -n"), (errno.EDQUOT, "Make room"), (errno.ENOSPC, "Make room")):
        said = _describe(OSError(number, os.strerror(number), "ws/data.parquet"))
        assert told in said
        assert "ws/data.parquet" in said or number == errno.EMFILE
