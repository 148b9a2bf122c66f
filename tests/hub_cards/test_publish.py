"""Publish a dataset to a Hub and load it from there, both with the real clients in processes of their own."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from clients import TOKEN
from huggingface_hub import DatasetCard, HfApi, constants
from manifests import change
from stores import commits, git, store, tags

from hub_cards.cards.dataset_card import dataset_card
from hub_cards.cards.licenses import License
from hub_cards.cards.lint import lint
from hub_cards.config import PushConfig
from hub_cards.local_hub import Hub
from hub_cards.publish.changes import changes_of
from hub_cards.publish.hub import Collection
from hub_cards.publish.local import repository_of
from lrldata.card import folder_card
from lrldata.dataset import write_dataset
from lrldata.language import find
from lrldata.manifest import MANIFEST, fingerprint, read_manifest
from lrltrain.grid.config import PUSHED

LOAD = """
import json
from datasets import get_dataset_config_names, load_dataset
configs = {configs}
got = {{}}
for config, tag in configs:
    parts = load_dataset("my-org/lrl-ro", config, revision=tag)
    got[f"{{config}} {{tag}}"] = {{split: (rows.num_rows, rows[0]["text"]) for split, rows in parts.items()}}
got["configs"] = get_dataset_config_names("my-org/lrl-ro")
print(json.dumps(got))
"""


def load(fresh: Callable[..., str], *configs: tuple[str | None, str]) -> dict[str, Any]:
    return dict(json.loads(fresh(LOAD.format(configs=repr(configs))).splitlines()[-1]))


@pytest.fixture
def workspace(sample_workspace: Path, tmp_path: Path) -> Path:
    """Return a copy of the sample workspace, which the test may change."""
    return Path(shutil.copytree(sample_workspace, tmp_path / "ws"))


def write(workspace: Path, source: str, texts: list[str]) -> Path:
    """Write a dataset folder of another source, as a build would."""
    language = find("ro")
    folder = workspace / "datasets" / "ro" / source
    splits = {
        split: pl.DataFrame({"text": texts[part::3], "url": [f"https://x.org/{part}"] * len(texts[part::3])})
        for part, split in enumerate(("train", "validation", "test"))
    }
    count = {"rows": len(texts), "bytes": sum(len(text.encode()) for text in texts)}
    provenance = {
        "source": source,
        "recipe": fingerprint(texts),
        "language": language.model_dump(exclude_none=True, exclude={"paper"}, mode="json"),
        "settings": {"max_bytes": 10**9},
        "inputs": [{"name": "ron-Latn.parquet", "bytes": 1, "sha256": "0" * 64, "rejected_lines": 0}],
        "sample": False,
        "made_with": {"lrl": "0.1.0"},
        "ledger": {"in": count, "kept": count, "dropped": {}},
    }
    write_dataset(folder, splits, lambda manifest: folder_card(manifest, language), provenance)
    return folder


def test_a_version_is_withdrawn_as_the_guide_says(
    hub: Hub, push: Any, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(workspace, "web", [f"propoziția {number}" for number in range(30)])
    assert push("--license", "cc-by-4.0", out=workspace).returncode == 0
    shutil.rmtree(folder)
    write(workspace, "web", [f"propoziția {number}" for number in range(1, 30)])
    assert push(out=workspace).returncode == 0
    guide = (Path(__file__).parents[2] / "docs" / "how-to" / "publish.md").read_text("utf-8")
    snippet = guide.split("## Withdraw text")[1].split("```python\n")[1].split("```")[0]
    api = HfApi(hub.endpoint, token=TOKEN)
    newest = api.list_repo_commits("my-org/lrl-ro", repo_type="dataset")[0]
    assert (newest.title, newest.message) == ("dataset v1.1.0", "web: rows 30 -> 29")
    before = {tag.name: tag.target_commit for tag in api.list_repo_refs("my-org/lrl-ro", repo_type="dataset").tags}
    assert set(before) == {"v1.0.0", "v1.1.0"}
    api.create_branch("my-org/lrl-ro", branch="draft", repo_type="dataset")
    code = snippet.replace("my-org/lrl-mt", "my-org/lrl-ro").replace("HfApi()", "hub")
    exec(code.replace("from huggingface_hub import HfApi", ""), {"hub": api})  # noqa: S102 -- our own guide
    assert capsys.readouterr().out == "['refs/heads/draft']\n"
    (tag,) = api.list_repo_refs("my-org/lrl-ro", repo_type="dataset").tags
    assert (tag.name, len(api.list_repo_commits("my-org/lrl-ro", repo_type="dataset"))) == ("v1.1.0", 1)
    assert tag.target_commit not in before.values()
    again = push(out=workspace)
    assert (again.returncode, "Unchanged" in again.stdout) == (0, True), again.stdout + again.stderr
    assert [ref.name for ref in api.list_repo_refs("my-org/lrl-ro", repo_type="dataset").tags] == ["v1.1.0"]


def test_text_that_somebody_withdrew_on_the_hub_is_not_published_again_by_the_next_push(
    hub: Hub, push: Any, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(workspace, "web", [f"propoziția {number}" for number in range(30)])
    options = {"out": workspace}
    assert push("--license", "cc-by-4.0", **options).returncode == 0
    api = HfApi(hub.endpoint, token=TOKEN)
    with monkeypatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", hub.endpoint)  # with which huggingface_hub 0.36 reads the answer
        api.delete_folder("web", "my-org/lrl-ro", repo_type="dataset", commit_message="Takedown request")
    refused = push(**options)
    assert (refused.returncode, "(deleted)" in refused.stderr, "Traceback" in refused.stderr) == (1, True, False)
    assert api.list_repo_commits("my-org/lrl-ro", repo_type="dataset")[0].title == "Takedown request"
    assert push("--source", "conceptnet", **options).returncode == 0, "the other configuration can be published"
    assert "web" not in json.loads(git(store(hub.root, "datasets", "my-org/lrl-ro"), "show", "main:lrl.json"))["parts"]
    assert push("--replace-data", "--license", "cc-by-4.0", **options).returncode == 0
    assert api.file_exists("my-org/lrl-ro", "web/manifest.json", repo_type="dataset")
    assert push(**options).stdout.count("unchanged") == 1


def test_a_new_version_lists_its_differences(workspace: Path) -> None:
    folder = write(workspace, "web", ["unu"] * 9)
    old = json.loads((folder / MANIFEST).read_text("utf-8"))
    new = old | {
        "settings": old["settings"] | {"unit": "sentences"},
        "inputs": [old["inputs"][0] | {"sha256": "1" * 64}],
        "columns": old["columns"] | {"doc": "String"},
        "made_with": {"lrl": "0.3.0"},
    }
    changes = changes_of(
        {"web": {"manifest": old}, "gone": {"manifest": old}}, {"web": {"manifest": new}, "b": {"manifest": old}}
    )
    assert changes == [
        "b: added, 9 rows",
        "gone: removed",
        "web: columns text, url -> text, url, doc; unit none -> sentences; from other input files; lrl 0.1.0 -> 0.3.0",
    ]
    assert changes_of({"web": {"manifest": old}}, {"web": {"manifest": old}}) == []
    card = [entry | {"sha256": "2" * 64} if entry["path"] == "README.md" else entry for entry in old["outputs"]]
    assert card != old["outputs"]
    assert changes_of({"web": {"manifest": old}}, {"web": {"manifest": old | {"outputs": card}}}) == []
    rows = [entry | {"sha256": "2" * 64} for entry in old["outputs"]]
    changes = changes_of({"web": {"manifest": old}}, {"web": {"manifest": old | {"outputs": rows}}})
    assert changes == ["web: 9 rows, some of them different"]
    assert changes_of({"adapter": {"results": []}}, {"adapter": {"results": [1]}}) == []


def test_a_card_says_what_was_counted_and_mentions_private_use_characters(workspace: Path) -> None:
    folder = write(workspace, "web", ["unu"] * 9)
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    for unit, counted, rows in (
        ("lines", "9 lines were read", "9 lines from documents (1 file), cleaned."),
        ("sentences", "9 sentences were read", "9 sentences from documents (1 file), cleaned."),
        ("documents", "9 lines were read", "9 documents (1 file), cleaned line by line."),
    ):
        change(folder, settings=manifest["settings"] | {"unit": unit}, private_use=3 if unit == "lines" else None)
        repository, _ = repository_of(folder, "my-org")
        text = repository.card({name: part.facts for name, part in repository.parts.items()}, "1.0.0").text
        assert counted in text
        assert rows in text
        assert ("- 3 rows of `web` contain characters from a Private Use Area of Unicode" in text) is (unit == "lines")


def test_a_dataset_belongs_to_its_workspace_whatever_path_leads_to_it(workspace: Path) -> None:
    folder = write(workspace, "web", ["unu"] * 9)
    other = folder.parent.rename(folder.parent.with_name("RO"))  # the name by which macOS also finds it
    folder.parent.symlink_to(other)
    repository, _ = repository_of(other / "web", "my-org")
    assert sorted(repository.parts) == ["conceptnet", "web"]


def test_two_configurations_are_published_and_loaded_by_tag(
    hub: Hub, push: Any, fresh: Any, written: Callable[[], int], workspace: Path
) -> None:
    web = [f"O propoziție de pe web, numărul {number}." for number in range(9)]
    write(workspace, "glotcc", web)
    result = push(out=workspace)
    assert result.returncode == 0, result.stderr
    repository = store(hub.root, "datasets", "my-org/lrl-ro")
    assert (commits(repository), list(tags(repository))) == (1, ["v1.0.0"])
    got = load(fresh, ("conceptnet", "v1.0.0"), ("glotcc", "v1.0.0"))
    assert got["configs"] == ["conceptnet", "glotcc"]
    assert {split: count for split, (count, _) in got["conceptnet v1.0.0"].items()} == {
        "train": 270, "validation": 41, "test": 35,
    }  # fmt: skip
    assert got["glotcc v1.0.0"]["train"] == [3, web[0]]

    before = written()
    again = push(out=workspace)
    assert "Unchanged" in again.stdout
    assert written() == before, "a second run writes nothing"

    write(workspace, "glotcc", [f"{text} Și alta." for text in web])
    assert push(out=workspace).returncode == 0
    assert (commits(repository), sorted(tags(repository))) == (2, ["v1.0.0", "v1.1.0"])
    got = load(fresh, ("glotcc", "v1.0.0"), ("glotcc", "v1.1.0"), ("conceptnet", "v1.1.0"))
    assert got["glotcc v1.0.0"]["train"][1] == web[0]
    assert got["glotcc v1.1.0"]["train"][1] == f"{web[0]} Și alta."
    assert got["conceptnet v1.1.0"]["train"][0] == 270


def test_a_source_that_is_not_in_the_workspace_stays_on_the_hub_and_in_the_card(
    hub: Hub, push: Any, fresh: Any, workspace: Path, tmp_path: Path
) -> None:
    write(tmp_path / "other", "glotcc", ["unu", "doi", "trei", "patru"])
    assert push(out=workspace).returncode == 0
    assert push(out=tmp_path / "other").returncode == 0
    got = load(fresh, ("conceptnet", "v1.1.0"), ("glotcc", "v1.1.0"))
    assert got["conceptnet v1.1.0"]["train"][0] == 270
    card = git(store(hub.root, "datasets", "my-org/lrl-ro"), "show", "main:README.md")
    assert "346 facts" in card
    assert "4 cleaned lines of web text" in card
    metadata = DatasetCard(card).data.to_dict()
    assert metadata["license"] == ["cc0-1.0", "other"]
    assert [entry["config_name"] for entry in metadata["configs"]] == ["conceptnet", "glotcc"]
    assert push(out=workspace).stdout.count("unchanged") == 1


def test_a_push_does_what_its_plan_says(hub: Hub, push: Any, written: Callable[[], int], workspace: Path) -> None:
    (planned,) = json.loads(push("--dry-run", "--json", out=workspace).stdout)["plan"]
    assert written() == 0
    assert (planned["action"], planned["version"], planned["previous_version"]) == ("create", "1.0.0", None)
    assert json.loads(push("--json", out=workspace).stdout)["repositories"][0]["action"] == "created"
    repository = store(hub.root, "datasets", "my-org/lrl-ro")
    assert {entry["path"] for entry in planned["files"]} | {".gitattributes"} == set(
        git(repository, "ls-tree", "-r", "--name-only", "v1.0.0").split()
    )
    rebuild(workspace, "--templates", "native")
    (planned,) = json.loads(push("--dry-run", "--json", out=workspace).stdout)["plan"]
    shown = push("--dry-run", out=workspace).stdout
    assert (planned["action"], planned["version"], planned["previous_version"]) == ("update", "1.1.0", "1.0.0")
    assert "+- " in planned["card"]
    assert "1.0.0 → 1.1.0" in shown
    assert push(out=workspace).returncode == 0
    changed = git(repository, "diff", "--name-status", "v1.0.0", "v1.1.0").split("\n")[:-1]
    assert {line.split("\t")[1]: line[0] for line in changed} == {
        entry["path"]: entry["action"][0].upper().replace("C", "M").replace("R", "D")
        for entry in planned["files"]
        if entry["action"] != "unchanged"
    }


def rebuild(workspace: Path, *options: str) -> None:
    from lrldata.conceptnet.build import build  # noqa: PLC0415 - its names would hide the fixture's
    from lrldata.conceptnet.config import load_config  # noqa: PLC0415
    from lrldata.progress import Progress  # noqa: PLC0415

    flags = dict(zip((option.lstrip("-") for option in options[::2]), options[1::2], strict=True))
    build(
        load_config(None, {"lang": "ro", "sample": True, "out": workspace, "cache": workspace / "cache"} | flags),
        Progress(quiet=True),
    )


def edit(fresh: Any, old: str, new: str) -> None:
    """Edit a card on the Hub, as a person would."""
    fresh(f"""
