"""Workspaces and repositories in unexpected states: they are reported with a message, and nothing is lost."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from clients import TOKEN, point_at
from huggingface_hub import HfApi, constants
from manifests import change, unseal
from stores import commits, git, store, tags
from test_plan import repository as some_repository

from hub_cards.api import push as publish
from hub_cards.api import read_settings
from hub_cards.artifacts import read_dataset
from hub_cards.cards.card import Card, read
from hub_cards.cards.dataset_card import dataset_card
from hub_cards.cards.lint import lint
from hub_cards.cards.merge import merge
from hub_cards.config import PushConfig
from hub_cards.local_hub import Hub
from hub_cards.publish.hub import Hub as PublishingHub
from hub_cards.publish.plan import make_plan
from hub_cards.publish.publish import _converge
from hub_cards.publish.retry import Patience, describe, is_of_hub
from hub_cards.publish.state import RemoteFile, RemoteRepository
from lrldata.errors import PublishError, UsageError
from lrldata.manifest import DATASET, DamagedError, load_manifest

API = 'from huggingface_hub import HfApi\napi = HfApi(token="hf_test_write")\n'
KEPT = {"rows": 346, "bytes": 9825}
ALL_KEPT = {"in": KEPT, "kept": KEPT, "dropped": {}, "unsaid_relations": {}}
ID = '"my-org/lrl-ro", repo_type="dataset"'


@pytest.fixture
def workspace(sample_workspace: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sample_workspace, tmp_path / "ws"))


def put(fresh: Any, path: str, content: bytes) -> None:
    fresh(f"{API}api.upload_file(path_or_fileobj={content!r}, path_in_repo={path!r}, repo_id={ID})")


def test_a_repository_that_exists_but_cannot_be_seen_causes_no_endless_loop() -> None:
    class Blind:
        endpoint = "http://x"

        def read(self, *_: object) -> RemoteRepository:
            return RemoteRepository()

        def create(self, *_: object, private: bool) -> None:
            assert not private

    hub: Any = Blind()
    step = _converge(make_plan(some_repository(), RemoteRepository()), PushConfig(lang="ro"), hub)
    assert step() is None
    with pytest.raises(PublishError, match="cannot see it"):
        step()


def test_files_that_somebody_else_uploaded_are_not_overwritten(hub: Hub, push: Any, fresh: Any) -> None:
    fresh(f"{API}api.create_repo({ID})")
    put(fresh, "conceptnet/manifest.json", b"{}")
    put(fresh, "pictures/conceptnet-ledger.png", b"a picture")
    before = commits(store(hub.root, "datasets", "my-org/lrl-ro"))
    result = push()
    assert result.returncode == 1
    added = "conceptnet/manifest.json (added), pictures/conceptnet-ledger.png (added)"
    assert f"data on the Hub is not from lrl: {added}" in result.stderr
    assert commits(store(hub.root, "datasets", "my-org/lrl-ro")) == before


def test_a_configuration_whose_files_are_gone_is_removed_from_the_card(
    hub: Hub, push: Any, fresh: Any, workspace: Path
) -> None:
    assert push(out=workspace).returncode == 0
    shutil.copytree(workspace / "datasets" / "ro" / "conceptnet", workspace / "datasets" / "ro" / "glotcc")
    path = workspace / "datasets" / "ro" / "glotcc" / "manifest.json"
    change(path.parent, source="glotcc", ledger=ALL_KEPT)
    assert push(out=workspace).returncode == 0
    repository = store(hub.root, "datasets", "my-org/lrl-ro")
    assert "glotcc/data/train" in git(repository, "show", "v1.1.0:README.md")
    shutil.rmtree(path.parent)
    fresh(f'{API}api.delete_folder("glotcc", {ID})')
    assert push(out=workspace).returncode == 0
    assert "glotcc" not in git(repository, "show", "v1.2.0:README.md")


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("README.md", b"---\nlanguage: ro\n---\n<!-- lrl:begin use -->\nno end", "README.md on the Hub"),
        ("lrl.json", b"\xff\xfe", "not UTF-8"),
        ("lrl.json", b"garbage", "lrl.json on the Hub is damaged"),
        ("lrl.json", b'{"format": 1, "version": "1.2", "parts": []}', "lrl.json on the Hub is damaged"),
        ("lrl.json", b'{"format": 9}', "newer version"),
        (".gitignore", b"*.json\n", ".gitignore"),
    ],
)
def test_a_file_on_the_hub_that_prevents_publishing_is_named(
    path: str, content: bytes, words: str, push: Any, fresh: Any
) -> None:
    assert push().returncode == 0
    put(fresh, path, content)
    result = push()
    assert result.returncode == 1
    assert words in result.stderr
    assert "bug" not in result.stderr


def test_a_deleted_record_is_read_from_its_tag(hub: Hub, push: Any, fresh: Any) -> None:
    assert push().returncode == 0
    fresh(f'{API}api.delete_file("lrl.json", {ID[:-19]}repo_type="dataset")')
    assert push().returncode == 0
    repository = store(hub.root, "datasets", "my-org/lrl-ro")
    assert sorted(tags(repository)) == ["v1.0.0", "v1.0.1"]
    assert git(repository, "diff", "--name-only", "v1.0.0", "v1.0.1").split() == ["README.md", "lrl.json"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda _: "{garbage", "not JSON"),
        (lambda text: text.replace('"ledger"', '"leger"', 1), "ledger: Field required"),
        (lambda text: text.replace('"kept": {', '"kepd": {', 1), "ledger.kept: Field required"),
        (lambda text: text.replace('"train": 270', '"train": 370', 1), "rows: their sum differs from the ledger"),
        (lambda text: text.replace('"path": "data/test', '"path": "/data/test', 1), "not a path inside the folder"),
        (lambda text: text.replace('"path": "data/test', '"path": "data/../../test', 1), "not a path inside the"),
        (lambda text: text.replace('"code": "ro"', '"code": "mt"', 1), "belongs elsewhere"),
    ],
)
def test_an_edited_manifest_is_named(damage: Any, words: str, push: Any, workspace: Path) -> None:
    path = workspace / "datasets" / "ro" / "conceptnet" / "manifest.json"
    original = path.read_text("utf-8")
    path.write_text(damage(original), encoding="utf-8")
    with pytest.raises(DamagedError):
        load_manifest(path.parent, DATASET)
    if words != "not JSON":
        unseal(path.parent)  # as in manifests from before there were hashes; the schema finds the error
    result = push(out=workspace)
    assert result.returncode == 1
    assert words in result.stderr
    assert str(path.parent.parent) in result.stderr
    assert "bug" not in result.stderr


def test_a_hub_whose_address_does_not_resolve_is_reported() -> None:
    error = ConnectionError("[Errno -2] Name or service not known")
    error.__cause__ = socket.gaierror(-2, "Name or service not known")
    assert describe(error) == "the Hub's address does not resolve. Check the network connection."


def test_a_plan_waits_only_seconds_for_a_hub_that_does_not_respond() -> None:
    def refused() -> None:
        raise ConnectionRefusedError

    with pytest.raises(PublishError, match=r"no readable response.*Nothing was sent\. Check --endpoint"):
        Patience(300.0, unreached=0.1).retry_until_done("the token", refused)


def test_the_last_attempt_does_not_announce_another_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused() -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("hub_cards.publish.retry.time.sleep", lambda _: None)
    with pytest.raises(PublishError, match=r"Gave up after 8 s of waiting\. Published changes are kept"):
        Patience(10.0).retry_until_done("the token", refused)
    assert re.findall(r"Trying again in (\d+) s", capsys.readouterr().err) == ["4"]


@pytest.mark.parametrize("fault", [KeyError("kept"), PermissionError(13, "Permission denied", "data.parquet")])
def test_a_local_error_is_not_blamed_on_the_hub(fault: Exception) -> None:
    def plan() -> None:
        raise fault

    with pytest.raises(type(fault)):
        Patience().retry_until_done("my-org/lrl-ro", plan)


def test_an_account_without_a_name_is_reported_as_the_hub_s_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi.whoami", lambda _: {"auth": {}})
    with pytest.raises(PublishError, match="no readable response"):
        Patience().retry_until_done("the token", PublishingHub("http://127.0.0.1:9", "hf_test_write").account)


def test_a_process_that_has_already_loaded_the_hub_s_client_keeps_its_settings(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, workspace: Path
) -> None:
    """As in a notebook after `import datasets`: the client has already read its variables, and uploads use Xet."""
    point_at(hub, monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    monkeypatch.setenv("HF_TOKEN", "hf_test_write")
    before = {name: value for name, value in os.environ.items() if name.startswith("HF_")}
    pushed = publish("ro", namespace="my-org", kind=["dataset"], out=workspace, endpoint=hub.endpoint, quiet=True)
    assert pushed.repositories[0].action == "created"
    assert constants.HF_HUB_DISABLE_XET is False
    assert before == {name: value for name, value in os.environ.items() if name.startswith("HF_")}


def test_an_endpoint_applies_to_one_call_only(hub: Hub, push: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = "http://127.0.0.1:9"
    assert push("--endpoint", hub.endpoint, HF_ENDPOINT=nowhere).returncode == 0, "no request is sent anywhere else"
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    settings = read_settings(None, {"lang": "ro", "namespace": "my-org", "endpoint": hub.endpoint})
    assert settings.endpoint == hub.endpoint
    assert "HF_ENDPOINT" not in os.environ
    assert read_settings(None, {"lang": "ro", "namespace": "my-org"}).endpoint is None


def test_an_endpoint_in_python_applies_to_one_call_only(hub: Hub, workspace: Path) -> None:
    call = f"hub_cards.push('ro', namespace='my-org', out={str(workspace)!r}, endpoint={hub.endpoint!r}, quiet=True)"
    for first in ("", "from huggingface_hub import constants; "):  # huggingface_hub reads its variables on import
        last = "from huggingface_hub import constants; print(constants.ENDPOINT)"
        script = f"{first}import hub_cards; {call}; {last}"
        environment = {key: value for key, value in os.environ.items() if key != "HF_ENDPOINT"} | {"HF_TOKEN": TOKEN}
        result = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout.splitlines()[-1] == "https://huggingface.co"


def test_an_endpoint_may_end_in_a_slash_and_a_wrong_one_fails_with_a_message(hub: Hub, push: Any) -> None:
    assert push("--endpoint", hub.endpoint + "/").returncode == 0
    assert push("--endpoint", hub.endpoint.replace("http:", "https:")).stderr.startswith(
        "error: the token: the Hub cannot"
    )
    offline = push(HF_HUB_OFFLINE="1")
    assert offline.returncode == 1
    assert "HF_HUB_OFFLINE" in offline.stderr


def test_a_user_s_own_language_can_be_published_with_only_the_workspace(lrl: Any, lrldata: Any, tmp_path: Path) -> None:
    languages = tmp_path / "own.toml"
    languages.write_text('[tly]\nname = "Talysh"\niso639_3 = "tly"\nscripts = ["Latn"]\n', "utf-8")
    text = tmp_path / "a.txt"
    text.write_text("\n".join(f"Az tolışi zıvonədə qəp jəydəm, {number} ruj çok be." for number in range(9)), "utf-8")
    built = lrldata(
        "build", "--lang", "tly", "--source", "web", "--input", text, "--documents", "lines", "--lid", "none",
        "--workers", 1, "--out", tmp_path / "ws", "--cache", tmp_path / "cache", LRL_LANGUAGES=str(languages),
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    for selection in (["--all"], ["--lang", "tly"]):
        pushed = lrl(
            "push-hub",
            *selection,
            "--namespace",
            "my-org",
            "--license",
            "cc0-1.0",
            "--out",
            tmp_path / "ws",
            "--dry-run",
        )
        assert pushed.returncode == 0, pushed.stderr
        assert "my-org/lrl-tly" in pushed.stdout


def test_a_dry_run_reports_a_conflict(push: Any, fresh: Any, workspace: Path) -> None:
    assert push(out=workspace).returncode == 0
    put(fresh, "README.md", b"---\nlicense: mit\n---\n# Mine\n")
    path = workspace / "datasets" / "ro" / "conceptnet" / "manifest.json"
    path.write_text(path.read_text("utf-8").replace('"rows": 441', '"rows": 441 '), encoding="utf-8")
    result = push("--dry-run", "--version", "3.0.0", out=workspace)
    assert result.returncode == 1
    assert "--card theirs" in result.stderr


def test_samples_may_contain_anything(sample_workspace: Path) -> None:
    dataset = read_dataset(sample_workspace / "datasets" / "ro" / "conceptnet")
    odd = ["nan is None. TODO", "See [ghid](x) {% y %} {{ z }}", "<!-- lrl:end samples -->", "```", "<script>", "a|b"]
    part = {"manifest": dataset.manifest, "samples": odd, "licence": {"id": "cc0-1.0"}}
    card = dataset_card({"conceptnet": part}, "my-org/lrl-ro", "1.0.0")
    assert lint(card.text, {"pictures/conceptnet-ledger.png"}) == []
    assert set(read(card.text).sections) == set(card.sections)


OURS = Card({"language": ["ro"], "license": "cc0-1.0"}, {"about": "# T\n\nOne."})
CHANGED = Card({"language": ["ro"], "license": "cc-by-4.0"}, {"about": "# T\n\nTwo."})


def test_a_person_s_comments_and_layout_stay_if_the_key_stays() -> None:
    text = OURS.text.replace("language:\n- ro\n", "# do not change this\nlanguage: [ro]  # by us\n")
    merged = merge(CHANGED, text, OURS.record()).text
    assert "# do not change this\nlanguage: [ro]  # by us\nlicense: cc-by-4.0\n---" in merged


def test_a_byte_order_mark_and_windows_line_endings_hide_nothing() -> None:
    text = "\ufeff" + OURS.text.replace("\n", "\r\n")
    assert read(text).metadata == OURS.metadata
    assert read(merge(CHANGED, text, OURS.record()).text).metadata == CHANGED.metadata


def test_a_version_whose_tag_was_never_set_is_tagged_before_the_next() -> None:
    first = make_plan(some_repository(), RemoteRepository("tip"))
    files = {file.path: RemoteFile(file.size, None, file.blob) for file in first.files}
    readme = next(bytes(file.content).decode() for file in first.files if file.path == "README.md")
    remote = RemoteRepository("tip", False, files, frozenset(), readme, first.record)
    plan = make_plan(some_repository(data="e"), remote)
    assert (plan.missing_tag, plan.version, plan.action) == ("1.0.0", "1.1.0", "update")
    with pytest.raises(UsageError, match="is too low"):
        make_plan(some_repository(data="e"), remote, "0.9.0")


def test_a_record_contains_only_json_values() -> None:
    plan = make_plan(some_repository(), RemoteRepository())
    assert json.loads(json.dumps(plan.record)) == plan.record


def test_a_full_disk_and_refusals_of_the_client_are_not_blamed_on_the_hub() -> None:
    with pytest.raises(OSError, match="No space") as caught:
        exec("raise OSError(28, 'No space left on device')", {"__name__": "huggingface_hub.file_download"})  # noqa: S102
    assert not is_of_hub(caught.value)
    with pytest.raises(ValueError, match="Invalid repo type") as refused:
        HfApi("http://127.0.0.1:9", token=False).create_repo("my-org/x", repo_type="wrong")
    assert "Invalid repo type" in describe(refused.value)
    with pytest.raises(ValueError) as foreign:  # noqa: PT011 -- of a library
        json.loads("<html>")
    assert "no readable response" in describe(foreign.value)
