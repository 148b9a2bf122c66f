"""Exactly what was checked is published, and nothing that is exchanged, changed or linked in the meantime."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clients import TOKEN, point_at
from manifests import change, unseal
from stores import commits, git, store, tags

from hub_cards.artifacts import read_dataset
from hub_cards.config import PushConfig, load_push_config
from hub_cards.local_hub import Hub as Server
from hub_cards.publish import repository
from hub_cards.publish.hub import Hub
from hub_cards.publish.local import render
from hub_cards.publish.publish import Prepared, prepare, publish
from lrldata.conceptnet.build import build
from lrldata.conceptnet.config import load_config
from lrldata.errors import LrlError, PublishError, StorageError, UsageError
from lrldata.manifest import DATASET, MANIFEST, file_entry, load_manifest
from lrldata.network import is_private
from lrldata.paths import PathError
from lrldata.progress import Progress

QUIET = Progress(quiet=True)
SHARD = "data/train-00000-of-00001.parquet"
Publish = Callable[..., Any]


@pytest.fixture
def workspace(sample_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(repository, "draw_ledger", lambda *_: b"\x89PNG\r\n\x1a\n")
    return Path(shutil.copytree(sample_workspace, tmp_path / "ws"))


@pytest.fixture
def pushing(
    hub: Server, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Callable[[], Prepared], Publish, Hub]:
    """Return a function that plans, a function that publishes, and the Hub client that both use."""
    config = PushConfig(lang="ro", namespace="my-org", out=workspace, collection=False, patience=1)
    point_at(hub, monkeypatch)
    client = Hub(hub.endpoint, TOKEN)
    return (
        lambda: prepare(config, client, QUIET),
        lambda prepared: publish(prepared, config, client, QUIET),
        client,
    )


def built_again(workspace: Path) -> None:
    flags = {"lang": "ro", "sample": True, "out": workspace, "cache": workspace / "cache", "min_weight": 2}
    build(load_config(None, flags), QUIET)


def removed(workspace: Path) -> None:
    shutil.rmtree(workspace / "datasets/ro/conceptnet")


def edited(workspace: Path) -> None:
    file = workspace / "datasets/ro/conceptnet" / SHARD
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def linked(workspace: Path) -> None:
    file = workspace / "datasets/ro/conceptnet" / SHARD
    file.rename(workspace / "elsewhere")
    file.symlink_to(workspace / "elsewhere")


@pytest.mark.parametrize("happens", [built_again, removed, edited, linked])
@pytest.mark.parametrize("most_in_memory", [0, 4_000_000])
def test_changes_between_plan_and_publication_are_not_published(
    happens: Callable[[Path], None],
    most_in_memory: int,
    pushing: Any,
    workspace: Path,
    hub: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan, push, _ = pushing
    monkeypatch.setattr("hub_cards.publish.hub.IN_MEMORY", most_in_memory)
    prepared = plan()
    happens(workspace)
    with pytest.raises((PublishError, PathError), match=r"changed while it was being published|a link"):
        push(prepared)
    stored = store(hub.root, "datasets", "my-org/lrl-ro")
    assert (commits(stored), tags(stored)) == (0, {})
    if happens is built_again:
        push(plan())
        manifest = load_manifest(workspace / "datasets/ro/conceptnet", DATASET)
        assert manifest["sha256"] in git(stored, "show", "v1.0.0:conceptnet/manifest.json")


def test_the_files_on_the_hub_are_compared_with_those_sent(
    pushing: Any, hub: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, push, client = pushing
    prepared = plan()
    api: Any = vars(client)["_api"]
    get_infos, tip = api.get_paths_info, "0" * 40

    def lose(*arguments: Any, **more: Any) -> Any:
        infos = get_infos(*arguments, **more)
        return infos[1:] if len(infos) > 5 and more["revision"] not in ("main", tip) else infos

    with monkeypatch.context() as patch:
        patch.setattr(api, "get_paths_info", lose)
        with pytest.raises(PublishError, match="files on the Hub differ from those sent"):
            push(prepared)
    stored = store(hub.root, "datasets", "my-org/lrl-ro")
    assert tags(stored) == {}
    (published,) = push(plan())
    assert published.version == "1.0.0"
    assert list(tags(stored)) == ["v1.0.0"]


def test_the_second_of_two_pushes_finds_the_work_of_the_first(pushing: Any, hub: Server) -> None:
    plan, push, _ = pushing
    first, second = plan(), plan()
    assert [result.action for result in push(first)] == ["created"]
    push(second)
    stored = store(hub.root, "datasets", "my-org/lrl-ro")
    assert (commits(stored), list(tags(stored))) == (1, ["v1.0.0"])


@pytest.mark.parametrize("name", [SHARD, "README.md", MANIFEST, "extra"])
def test_no_link_is_published(name: str, push: Any, workspace: Path, tmp_path: Path, hub: Server) -> None:
    secret = tmp_path / "id_rsa"
    file = workspace / "datasets/ro/conceptnet" / name
    if file.exists():
        file.rename(secret)
    else:
        secret.write_text("private")
    file.symlink_to(secret)
    result = push(out=workspace)
    if name == "extra":  # no manifest lists it, so it is not published
        assert result.returncode == 0, result.stderr
        tree = git(store(hub.root, "datasets", "my-org/lrl-ro"), "ls-tree", "-r", "--name-only", "main")
        assert "extra" not in tree
        return
    assert (result.returncode, f"{file}: a link" in result.stderr) == (1, True), result.stderr
    assert not list(hub.root.glob("repos/*/*/*"))


@pytest.mark.parametrize("path", ["../x.png", "/x.png", "a/../../x.png"])
def test_a_card_is_written_into_its_own_folder(path: str, workspace: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(workspace / "datasets/ro/conceptnet", tmp_path / "alone/deep/conceptnet")
    entry = file_entry(folder / "README.md", folder)
    outputs = load_manifest(folder, DATASET)["outputs"]
    change(folder, outputs=[*outputs, entry | {"path": path}])
    for _ in range(2):
        with pytest.raises(StorageError, match="not a path inside the folder"):
            render(folder, "my-org", tmp_path / "out")
        with pytest.raises(StorageError, match="not a path inside the folder"):
            read_dataset(folder)
        unseal(folder)
    assert not list(tmp_path.rglob("x.png"))


def test_a_card_does_not_write_through_a_link(workspace: Path, tmp_path: Path) -> None:
    victim, out = tmp_path / "victim", tmp_path / "out"
    victim.mkdir()
    out.mkdir()
    (out / "pictures").symlink_to(victim)
    with pytest.raises(PathError, match="pictures: a link"):
        render(workspace / "datasets/ro/conceptnet", "my-org", out)
    assert not list(victim.iterdir())


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("https://huggingface.co", True),
        ("http://127.0.0.1:8000", True),
        ("http://localhost", True),
        ("http://[::1]:8", True),
        ("http://huggingface.co", False),
        ("http://127.0.0.1.example.org", False),
        ("http://localhost.example.org", False),
        ("http://localhost@example.org", False),
        ("http://192.168.0.1", False),
        ("ftp://x", False),
        ("http://evil.example\\@localhost", False),
        ("https://evil.example\\@localhost", False),
        ("http://user@localhost", False),
        ("http://localhost\t.evil.example", False),
        ("http://[", False),
    ],
)
def test_a_token_is_sent_only_over_https_or_within_this_machine(address: str, private: bool) -> None:
    assert is_private(address) is private
    if private:
        Hub(address, TOKEN)
    else:
        with pytest.raises(UsageError, match="sent over an unencrypted connection"):
            Hub(address, TOKEN)
        Hub(address, TOKEN, allow_http=True)


def test_a_settings_file_cannot_send_a_token_over_http(tmp_path: Path, push: Any) -> None:
    file = tmp_path / "push.toml"
    file.write_text('endpoint = "http://example.org"\n', encoding="utf-8")
    result = push("--config", file, HF_ENDPOINT="")
    assert (result.returncode, "push.toml: endpoint: the token would be sent to" in result.stderr) == (2, True), (
        result.stderr
    )
    file.write_text('endpoint = "https://example.org"\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"endpoint: the token would be sent to .https://example\.org"):
        load_push_config(file, {"lang": "ro"})
    flags = {"lang": "ro", "namespace": "my-org", "endpoint": "https://hub.my-org.example"}
    assert load_push_config(file, flags).endpoint == "https://hub.my-org.example"
    file.write_text('endpoint = "http://example.org"\nallow-http = true\n', encoding="utf-8")
    with pytest.raises(LrlError, match="a settings file cannot set this"):
        load_push_config(file, {"lang": "ro", "endpoint": "http://example.org"})


def test_a_settings_file_may_give_one_value_instead_of_a_list_and_a_list_of_languages(tmp_path: Path) -> None:
    file = tmp_path / "push.toml"
    file.write_text('lang = ["mt", "ro"]\nkind = "dataset"\nsource = "glotcc"\nmethod = "lora"\n', "utf-8")
    config = load_push_config(file, {})
    assert (config.lang, config.kind, config.source, config.method) == ("mt,ro", ["dataset"], ["glotcc"], ["lora"])