from huggingface_hub import HfApi
api = HfApi(token="hf_test_write")
path = api.hf_hub_download("my-org/lrl-ro", "README.md", repo_type="dataset")
text = open(path, encoding="utf-8").read()
assert {old!r} in text
api.upload_file(path_or_fileobj=text.replace({old!r}, {new!r}).encode(), path_in_repo="README.md",
                repo_id="my-org/lrl-ro", repo_type="dataset")
""")


def test_text_that_a_person_wrote_into_the_card_survives(hub: Hub, push: Any, fresh: Any, workspace: Path) -> None:
    assert push(out=workspace).returncode == 0
    edit(fresh, "## Licence", "## Licence\n\nSpeakers have read a hundred rows.")
    edit(fresh, "<!-- lrl:begin use -->", "Thanks to all who helped.\n\n<!-- lrl:begin use -->")
    edit(fresh, "tags:", "thumbnail: x.png\ntags:")
    assert "Unchanged" in push(out=workspace).stdout
    rebuild(workspace, "--templates", "native")
    assert push(out=workspace).returncode == 0
    card = git(store(hub.root, "datasets", "my-org/lrl-ro"), "show", "v1.1.0:README.md")
    for words in ("Speakers have read", "Thanks to all", "thumbnail: x.png", 'revision="v1.1.0"', "native/ro"):
        assert words in card


def test_a_conflict_stops_the_push_and_shows_the_difference(
    hub: Hub, push: Any, fresh: Any, written: Callable[[], int], workspace: Path
) -> None:
    assert push(out=workspace).returncode == 0
    edit(fresh, "## Samples", "## Some samples")
    rebuild(workspace, "--templates", "native")
    before = written()
    stopped = push(out=workspace)
    assert stopped.returncode == 1
    assert "-## Some samples" in stopped.stderr
    assert "+## Samples" in stopped.stderr
    assert written() == before
    assert push("--card", "theirs", out=workspace).returncode == 0
    repository = store(hub.root, "datasets", "my-org/lrl-ro")
    assert "## Some samples" in git(repository, "show", "main:README.md")
    rebuild(workspace, "--templates", "paper")
    assert push("--card", "ours", out=workspace).returncode == 0
    assert "## Some samples" not in git(repository, "show", "main:README.md")


def test_a_private_repository_is_private_and_so_is_its_collection(push: Any, fresh: Any) -> None:
    assert push("--private").returncode == 0
    script = """
