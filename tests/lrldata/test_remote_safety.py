"""Workspaces on object stores that others write to: hostile keys, interruptions, and concurrent writers."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest
from s3 import make_bucket

from lrldata import build, lease
from lrldata.errors import BusyError, IncompleteError, StorageError
from lrldata.lease import leased
from lrldata.manifest import fingerprint
from lrldata.paths import PathError
from lrldata.remote import Mirror, mirror_of, opened

HOME = "datasets/xx/web"


@pytest.fixture
def store(s3: str, request: pytest.FixtureRequest) -> str:
    """Return the address of an empty workspace on a server that refuses to create files that already exist."""
    assert s3
    return make_bucket(f"safe-{abs(hash(request.node.name)) % 10**8}-{os.getpid()}")


def fill(mirror: Mirror, content: str, home: str = HOME, names: tuple[str, ...] = ("a", "b")) -> None:
    folder = mirror.folder / home
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*names, "manifest.json"):
        (folder / name).write_text(content)


def contents(mirror: Mirror) -> dict[str, str]:
    mirror.store.invalidate_cache()
    return {name: mirror.store.cat_file(f"{mirror.root}/{name}").decode() for name in mirror.listing("")}


def test_a_failed_upload_does_not_hide_why_the_work_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise StorageError("Access Denied")

    monkeypatch.setattr(Mirror, "send", denied)
    error = IncompleteError("GlotCC has no text in X.", "The other datasets are built.", [])
    with pytest.raises(IncompleteError) as raised, opened("memory://hidden/ws", [], [HOME], tmp_path):
        raise error
    assert raised.value is error
    assert "Access Denied" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["../../../victim/.bashrc", "../victim", "a//b", "./x", "x\\..\\y", "a/\x1b[31m"])
def test_no_key_of_a_bucket_leads_out_of_the_mirror(key: str, tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    root = f"/evil-{abs(hash(key))}/ws"
    mirror = Mirror(f"memory:/{root}", store, root, tmp_path / "cache" / "mirror")
    mirror.folder.mkdir(parents=True)
    canary = tmp_path / "cache" / "victim"
    canary.write_text("mine")
    listing = {f"{root}/grid/jobs/{key}": {"size": 4, "name": "x", "type": "file"}}
    hostile: Any = type("Hostile", (), {"protocol": "memory", "invalidate_cache": lambda _: None})()
    hostile.find = lambda *_, **__: listing
    hostile.get_file = lambda _, target: Path(target).write_text("evil")
    with pytest.raises(PathError, match="not a path inside"):
        Mirror(mirror.url, hostile, root, mirror.folder).fetch(["grid/jobs"])
    assert canary.read_text() == "mine"
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()].count("victim") == 1


def test_a_link_in_the_mirror_is_not_written_through(store: str, tmp_path: Path) -> None:
    mirror, other = mirror_of(store, tmp_path / "one"), mirror_of(store, tmp_path / "two")
    fill(mirror, "1")
    mirror.send(["datasets"])
    outside = tmp_path / "outside"
    outside.mkdir()
    (other.folder / "datasets").symlink_to(outside)
    with pytest.raises(PathError, match="a link"):
        other.fetch(["datasets"])
    assert not list(outside.iterdir())


def test_an_error_or_an_interrupt_deletes_nothing(store: str, tmp_path: Path) -> None:
    mirror = mirror_of(store, tmp_path)
    fill(mirror, "1")
    mirror.send([HOME])
    before = contents(mirror)

    def fail_midway(error: BaseException) -> None:
        with opened(store, [HOME], [HOME], tmp_path) as folder:
            (folder / HOME).rename(folder / "datasets/xx/.web.old")  # the first of two renames, without the second
            raise error

    for error in (KeyboardInterrupt(), StorageError("full")):
        with pytest.raises(type(error)):
            fail_midway(error)
        assert contents(mirror) == before
        (mirror.folder / "datasets/xx/.web.old").rename(mirror.folder / HOME)
    (mirror.folder / HOME / "b").unlink()
    with pytest.raises(StorageError), opened(store, [], [HOME], tmp_path):
        raise StorageError("another language failed")
    assert contents(mirror) == before, "after an error nothing is deleted"
    with opened(store, [], [HOME], tmp_path):
        pass
    assert contents(mirror).keys() == before.keys() - {f"{HOME}/b"}, "after success, the file is deleted"
    for name in ("a", "manifest.json"):
        (mirror.folder / HOME / name).unlink()
    mirror.send([HOME])
    assert f"{HOME}/a" in contents(mirror), "files of a dataset that was not rebuilt are not deleted"


def test_the_manifest_is_sent_after_the_other_files_and_deletions_come_last(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = mirror_of(store, tmp_path)
    fill(mirror, "1", names=("a", "old"))
    mirror.send([HOME])
    fill(mirror, "2", names=("a", "new"))
    (mirror.folder / HOME / "old").unlink()
    calls: list[str] = []

    def watch(name: str, call: Callable[..., Any], index: int) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            if lease.LEASES not in str(arguments[index]):
                calls.append(f"{name} {Path(str(arguments[index])).name}")
            return call(*arguments, **options)

        return watched

    for name, index in (("put_file", 1), ("pipe_file", 0), ("rm_file", 0)):
        monkeypatch.setattr(mirror.store, name, watch(name, getattr(mirror.store, name), index))
    mirror.send([HOME])
    assert calls == ["put_file a", "put_file new", "pipe_file manifest.json", "rm_file old"]


def test_a_file_that_changes_in_transit_is_detected(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = mirror_of(store, tmp_path)
    fill(mirror, "1")
    put = mirror.store.put_file
    with monkeypatch.context() as patch:
        patch.setattr(
            mirror.store, "put_file", lambda local, path: (put(local, path), mirror.store.pipe_file(path, b"22"))
        )
        with pytest.raises(StorageError, match="the file that arrived differs from the one sent"):
            mirror.send([HOME])
    assert f"{HOME}/manifest.json" not in contents(mirror)


def test_of_two_conflicting_writers_the_second_stops(store: str, tmp_path: Path) -> None:
    one, two = mirror_of(store, tmp_path / "one"), mirror_of(store, tmp_path / "two")
    fill(one, "1")
    one.send([HOME])
    two.fetch([HOME])
    fill(one, "2")
    fill(two, "3")
    one.send([HOME])
    with pytest.raises(StorageError, match="another process has written it since"):
        two.send([HOME])
    assert set(contents(one).values()) == {"2"}
    two.fetch([HOME])
    assert (two.folder / HOME / "a").read_text() == "2"
    fill(two, "3")
    two.send([HOME])
    assert set(contents(one).values()) == {"3"}


def test_two_writers_of_the_same_bytes_do_not_conflict(store: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        mirror = mirror_of(store, tmp_path / name)
        fill(mirror, "1")
        mirror.send([HOME])
    assert set(contents(mirror).values()) == {"1"}


def test_sending_while_another_process_sends_is_refused(store: str, tmp_path: Path) -> None:
    mirror = mirror_of(store, tmp_path)
    fill(mirror, "1")
    with leased(mirror.store, mirror.root, HOME, "ws"), pytest.raises(StorageError, match="another process is writing"):
        mirror.send([HOME])
    assert not contents(mirror)
    mirror.send([HOME])
    assert len(contents(mirror)) == 3


def test_the_lease_of_a_dead_writer_expires(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "SETTLING", 0.01)
    mirror = mirror_of(store, tmp_path)
    fill(mirror, "1")
    abandoned = leased(mirror.store, mirror.root, HOME, "ws")
    abandoned.__enter__()
    now = time.time()
    monkeypatch.setattr(lease.time, "time", lambda: now + lease.SECONDS + 1)
    mirror.send([HOME])
    assert len(contents(mirror)) == 3


def test_of_two_writers_that_find_an_expired_lease_one_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    store = fsspec.filesystem("memory")
    store.pipe_file(f"/two/.leases/{fingerprint(HOME)[:32]}.json", b'{"writer": "dead", "at": 0}')
    both_saw_it, first_has_it = threading.Barrier(2), threading.Event()
    refuse, held, refused = lease._refuse_current, list[str](), list[str]()  # noqa: SLF001

    def wait_for_the_other(found: dict[str, Any], written: float | None, shown: str) -> None:
        refuse(found, None if found.get("writer") == "dead" else written, shown)
        if found.get("writer") == "dead":
            both_saw_it.wait(10)
            if threading.current_thread().name == "second":
                first_has_it.wait(10)

    def sleep(_: float) -> None:
        first_has_it.set()
        real_sleep(0.3)

    def write() -> None:
        try:
            with leased(store, "/two", HOME, "ws"):
                held.append(threading.current_thread().name)
                real_sleep(1)
        except StorageError:
            refused.append(threading.current_thread().name)

    real_sleep = time.sleep
    monkeypatch.setattr(lease, "_refuse_current", wait_for_the_other)
    monkeypatch.setattr(lease, "time", SimpleNamespace(time=time.time, sleep=sleep))
    writers = [threading.Thread(target=write, name=name) for name in ("first", "second")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(20)
    assert (held, refused) == (["second"], ["first"])


@pytest.mark.parametrize("system", ["Linux", "macOS"])
@pytest.mark.parametrize("process", ["dead", "this one"])
def test_a_lease_left_by_a_process_of_this_machine_is_taken_over_at_once(
    process: str, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SETTLING", 0.01)
    if system == "macOS":  # has no /proc, and another command that prints what identifies a start of the machine
        monkeypatch.setattr(lease, "_BOOT", "/no/such/file")
        monkeypatch.setattr(lease, "_BOOT_ON_MACOS", ("echo", "0f1e"))
    store, root = fsspec.filesystem("memory"), f"/left-{process[:4]}-{system}"
    path = f"{root}/.leases/{fingerprint(HOME)[:32]}.json"
    left = json.loads(lease._content("another"))  # noqa: SLF001
    if process == "dead":
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        left["process"] = ended.pid
    store.pipe_file(path, json.dumps(left | {"machine": "another machine"}).encode())
    with (
        pytest.raises(BusyError, match="another process is writing"),
        leased(store, root, HOME, "ws"),
    ):
        pass
    store.pipe_file(path, json.dumps(left).encode())
    with leased(store, root, HOME, "ws"):
        pass
    assert not store.exists(path)


def test_a_lease_is_created_once_if_the_answer_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    store = fsspec.filesystem("memory")
    pipe = store.pipe_file

    def repeated(path: str, content: bytes, **options: Any) -> None:
        pipe(path, content, **options)
        if options:
            raise OSError("PreconditionFailed: at least one of the pre-conditions you specified did not hold")

    monkeypatch.setattr(store, "pipe_file", repeated)
    with leased(store, "/answer", HOME, "ws"):
        pass


def test_the_age_of_a_lease_does_not_depend_on_the_clock_of_its_writer() -> None:
    store = fsspec.filesystem("memory")
    path = f"/clock/.leases/{fingerprint(HOME)[:32]}.json"
    store.pipe_file(path, json.dumps({"writer": "slow clock", "at": time.time() - 3 * lease.SECONDS}).encode())
    with pytest.raises(BusyError), leased(store, "/clock", HOME, "ws"):
        pass


def test_files_of_an_unfinished_upload_are_not_fetched(store: str, tmp_path: Path) -> None:
    mirror = mirror_of(store, tmp_path)
    for name in ("adapters/ro/b/n/adapter.safetensors", "scores/ro/b/n/topic/seed-1/run.json", f"{HOME}/data/x"):
        mirror.store.pipe_file(f"{mirror.root}/{name}", b"half")
    mirror.store.pipe_file(f"{mirror.root}/datasets/xx/web.report.html", b"not of an artifact")
    mirror.fetch(["datasets", "scores", "adapters/ro/b/n"])
    assert [path.name for path in mirror.folder.rglob("*") if path.is_file() and path.name[0] != "."] == [
        "web.report.html"
    ]
    fill(mirror, "1", "adapters/ro/b/n", ("adapter.safetensors",))
    mirror.fetch(["adapters"])
    assert (mirror.folder / "adapters/ro/b/n/adapter.safetensors").read_text() == "1", "what was built here stays"
    mirror.send(["adapters"])
    assert contents(mirror)["adapters/ro/b/n/adapter.safetensors"] == "1"


def test_shards_that_a_dataset_does_not_list_are_never_fetched_or_sent(store: str, tmp_path: Path) -> None:
    with opened(store, [], ["datasets"], tmp_path / "one") as folder:
        home = build("ro", sample=True, out=folder, cache=tmp_path).path.relative_to(folder).as_posix()
    one, two = mirror_of(store, tmp_path / "one"), mirror_of(store, tmp_path / "two")
    shards = {name for name in one.listing(home) if name.endswith(".parquet")}
    extra = f"{home}/data/train-00000-of-00007.parquet"
    one.store.pipe_file(f"{one.root}/{extra}", b"of an earlier version")
    two.folder.joinpath(home, "data").mkdir(parents=True)
    (two.folder / home / "data/train-00001-of-00007.parquet").write_bytes(b"of a build that another one has replaced")
    two.fetch(["datasets"])
    assert {path.name for path in (two.folder / home / "data").iterdir()} == {name.split("/")[-1] for name in shards}
    two.send([home], delete=False)
    assert {name for name in one.listing(home) if name.endswith(".parquet")} == shards


def test_a_bucket_that_does_not_exist_is_not_an_empty_workspace(store: str, tmp_path: Path) -> None:
    mirror_of(store, tmp_path).fetch([""])
    with pytest.raises(StorageError, match="no such bucket, or no access to it"):
        mirror_of("s3://not-there/ws", tmp_path).fetch([""])


def test_passwords_do_not_appear_in_python_errors(tmp_path: Path) -> None:
    mirror = mirror_of("memory://user:hunter2@host/ws", tmp_path)
    fill(mirror, "1")
    with (
        leased(mirror.store, mirror.root, HOME, "ws"),
        pytest.raises(StorageError, match="another process is writing") as raised,
    ):
        mirror.send([HOME])
    assert "hunter2" not in str(raised.value)


def test_a_store_that_lists_a_single_file_by_path_is_read(tmp_path: Path) -> None:
    mirror = mirror_of("memory://listing/ws", tmp_path)
    mirror.store.pipe_file(f"{mirror.root}/grid/plan.json", b"{}")
    find = mirror.store.find
    store: Any = SimpleNamespace(
        protocol="memory", invalidate_cache=lambda: None, info=mirror.store.info, get_file=mirror.store.get_file,
        find=lambda path, **options: list(find(path, **options)),
    )  # fmt: skip
    Mirror(mirror.url, store, mirror.root, mirror.folder).fetch(["grid/plan.json"])
    assert (mirror.folder / "grid/plan.json").is_file()


def test_a_lease_that_another_writer_has_taken_over_is_not_renewed() -> None:
    store = fsspec.filesystem("memory")
    with leased(store, "/taken", HOME, "ws") as held:
        store.pipe_file(held.path, b'{"writer": "other", "at": 0}')
        held.renew()
        held.renewed = 0.0
        with pytest.raises(StorageError, match="has taken over this lease"):
            held.renew()
    assert b"other" in store.cat_file(held.path)
    with leased(store, "/gone", HOME, "ws") as held:
        store.rm_file(held.path)  # by a writer that took it over and is done
        held.renewed = 0.0
        with pytest.raises(StorageError, match="has taken over this lease"):
            held.renew()


def test_a_manifest_that_changes_at_the_last_moment_is_not_overwritten(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = mirror_of(store, tmp_path)
    fill(mirror, "1")
    mirror.send([HOME])
    fill(mirror, "2")
    put = mirror.store.put_file

    def interfere(local: str, path: str) -> None:
        put(local, path)
        mirror.store.pipe_file(f"{mirror.root}/{HOME}/manifest.json", b"3")  # by a process that ignores leases

    monkeypatch.setattr(mirror.store, "put_file", interfere)
    with pytest.raises(StorageError):
        mirror.send([HOME])
    assert contents(mirror)[f"{HOME}/manifest.json"] == "3"


def test_a_file_url_stands_for_its_folder(lrldata: Any, tmp_path: Path) -> None:
    workspace = tmp_path / "my ws"
    built = lrldata("build", "--lang", "ro", "--sample", "--out", workspace.as_uri(), "--json")
    assert built.returncode == 0, built.stderr
    assert json.loads(built.stdout)["path"] == str(workspace / "datasets" / "ro" / "conceptnet")
    assert (workspace / "datasets/ro/conceptnet/manifest.json").is_file()


def test_passwords_in_addresses_never_appear_in_messages(lrldata: Any) -> None:
    for address in ("s3://user:hunter2@nowhere/ws?sig=hunter2", "nosuch://user:hunter2@host/ws?sig=hunter2"):
        failed = lrldata("build", "--lang", "ro", "--sample", "--out", address, AWS_MAX_ATTEMPTS="1")
        assert failed.returncode in (1, 2), failed.stdout
        assert "hunter2" not in failed.stdout + failed.stderr
