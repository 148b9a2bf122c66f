"""Unusual environments: file systems without locks, process limits, and folders that others write to as well."""

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
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from warm import FIXED

import lrldata
from lrldata import locks
from lrldata.cli.run import _describe, _is_foreseen, _restart_in_utf8
from lrldata.engine import WorkerPool
from lrldata.errors import StorageError
from lrldata.folder import is_exchanged, lock, prevent_exchange, replaced
from lrldata.locks import Lock, wait_for_lock

Run = Callable[..., subprocess.CompletedProcess[str]]
TEXT = """Satul nostru este așezat pe malul râului și are o biserică veche de lemn.
Oamenii de aici lucrează la câmp de dimineața până seara, când se întorc acasă.
Primăvara apele cresc și trec uneori peste podul cel mic de lângă moară.
"""


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_work_continues_without_locks_if_the_file_system_has_none(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_descriptor: int, _how: int) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / ".locks").mkdir()
    (tmp_path / ".locks" / "made.lock").touch()  # as left behind by a process that could lock
    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(locks, "_warned", set())
    folder = tmp_path / "made"
    with lock(folder), replaced(folder, lambda _: True, "a thing") as partial:
        (partial / "it").touch()
    with prevent_exchange([folder]), wait_for_lock(tmp_path / "a.lock", "somebody"):
        assert not is_exchanged(folder)
    assert (folder / "it").is_file()
    messages = capsys.readouterr().err
    assert messages.count("has no locks. Let only the processes of one machine") == 1
    assert "waiting" not in messages


def test_a_lock_excludes_others_and_ends_with_its_process(tmp_path: Path) -> None:
    first_lock = Lock(tmp_path / "lock")
    with pytest.raises(BlockingIOError):
        Lock(tmp_path / "lock")
    child = os.fork()
    if child == 0:  # the child keeps the file open, but not the lock once that is released
        time.sleep(30)
        os._exit(0)
    first_lock.release()
    Lock(tmp_path / "lock").release()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    code = (
        "import sys; from pathlib import Path; from lrldata.locks import Lock; Lock(Path(sys.argv[1])); print('has it')"
    )
    result = subprocess.run([sys.executable, "-c", code, tmp_path / "lock"], capture_output=True, text=True, check=True)
    assert result.stdout == "has it\n"
    Lock(tmp_path / "lock").release()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        Lock(tmp_path / "link")


def test_other_lock_errors_are_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int, _how: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="Input/output"):
        Lock(tmp_path / "lock")


def test_existing_data_can_be_read_on_a_read_only_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, _why: str) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    (tmp_path / "made").mkdir()
    monkeypatch.setattr("lrldata.folder.wait_for_lock", refuse)
    with lock(tmp_path / "made", to_read=True):
        pass
    for name, to_read in (("new", True), ("made", False)):
        with pytest.raises(OSError, match="Read-only"), lock(tmp_path / name, to_read=to_read):
            pass


def test_an_inaccessible_lock_file_in_a_shared_folder_is_not_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, _why: str) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    (tmp_path / "made").mkdir()
    monkeypatch.setattr("lrldata.folder.wait_for_lock", refuse)
    with pytest.raises(OSError, match="Permission"), lock(tmp_path / "made", to_read=True):
        pass


def test_files_left_by_operating_systems_are_not_user_data(tmp_path: Path) -> None:
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


def test_a_build_can_have_more_parts_than_the_limit_of_open_files(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    words = "casa munte drum apă carte copil soare vânt pădure oraș sat lume viață seară zi noapte floare câmp".split()
    rng = random.Random(1)
    for number in range(115):
        lines = [f"{' '.join(rng.sample(words, 9)).capitalize()} {number}." for _ in range(4)]
        (tmp_path / "many" / f"{number}.txt").write_text("\n".join(lines), "utf-8")
    command = [sys.executable, "-m", "lrldata.cli", "build", "--lang", "ro", "--source", "web", "--input", "many"]
    result = subprocess.run(
        [*command, "--lid", "none", "--out", "out", "--cache", "cache", "--workers", "1", "--quiet"],
        cwd=tmp_path,
        env=os.environ | FIXED,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)),
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(("hard", "expected"), [(100, 100), (5_000, 4_096)])
def test_as_many_files_may_be_open_as_the_system_allows(hard: int, expected: int) -> None:
    script = "import resource; from lrldata.threads import allow_open_files; allow_open_files()"
    result = subprocess.run(
        [sys.executable, "-c", f"{script}; print(*resource.getrlimit(resource.RLIMIT_NOFILE))"],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)),
    )
    assert result.stdout.split() == [str(expected), str(hard)]