from huggingface_hub import HfApi
api = HfApi(token={token!r})
collections = [collection.private for collection in api.list_collections(owner="my-org")]
print(api.repo_exists("my-org/lrl-ro", repo_type="dataset"), collections)
"""
    assert fresh(script.format(token="hf_test_write")).strip() == "True [True]"  # noqa: S106
    assert fresh(script.format(token=False)).split()[0] == "False"


def test_new_repositories_are_private_where_an_organisation_makes_them_so(
    lrl: Any, sample_workspace: Path, fresh: Any
) -> None:
    command = ("push-hub", "--lang", "ro", "--namespace", "closed-org", "--out", sample_workspace, "--json")
    result = json.loads(lrl(*command).stdout)
    assert [(item["id"], item["private"]) for item in result["repositories"]] == [("closed-org/lrl-ro", True)]
    script = """
from huggingface_hub import HfApi
api = HfApi(token={token!r})
print([collection.private for collection in api.list_collections(owner="closed-org")])
"""
    assert fresh(script.format(token="hf_test_write")).strip() == "[True]"  # noqa: S106
    assert fresh(script.format(token=False)).strip() == "[]"


def test_a_publication_without_its_collection_is_reported_as_such(hub: Hub, push: Any) -> None:
    hub.faults({"method": "POST", "path": "/api/collections", "do": "status", "status": 403, "times": 0})
    result = push("--json")
    assert result.returncode == 1
    assert "everything is published, but the collection 'Romanian: text and language adapters'" in result.stderr
    done = json.loads(result.stdout)
    assert [item["action"] for item in done["repositories"]] == ["created"]
    assert (done["collections"], len(done["failures"])) == ([], 1)
    hub.reset_faults()
    assert push("--json").returncode == 0


def test_the_title_of_a_collection_is_as_short_as_the_hub_requires() -> None:
    assert Collection.of("Romanian", ()).title == "Romanian: text and language adapters"
    assert len(Collection.of("Northern Example (Kirmanjki varieties)", ()).title) <= 59


def test_private_is_refused_if_the_repository_is_already_public(push: Any) -> None:
    assert push().returncode == 0
    result = push("--private")
    assert result.returncode == 1
    assert "already public" in result.stderr


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("hf_test_read", "tester (read) cannot write to my-org"),
        ("hf_test_stranger", "stranger (write) cannot write to my-org. It can write to: stranger"),
        ("hf_test_unknown", "401"),
        ("", "hf auth login"),
    ],
)
def test_the_token_is_checked_before_anything_else(
    token: str, words: str, push: Any, written: Callable[[], int], hub: Hub
) -> None:
    result = push(token=token)
    assert result.returncode == 1
    assert words in result.stderr
    assert "hf_test" not in result.stderr
    assert written() == 0
    assert {entry["path"] for entry in hub.journal()} <= {"/api/whoami-v2"}


def test_a_fine_grained_token_publishes_where_it_may(push: Any) -> None:
    assert push(token="hf_test_fine").returncode == 0  # noqa: S106
    result = push("--no-collection", token="hf_test_one")  # noqa: S106 -- a token for this repository alone
    assert result.returncode == 0, result.stderr


def test_a_plan_needs_no_token(push: Any) -> None:
    result = push("--dry-run", token="")
    assert result.returncode == 0, result.stderr
    assert "my-org/lrl-ro" in result.stdout


def test_a_licence_that_applies_to_nothing_is_noted(push: Any) -> None:
    result = push("--dry-run", "--license", "mit")
    assert result.returncode == 0, result.stderr
    assert "--license mit is not used: the sources determine" in result.stderr
    of_the_source = push("--dry-run", "--license", "cc0-1.0")
    assert of_the_source.returncode == 0, of_the_source.stderr
    assert "is not used" not in of_the_source.stderr


def test_a_source_without_a_licence_is_refused_unless_the_user_names_one(
    hub: Hub, push: Any, written: Callable[[], int], workspace: Path
) -> None:
    write(workspace, "oscar", ["unu", "doi", "trei"])
    result = push(out=workspace)
    assert result.returncode == 2
    assert "licence of its text is unknown" in result.stderr
    assert written() == 0
    assert push("--license", "cc-by-sa", out=workspace).returncode == 2
    assert push("--license", "other", out=workspace).returncode == 2
    options = ("--license", "other", "--license-name", "ours", "--license-link", "https://x.org/licence")
    assert push(*options, out=workspace).returncode == 0
    card = DatasetCard(git(store(hub.root, "datasets", "my-org/lrl-ro"), "show", "main:README.md"))
    assert (card.data.license, card.data.license_name) == (["cc0-1.0", "other"], "ours"), "a known licence stays"
    again = push(out=workspace)
    assert "Unchanged" in again.stdout, "the published licence applies if none is named"
    record = json.loads(git(store(hub.root, "datasets", "my-org/lrl-ro"), "show", "main:lrl.json"))
    facts = {name: part["facts"] for name, part in record["parts"].items()}
    terms = License("other", "theirs", "https://y.org")
    metadata = dataset_card(
        facts | {"glotcc": facts["oscar"] | {"licence": asdict(terms)}}, "my-org/lrl-ro", "1.0.0"
    ).metadata
    assert (metadata["license_name"], metadata["license_link"]) == (
        "several-licences",
        "https://huggingface.co/datasets/my-org/lrl-ro#licence",
    )
    write(workspace, "oscar", ["patru", "cinci", "șase"])
    other = push("--dry-run", out=workspace)
    assert other.returncode == 0
    assert "note: my-org/lrl-ro: oscar was rebuilt and stays under other" in other.stderr
    changed = push("--license", "mit", "--dry-run", out=workspace)
    assert "note: my-org/lrl-ro: the licence of oscar is now mit; it was other." in changed.stderr


def test_a_damaged_or_unfinished_folder_is_not_published(
    push: Any, workspace: Path, written: Callable[[], int]
) -> None:
    folder = workspace / "datasets" / "ro"
    (folder / "glotcc" / "data").mkdir(parents=True)
    result = push(out=workspace)
    assert result.returncode == 0
    assert "is not finished" in result.stderr
    before = written()
    shard = folder / "conceptnet" / "data" / "test-00000-of-00001.parquet"
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    result = push(out=workspace)
    assert (result.returncode, written()) == (1, before)
    assert "does not match the manifest" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--lang", "ro"], "--namespace"),
        (["--lang", "ro", "--all", "--namespace", "my-org"], "--all"),
        (["--lang", "bg", "--namespace", "my-org"], "no datasets or adapters in bg. Available: ro."),
        (["--lang", "qqq", "--namespace", "my-org"], "Unknown language"),
        (["--lang", "ro", "--namespace", "my/org"], "--namespace"),
        (["--lang", "ro", "--namespace", ""], "--namespace"),
        (["--lang", "ro", "--namespace", "my-org", "--version", "1.0"], "--version"),
        (["--lang", "ro", "--namespace", "my-org", "--kind", "model"], "--kind"),
        (["--lang", "ro", "--namespace", "my-org", "--kind", "adapter"], "nothing in the workspace"),
        (["--lang", "ro", "--namespace", "my-org", "--kind", ","], "--kind: no value given"),
        (["--lang", "ro", "--namespace", "my-org", "--method", "nope"], "--method"),
        (["--lang", "ro", "--namespace", "my-org", "--source", "nope"], "Available: conceptnet"),
        (["--lang", "ro", "--namespace", "x" * 95], "does not accept"),
        (["--lang", "ro", "--namespace", "my-org", "--endpoint", "localhost"], "--endpoint"),
    ],
)
def test_a_usage_error_says_what_is_wrong(options: list[str], words: str, lrl: Any, sample_workspace: Path) -> None:
    result = lrl("push-hub", "--out", sample_workspace, "--dry-run", *options, token="")
    assert result.returncode == 2, result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_study_knows_the_options_of_a_publication() -> None:
    """A study checks them before its first job, without the package that publishes."""
    command_only = {"lang", "all", "out", "dry_run", "allow_http"}
    assert PushConfig.model_fields.keys() - command_only == PUSHED


def test_all_publishes_every_language_with_a_collection_for_each(
    hub: Hub, lrl: Any, fresh: Any, workspace: Path, tmp_path: Path
) -> None:
    from dumps import line  # noqa: PLC0415 - from the tests' support folder

    dump = tmp_path / "bg.csv"
    dump.write_text("".join(line("IsA", f"bg:дума{n}", "bg:нещо") + "\n" for n in range(40)), encoding="utf-8")
    from lrldata.conceptnet.build import build  # noqa: PLC0415
    from lrldata.conceptnet.config import load_config  # noqa: PLC0415
    from lrldata.progress import Progress  # noqa: PLC0415

    flags = {"lang": "bg", "dump": str(dump), "out": workspace, "cache": tmp_path / "cache"}
    build(load_config(None, flags), Progress(quiet=True))
    result = lrl("push-hub", "--all", "--namespace", "my-org", "--out", workspace, "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert [repository["id"] for repository in report["repositories"]] == ["my-org/lrl-bg", "my-org/lrl-ro"]
    assert [collection["added"] for collection in report["collections"]] == [1, 1]
    assert "cc-by-sa-4.0" in git(store(hub.root, "datasets", "my-org/lrl-bg"), "show", "v1.0.0:README.md")
    titles = fresh("""
