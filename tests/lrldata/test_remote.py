"""Workspaces on an S3-compatible server, which is started here: built, gone on with elsewhere, never half there."""

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


def content(mirror: Mirror, name: str) -> bytes:
    return bytes(mirror.store.cat_file(f"{mirror.root}/{name}"))


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
    assert [Path(each).name for each in sent] == ["a"], "the manifest is the same"
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
    assert content(mirror, "datasets/xx/web/manifest.json") == b"1", "it does not speak of what was not sent"
    assert not mirror.listing(".leases"), "and the lease was given back"
    mirror.send(["datasets"])
    assert content(mirror, "datasets/xx/web/manifest.json") == b"2"


def test_what_was_made_here_and_not_sent_is_not_fetched_over(bucket: str, tmp_path: Path) -> None:
    def home(mirror: Mirror, text: str, *names: str) -> Path:
        folder = mirror.folder / "datasets/xx/web"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in (*names, "manifest.json"):
            (folder / name).write_text(text)
        return folder

    mirror, other = mirror_of(bucket, tmp_path / "one"), mirror_of(bucket, tmp_path / "two")
    home(mirror, "1", "a", "b")
    mirror.send(["datasets"])
    folder = home(mirror, "22", "a", "c")
    mirror.fetch(["datasets"])
    assert {each.name: each.read_text() for each in folder.iterdir()} == dict.fromkeys(
        ("a", "c", "manifest.json"), "22"
    )
    (folder / "a").unlink()  # of what was not made again, what is lacking comes back
    mirror.send(["datasets"])
    (folder / "c").unlink()
    mirror.fetch(["datasets"])
    assert (folder / "c").read_text() == "22"
    other.fetch(["datasets"])
    home(other, "333", "a")
    other.send(["datasets"])
    mirror.fetch(["datasets"])
    home(mirror, "55555", "a")
    (other.folder / "datasets/xx/web/verdicts").write_text("c")
    other.send(["datasets"])
    mirror.fetch(["datasets"])
    mirror.send(["datasets"])
    assert "datasets/xx/web/verdicts" in mirror.listing("datasets"), "what another has added there stays"
    os.utime(mirror.folder / "datasets/xx/web/manifest.json")  # as after a copy of the cache
    (mirror.folder / "datasets/xx/web/a").unlink()
    mirror.fetch(["datasets"])
    assert (mirror.folder / "datasets/xx/web/a").read_text() == "55555"
    other.fetch(["datasets"])
    home(other, "333", "a")
    other.send(["datasets"])
    home(mirror, "4444", "a")
    mirror.fetch(["datasets"])  # another has written it since: theirs counts
    assert (folder / "manifest.json").read_text() == "333"


def test_a_report_is_replaced_whoever_wrote_the_one_before(bucket: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        mirror = mirror_of(bucket, tmp_path / name)
        (mirror.folder / "report").mkdir()
        (mirror.folder / "report" / f"{name}.svg").write_text(name)
        mirror.send(["report"])
    assert set(mirror.listing("report")) == {"report/two.svg"}


def test_a_workspace_on_the_hub_has_a_commit_for_what_was_made(lrldata: Run, tmp_path: Path) -> None:
    with start(tmp_path / "hub", accounts=ACCOUNTS) as hub:
        told = environment(hub, tmp_path / "home", TOKEN)
        there = "hf://datasets/my-org/ws/all"
        make = "from huggingface_hub import HfApi; HfApi().create_repo('my-org/ws', repo_type='dataset')"
        subprocess.run([sys.executable, "-c", make], env=told, check=True)
        made = lrldata(*BUILD, there, "--cache", tmp_path / "one", "--json", **told)
        assert made.returncode == 0, made.stderr
        again = json.loads(lrldata(*BUILD, there, "--cache", tmp_path / "two", "--json", **told).stdout)
        assert again["status"] == "unchanged"
        changed = lrldata(*BUILD, there, "--min-weight", 2, "--cache", tmp_path / "three", "--json", **told)
        assert json.loads(changed.stdout)["version"] == "1.1.0"
        third = tmp_path / "three" / "workspaces"
        (kept,) = third.glob("*/datasets/ro/conceptnet/manifest.json")
        repository = store(hub.root, "datasets", "my-org/ws")
        assert commits(repository) == 2, "an unchanged build adds none"
        assert (
            git(repository, "show", "main:all/datasets/ro/conceptnet/manifest.json").strip() == kept.read_text().strip()
        )


def test_a_store_that_is_not_there_is_one_line(s3: str, lrldata: Run, tmp_path: Path) -> None:
    assert s3
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
