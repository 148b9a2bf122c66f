"""Workspaces on object stores that others write to: hostile keys, interruptions, and concurrent writers."""

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest
from s3 import make_bucket

from lrldata import lease
from lrldata.errors import StorageError
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

    def wait_for_the_other(found: dict[str, Any], shown: str) -> None:
        refuse(found, shown)
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