def test_a_dataset_loads_from_a_relative_folder_whose_name_looks_like_a_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "[2024] thesis"
    home.mkdir()
    monkeypatch.chdir(home)
    lrldata.build("ro", sample=True, out="ws", cache=tmp_path / "cache")
    loaded = lrldata.open_dataset("ws/datasets/ro/conceptnet").load()
    assert loaded["train"].num_rows > 100


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_an_exceeded_quota_is_reported_like_a_full_disk(number: int) -> None:
    error = RuntimeError(f"I/O error: {os.strerror(number)} (os error {number})")
    assert _is_foreseen(error)
    assert "or in your quota" in _describe(error)
    assert "Free some disk space" in _describe(error)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."),
        BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)),  # too many processes
    ],
)
def test_running_out_of_memory_is_not_reported_as_a_bug(error: Exception) -> None:
    assert _is_foreseen(error)
    assert "out of memory. Close other programs" in _describe(error)


WAITING = """
import tempfile, time
from lrldata.cli.run import new_app, run
app = new_app("program", "Waits.")
@app.command()
def wait():
    with tempfile.TemporaryDirectory() as folder:
        print(folder, flush=True)
        time.sleep(60)
run(app, "program")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_end_removes_temporary_files_and_says_how_to_resume(number: int) -> None:
    # They are ignored under nohup and in a background job of a shell.
    received = "signal.signal(signal.SIGHUP, signal.SIG_DFL); signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"import signal; {received}{WAITING}", "wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        folder = Path(process.stdout.readline().strip())
        assert folder.is_dir()
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
    assert (process.returncode, folder.exists()) == (128 + number, False)
    assert "run the same command again to resume" in stderr


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    command = ["nohup", sys.executable, "-c", WAITING.replace("60", "1"), "wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_an_interrupted_pool_does_not_wait_for_its_workers() -> None:
    began = time.monotonic()
    with suppress(KeyboardInterrupt), WorkerPool(2) as pool:
        pool._start("time").submit(time.sleep, 60)  # noqa: SLF001 -- what imap_unordered does first
        time.sleep(1)
        raise KeyboardInterrupt
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("encoding", ["ascii", "iso8859-9"])
def test_programs_restart_in_utf8_if_the_locale_has_another_encoding(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: encoding)
    monkeypatch.setattr(os, "execve", lambda _path, arguments, _environment: started.append(arguments))
    _restart_in_utf8()
    assert started[0][1:3] == ["-X", "utf8"]
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "utf-8")
    _restart_in_utf8()
    assert len(started) == 1


def test_a_folder_that_cannot_be_written_to_is_read_without_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "made"
    made.mkdir()
    with lock(made):
        pass
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    with lock(made), lock(made, to_read=True):  # the owner builds it meanwhile
        pass


def test_a_lock_file_of_another_user_is_only_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def as_another_user(path: Any, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return opened(path, flags, mode)

    path = tmp_path / "x.lock"
    monkeypatch.setattr(os, "open", as_another_user)
    with pytest.raises(PermissionError):
        Lock(path)
    path.touch()
    with Lock(path), pytest.raises(BlockingIOError):
        Lock(path)


def test_builds_work_in_the_c_locale(lrldata: Run, tmp_path: Path) -> None:
    variables = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    (tmp_path / "é").mkdir()
    (tmp_path / "é" / "a ġ.txt").write_text(TEXT, "utf-8")
    web = ("--source", "web", "--input", tmp_path / "é" / "a ġ.txt", "--workers", 1)
    for name, arguments in (("conceptnet", ("--source", "conceptnet", "--sample")), ("web", web)):
        result = lrldata("build", "--lang", "română", *arguments, "--out", tmp_path / "é" / "ws", **variables)
        assert result.returncode == 0, result.stderr
        assert (tmp_path / "é/ws/datasets/ro" / name / "manifest.json").is_file()
    arguments = [sys.executable, "-I", "-m", "lrldata.cli", "--version"]  # -I: Python ignores its environment variables
    result = subprocess.run(arguments, env=os.environ | variables, capture_output=True, check=False, timeout=60)
    assert result.returncode == 0


def test_errors_about_the_home_folder_and_limits_say_what_to_do() -> None:
    error = RuntimeError("could not determine the home directory for '~/.cache'")
    assert _is_foreseen(error)
    assert "Set HOME" in _describe(error)
    assert not _is_foreseen(RuntimeError("another"))
    assert "ulimit -n" in _describe(OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
    for number, hint in (
        (errno.EMFILE, "ulimit -n"),
        (errno.EDQUOT, "Free some disk space"),
        (errno.ENOSPC, "Free some disk space"),
        (errno.EFBIG, "ulimit -f"),
    ):
        message = _describe(OSError(number, os.strerror(number), "ws/data.parquet"))
        assert hint in message
        assert "ws/data.parquet" in message or number == errno.EMFILE