from huggingface_hub import HfApi
api = HfApi()
for collection in api.list_collections(owner="my-org"):
    print(collection.title, [item.item_id for item in api.get_collection(collection.slug).items])
""")
    assert "Bulgarian: text and language adapters ['my-org/lrl-bg']" in titles


def test_the_card_passes_the_hub_s_reader_and_its_rules(hub: Hub, push: Any) -> None:
    assert push().returncode == 0
    repository = store(hub.root, "datasets", "my-org/lrl-ro")
    text = git(repository, "show", "v1.0.0:README.md")
    assert lint(text, set(git(repository, "ls-tree", "-r", "--name-only", "v1.0.0").split())) == []
    card = DatasetCard(text)
    assert card.data.language == ["ro", "en"]
    assert card.data.size_categories == ["n<1K"]
    described = card.data.to_dict()["dataset_info"]
    manifest = json.loads(git(repository, "show", "v1.0.0:conceptnet/manifest.json"))
    assert {split["name"]: split["num_examples"] for split in described["splits"]} == manifest["rows"]


def test_a_publication_can_be_checked_and_used_as_a_folder(push: Any, fresh: Any, tmp_path: Path) -> None:
    assert push().returncode == 0
    fresh(f"""
from huggingface_hub import snapshot_download
snapshot_download("my-org/lrl-ro", repo_type="dataset", revision="v1.0.0", local_dir={str(tmp_path / "down")!r})
""")
    from lrldata.dataset import open_dataset  # noqa: PLC0415

    manifest, rows = open_dataset(tmp_path / "down" / "conceptnet")
    assert manifest == read_manifest(tmp_path / "down" / "conceptnet", "dataset")
    assert rows.collect().height == 346
