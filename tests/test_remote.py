"""Workspaces on an S3-compatible server, which is started here: built, gone on with elsewhere, never half there."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import s3fs
from moto.server import ThreadedMotoServer

from lrldata.errors import StorageError, UsageError
from lrldata.remote import Mirror, mirror_of, opened

Run = Callable[..., subprocess.CompletedProcess[str]]
BUILD = ("build", "--lang", "ro", "--sample", "--out")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Start a server, and tell the real clients where it is by the environment variables that they read."""
    running = ThreadedMotoServer(port=0, verbose=False)
    running.start()
    _, port = running.get_host_and_port()
    told = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "something",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in told.items():
            patch.setenv(name, value)
        yield told["AWS_ENDPOINT_URL"]
    running.stop()


@pytest.fixture
def bucket(server: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    assert server
    name = f"bucket-{abs(hash(request.node.name)) % 10**8}-{os.getpid()}"
    s3fs.S3FileSystem(skip_instance_cache=True).mkdir(name)
    assert tmp_path
    return f"s3://{name}/ws"


def names(bucket: str, cache: Path) -> set[str]:
    return set(mirror_of(bucket, cache).listing(""))


def test_a_dataset_is_built_there_and_not_built_again_elsewhere(bucket: str, lrldata: Run, tmp_path: Path) -> None:
    made = lrldata(*BUILD, bucket, "--cache", tmp_path / "one", "--json")
    assert made.returncode == 0, made.stderr
    there = names(bucket, tmp_path / "look")
    assert {"datasets/ro/conceptnet/manifest.json", "datasets/ro/conceptnet/README.md"} <= there
    assert any(name.startswith("datasets/ro/conceptnet/data/train-") for name in there)
    again = json.loads(lrldata(*BUILD, bucket, "--cache", tmp_path / "another", "--json").stdout)
    assert again["status"] == "unchanged"
    changed = json.loads(lrldata(*BUILD, bucket, "--min-weight", 2, "--cache", tmp_path / "third", "--json").stdout)
    assert (changed["status"], changed["version"]) == ("built", "1.1.0")
    with opened(bucket, ["datasets"], [], tmp_path / "fourth") as folder:
        assert json.loads((folder / "datasets/ro/conceptnet/manifest.json").read_text())["version"] == "1.1.0"


def test_what_is_the_same_is_not_moved_again(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = mirror_of(bucket, tmp_path)
    (mirror.folder / "scores").mkdir()
    (mirror.folder / "scores" / "manifest.json").write_text("1")
    (mirror.folder / "scores" / "a").write_text("1")
    mirror.send(["scores"])
    sent: list[str] = []
    put = mirror.store.put_file
    monkeypatch.setattr(mirror.store, "put_file", lambda here, there: (sent.append(there), put(here, there)))
    mirror.send(["scores"])
    assert sent == []
    (mirror.folder / "scores" / "a").write_text("2")
    mirror.send(["scores"])
    assert [Path(each).name for each in sent] == ["a", "manifest.json"], "the manifest was away meanwhile, and is last"
    other = mirror_of(bucket, tmp_path / "other")
    other.fetch(["scores"])
    assert (other.folder / "scores" / "a").read_text() == "2"
    (mirror.folder / "scores" / "a").unlink()
    mirror.send(["scores"])
    other.fetch(["scores"])
    assert not (other.folder / "scores" / "a").exists()


def test_an_interrupted_sending_is_not_taken_for_whole(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = mirror_of(bucket, tmp_path)
    home = mirror.folder / "datasets" / "xx" / "web"
    home.mkdir(parents=True)
    for name in ("a", "b", "manifest.json"):
        (home / name).write_text("1")
    mirror.send(["datasets"])
    for name in ("a", "b", "manifest.json"):
        (home / name).write_text("2")

    def break_down(here: str, there: str) -> None:
        raise ConnectionError(f"the network is gone at {here}, {there}")

    with monkeypatch.context() as patch:
        patch.setattr(mirror.store, "put_file", break_down)
        with pytest.raises(StorageError, match="the network is gone"):
            mirror.send(["datasets"])
    assert "datasets/xx/web/manifest.json" not in names(bucket, tmp_path / "look")
    mirror.send(["datasets"])
    assert "datasets/xx/web/manifest.json" in names(bucket, tmp_path / "look")


def test_a_store_that_is_not_there_is_one_line(server: str, lrldata: Run, tmp_path: Path) -> None:
    assert server
    lost = lrldata(*BUILD, "s3://no-such-bucket-here/ws", "--cache", tmp_path / "cache")
    assert lost.returncode == 1
    assert lost.stderr.startswith("error: s3://no-such-bucket-here/ws: ")
    with pytest.raises(UsageError, match="nosuch"):
        mirror_of("nosuch://bucket/ws", tmp_path)
    settings = tmp_path / "settings.toml"
    settings.write_text('lang = "ro"\nsample = true\nout = "s3://b/ws"\n')
    refused = lrldata("build", "--config", settings)
    assert (refused.returncode, "Give a remote workspace with --out" in refused.stderr) == (2, True)
    assert isinstance(mirror_of("memory://x", tmp_path), Mirror)
