"""Workspaces on an S3-compatible server, started here: built, continued on other machines, and never incomplete."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from clients import ACCOUNTS, TOKEN, environment
from s3 import make_bucket
from stores import commits, git, store

from hub_cards.local_hub import start
from lrldata.errors import StorageError, UsageError
from lrldata.remote import Mirror, mirror_of, opened

Run = Callable[..., subprocess.CompletedProcess[str]]
BUILD = ("build", "--lang", "ro", "--sample", "--out")


@pytest.fixture
def bucket(s3: str, request: pytest.FixtureRequest) -> str:
    assert s3
    return make_bucket(f"bucket-{abs(hash(request.node.name)) % 10**8}-{os.getpid()}")


def names(bucket: str, cache: Path) -> set[str]:
    return set(mirror_of(bucket, cache).listing(""))


def test_a_dataset_built_in_a_bucket_is_not_rebuilt_elsewhere(bucket: str, lrldata: Run, tmp_path: Path) -> None:
    built = lrldata(*BUILD, bucket, "--cache", tmp_path / "one", "--json")
    assert built.returncode == 0, built.stderr
    uploaded = names(bucket, tmp_path / "look")
    assert {"datasets/ro/conceptnet/manifest.json", "datasets/ro/conceptnet/README.md"} <= uploaded
    assert any(name.startswith("datasets/ro/conceptnet/data/train-") for name in uploaded)
    again = json.loads(lrldata(*BUILD, bucket, "--cache", tmp_path / "another", "--json").stdout)
    assert again["status"] == "unchanged"
    changed = json.loads(lrldata(*BUILD, bucket, "--min-weight", 2, "--cache", tmp_path / "third", "--json").stdout)
    assert (changed["status"], changed["version"]) == ("built", "1.1.0")
    with opened(bucket, ["datasets"], [], tmp_path / "fourth") as folder:
        assert json.loads((folder / "datasets/ro/conceptnet/manifest.json").read_text())["version"] == "1.1.0"


def content(mirror: Mirror, name: str) -> bytes:
    return bytes(mirror.store.cat_file(f"{mirror.root}/{name}"))


def test_unchanged_files_are_not_sent_again(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = mirror_of(bucket, tmp_path)
    (mirror.folder / "scores").mkdir()
    (mirror.folder / "scores" / "manifest.json").write_text("1")
    (mirror.folder / "scores" / "a").write_text("1")
    mirror.send(["scores"])
    sent: list[str] = []
    put = mirror.store.put_file
    monkeypatch.setattr(mirror.store, "put_file", lambda local, remote: (sent.append(remote), put(local, remote)))
    mirror.send(["scores"])
    assert sent == []
    (mirror.folder / "scores" / "a").write_text("2")
    mirror.send(["scores"])
    assert [Path(path).name for path in sent] == ["a"], "the manifest has not changed"
    other = mirror_of(bucket, tmp_path / "other")
    other.fetch(["scores"])
    assert (other.folder / "scores" / "a").read_text() == "2"
    (mirror.folder / "scores" / "a").unlink()
    mirror.send(["scores"])
    other.fetch(["scores"])
    assert not (other.folder / "scores" / "a").exists()


def test_an_interrupted_upload_is_not_taken_for_complete(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = mirror_of(bucket, tmp_path)
    folder = mirror.folder / "datasets" / "xx" / "web"
    folder.mkdir(parents=True)
    for name in ("a", "b", "manifest.json"):
        (folder / name).write_text("1")
    mirror.send(["datasets"])
    for name in ("a", "b", "manifest.json"):
        (folder / name).write_text("2")

    def fail(local: str, remote: str) -> None:
        raise ConnectionError(f"the network is gone at {local}, {remote}")

    with monkeypatch.context() as patch:
        patch.setattr(mirror.store, "put_file", fail)
        with pytest.raises(StorageError, match="the network is gone"):
            mirror.send(["datasets"])
    assert content(mirror, "datasets/xx/web/manifest.json") == b"1", (
        "the manifest does not list files that were not sent"
    )
    assert not mirror.listing(".leases"), "the lease was released"
    mirror.send(["datasets"])
    assert content(mirror, "datasets/xx/web/manifest.json") == b"2"


def test_fetching_does_not_overwrite_a_local_build_that_was_not_sent(bucket: str, tmp_path: Path) -> None:
    def write_dataset(mirror: Mirror, text: str, *names: str) -> Path:
        folder = mirror.folder / "datasets/xx/web"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in (*names, "manifest.json"):
            (folder / name).write_text(text)
        return folder

    mirror, other = mirror_of(bucket, tmp_path / "one"), mirror_of(bucket, tmp_path / "two")
    write_dataset(mirror, "1", "a", "b")
    mirror.send(["datasets"])
    folder = write_dataset(mirror, "22", "a", "c")
    mirror.fetch(["datasets"])
    assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(
        ("a", "c", "manifest.json"), "22"
    )
    (folder / "a").unlink()  # a file missing from a dataset that was not rebuilt is fetched again
    mirror.send(["datasets"])
    (folder / "c").unlink()
    mirror.fetch(["datasets"])
    assert (folder / "c").read_text() == "22"
    other.fetch(["datasets"])
    write_dataset(other, "333", "a")
    other.send(["datasets"])
    mirror.fetch(["datasets"])
    write_dataset(mirror, "55555", "a")
    (other.folder / "datasets/xx/web/verdicts").write_text("c")
    other.send(["datasets"])
    mirror.fetch(["datasets"])
    mirror.send(["datasets"])
    assert "datasets/xx/web/verdicts" in mirror.listing("datasets"), "a file that another process added stays"
    os.utime(mirror.folder / "datasets/xx/web/manifest.json")  # as after copying the cache
    (mirror.folder / "datasets/xx/web/a").unlink()
    mirror.fetch(["datasets"])
    assert (mirror.folder / "datasets/xx/web/a").read_text() == "55555"
    other.fetch(["datasets"])
    write_dataset(other, "333", "a")
    other.send(["datasets"])
    write_dataset(mirror, "4444", "a")
    mirror.fetch(["datasets"])  # another process has written it since, and its version wins
    assert (folder / "manifest.json").read_text() == "333"


def test_a_report_is_replaced_whoever_wrote_the_previous_one(bucket: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        mirror = mirror_of(bucket, tmp_path / name)
        (mirror.folder / "report").mkdir()
        (mirror.folder / "report" / f"{name}.svg").write_text(name)
        mirror.send(["report"])
    assert set(mirror.listing("report")) == {"report/two.svg"}


def test_a_workspace_on_the_hub_gets_a_commit_per_changed_build(lrldata: Run, tmp_path: Path) -> None:
    with start(tmp_path / "hub", accounts=ACCOUNTS) as hub:
        variables = environment(hub, tmp_path / "home", TOKEN)
        workspace = "hf://datasets/my-org/ws/all"
        create = "from huggingface_hub import HfApi; HfApi().create_repo('my-org/ws', repo_type='dataset')"
        subprocess.run([sys.executable, "-c", create], env=variables, check=True)
        built = lrldata(*BUILD, workspace, "--cache", tmp_path / "one", "--json", **variables)
        assert built.returncode == 0, built.stderr
        again = json.loads(lrldata(*BUILD, workspace, "--cache", tmp_path / "two", "--json", **variables).stdout)
        assert again["status"] == "unchanged"
        changed = lrldata(*BUILD, workspace, "--min-weight", 2, "--cache", tmp_path / "three", "--json", **variables)
        assert json.loads(changed.stdout)["version"] == "1.1.0"
        mirrors = tmp_path / "three" / "workspaces"
        (manifest,) = mirrors.glob("*/datasets/ro/conceptnet/manifest.json")
        repository = store(hub.root, "datasets", "my-org/ws")
        assert commits(repository) == 2, "an unchanged build adds no commit"
        assert (
            git(repository, "show", "main:all/datasets/ro/conceptnet/manifest.json").strip()
            == manifest.read_text().strip()
        )


def test_a_missing_store_is_reported_in_one_line(s3: str, lrldata: Run, tmp_path: Path) -> None:
    assert s3
    missing = lrldata(*BUILD, "s3://no-such-bucket-here/ws", "--cache", tmp_path / "cache")
    assert missing.returncode == 1
    assert missing.stderr.startswith("error: s3://no-such-bucket-here/ws: ")
    with pytest.raises(UsageError, match="nosuch"):
        mirror_of("nosuch://bucket/ws", tmp_path)
    settings = tmp_path / "settings.toml"
    settings.write_text('lang = "ro"\nsample = true\nout = "s3://b/ws"\n')
    refused = lrldata("build", "--config", settings)
    assert (refused.returncode, "Give a remote workspace with --out" in refused.stderr) == (2, True)
    assert isinstance(mirror_of("memory://x", tmp_path), Mirror)
