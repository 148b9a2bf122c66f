"""Version numbers follow changes of the content."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from hub_cards.cards.card import Card
from hub_cards.publish.plan import Plan, make_plan
from hub_cards.publish.repository import File, Part, Repository
from hub_cards.publish.state import RemoteFile, RemoteRepository
from lrldata.errors import PublishError, UsageError
from lrldata.manifest import fingerprint


def repository(
    data: str = "d",
    schema: str = "s",
    note: str = "n",
    manifest: str = "",
    parts: tuple[str, ...] = ("a",),
    more: tuple[str, ...] = (),
    facts: Mapping[str, Any] | None = None,
    **options: Any,
) -> Repository:
    def card(facts: Mapping[str, Mapping[str, Any]], version: str) -> Card:
        text = " ".join(f"{name} {part.get('note', '')}" for name, part in facts.items())
        files = {name: [{"split": "train", "path": f"{name}/data"}] for name in facts}
        configs = [
            {"config_name": name, "default": not number, "data_files": files[name]} for number, name in enumerate(facts)
        ]
        splits = [{"name": "train", "num_bytes": 1, "num_examples": 1}]
        info = [
            {"config_name": name, "features": [{"name": "text", "dtype": "string"}], "splits": splits} for name in facts
        ]
        metadata = {"language": ["ro"], "license": "mit", "configs": configs, "dataset_info": info}
        return Card(metadata, {"about": f"# T\n\n{text}", "use": f"v{version}"})

    files = tuple(File.of(path, f"{path} {data}".encode()) for name in parts for path in (f"{name}/data", *more))
    described_parts = {
        name: Part(schema, data, manifest or f"m{data}", (f"{name}/data", *more), {"note": note} | dict(facts or {}))
        for name in parts
    }
    return Repository("o/r", "dataset", "dataset", files, described_parts, card, **options)


def after(plan: Plan, before: RemoteRepository) -> RemoteRepository:
    """Return the state of the Hub after a plan has been carried out."""
    files = {path: file for path, file in (before.files or {}).items() if path not in plan.removed}
    files |= {file.path: RemoteFile(file.size, None, file.blob) for file in plan.files}
    readme = next((bytes(file.content).decode() for file in plan.files if file.path == "README.md"), before.readme)
    return RemoteRepository("tip", False, files, before.tags | {f"v{plan.version}"}, readme, plan.record)


def published(*repositories: Repository) -> RemoteRepository:
    remote = RemoteRepository("tip")
    for local in repositories:
        remote = after(make_plan(local, remote), remote)
    return remote


def test_a_new_repository_is_created_as_version_1() -> None:
    plan = make_plan(repository(), RemoteRepository())
    assert (plan.action, plan.version, plan.previous) == ("create", "1.0.0", None)
    assert [(change.path, change.action) for change in plan.changes] == [
        ("README.md", "added"), ("a/data", "added"), ("lrl.json", "added"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "version"),
    [({}, "1.0.0"), ({"note": "other"}, "1.0.1"), ({"data": "e"}, "1.1.0"), ({"schema": "t", "data": "e"}, "2.0.0")],
)
def test_versions_follow_the_content(change: dict[str, str], version: str) -> None:
    before = published(repository())
    plan = make_plan(repository(**change), before)
    assert (plan.version, plan.action) == (version, "update" if change else "unchanged")
    again = make_plan(repository(**change), after(plan, before))
    assert (again.action, again.version, again.files, again.card) == ("unchanged", version, (), "")


def test_replaced_data_is_published_again_only_on_request() -> None:
    before = published(repository(data="d"), repository(data="e"))
    with pytest.raises(PublishError, match=r"the local a is from v1\.0\.0, which v1\.1\.0 has replaced") as error:
        make_plan(repository(data="d"), before)
    assert "--version 1.2.0" in error.value.hint
    assert make_plan(repository(data="d"), before, "1.2.0").action == "update"
    assert make_plan(repository(data="f"), before).version == "1.2.0"


def test_the_same_data_made_by_another_version_may_replace_a_newer_manifest() -> None:
    before = published(repository(manifest="1" * 64), repository(manifest="2" * 64))
    assert make_plan(repository(manifest="1" * 64), before).action == "update"


def test_a_part_that_is_not_here_stays_as_long_as_its_data_does() -> None:
    before = published(repository(keep_remote_parts=True, more=("a/README.md", "pictures/a.png")))
    for path, stays in (("a/README.md", True), ("pictures/a.png", True), ("a/data", False)):
        files = {name: file for name, file in (before.files or {}).items() if name != path}
        plan = make_plan(repository(parts=("b",), keep_remote_parts=True), replace(before, files=files))
        assert ("a" in plan.record["parts"]) == stays, path
        assert plan.removed == [], "no file of a part that is not here is removed"


def test_the_first_configuration_stays_the_first() -> None:
    before = published(repository(parts=("web",), keep_remote_parts=True))
    plan = make_plan(repository(parts=("conceptnet",), keep_remote_parts=True), before)
    order = [entry["config_name"] for entry in plan.record["card"]["metadata"]["configs"]]
    assert order == ["web", "conceptnet"]


def test_the_speakers_verdicts_on_the_same_data_stay() -> None:
    before = published(repository(facts={"speakers": {"verdicts": 60}}))
    for facts, verdicts in (({}, 60), ({"speakers": {"verdicts": 10}}, 60), ({"speakers": {"verdicts": 70}}, 70)):
        plan = make_plan(repository(facts=facts), before)
        assert plan.record["parts"]["a"]["facts"]["speakers"] == {"verdicts": verdicts}
        assert (plan.action == "unchanged") == (verdicts == 60)
    assert "speakers" not in make_plan(repository(data="e"), before).record["parts"]["a"]["facts"]


def test_a_new_part_makes_a_minor_version_and_a_part_that_is_not_here_stays() -> None:
    before = published(repository(parts=("a",), keep_remote_parts=True))
    plan = make_plan(repository(parts=("b",), keep_remote_parts=True), before)
    assert plan.version == "1.1.0"
    assert {change.path: change.action for change in plan.changes} == {
        "README.md": "changed", "a/data": "unchanged", "b/data": "added", "lrl.json": "changed",
    }  # fmt: skip
    assert "a n b n" in bytes(next(file.content for file in plan.files if file.path == "README.md")).decode()


def test_our_deleted_files_are_removed_and_other_people_s_files_stay() -> None:
    before = published(repository(parts=("a", "b")))
    files = {**(before.files or {}), "theirs.txt": RemoteFile(1, None, "x")}
    plan = make_plan(
        repository(parts=("a",)), RemoteRepository("tip", False, files, before.tags, before.readme, before.record)
    )
    assert plan.removed == ["b/data"]
    assert plan.version == "1.1.0"


def test_a_requested_version_takes_precedence_and_must_not_be_taken() -> None:
    before = published(repository())
    assert make_plan(repository(data="e"), before, "3.1.4").version == "3.1.4"
    assert make_plan(repository(), before, "1.0.0").action == "unchanged"
    with pytest.raises(UsageError, match=r"v1\.0\.0 is already published with different content"):
        make_plan(repository(data="e"), before, "1.0.0")


def test_a_tag_that_somebody_else_has_set_is_left_alone() -> None:
    assert make_plan(repository(), RemoteRepository("tip", tags=frozenset({"v1.0.0"}))).version == "1.1.0"
    before = published(repository())
    taken = RemoteRepository("tip", False, before.files, before.tags | {"v1.1.0"}, before.readme, before.record)
    assert make_plan(repository(data="e"), taken).version == "1.2.0"


def test_a_commit_without_its_tag_is_tagged_and_not_repeated() -> None:
    before = published(repository())
    plan = make_plan(
        repository(), RemoteRepository("tip", False, before.files, frozenset(), before.readme, before.record)
    )
    assert (plan.action, plan.version, plan.files) == ("tag", "1.0.0", ())


def test_a_person_s_edit_is_not_in_itself_a_reason_to_publish() -> None:
    before = published(repository())
    edited = (before.readme or "") + "\nThanks to all.\n"
    blob = File.of("README.md", edited.encode())
    files = {**(before.files or {}), "README.md": RemoteFile(blob.size, None, blob.blob)}
    assert (
        make_plan(repository(), RemoteRepository("tip", False, files, before.tags, edited, before.record)).action
        == "unchanged"
    )


def on_the_hub(text: str) -> RemoteFile:
    file = File.of("", text.encode())
    return RemoteFile(file.size, file.sha256, None)


def with_data(parts: tuple[str, ...] = ("a",), content: str = "rows", shards: int = 1, **options: Any) -> Repository:
    """Return a repository whose parts have shards and a manifest that lists them, as those of datasets do."""
    local = repository(parts=parts, data=content, **options)
    files, described = [], {}
    for name in parts:
        own = [File.of(f"{name}/data/train-{n}-of-{shards}", f"{name} {content} {n}".encode()) for n in range(shards)]
        described_by: dict[str, Any] = {"rows": {"train": shards}, "columns": {}, "settings": {}, "inputs": []}
        outputs = [{"path": file.path.removeprefix(f"{name}/"), "sha256": file.sha256} for file in own]
        facts = {
            **local.parts[name].facts,
            "manifest": {"outputs": outputs} | described_by,
        }
        described[name] = replace(local.parts[name], files=tuple(file.path for file in own), facts=facts)
        files += own
    return replace(local, files=tuple(files), parts=described)


def as_large_files(remote: RemoteRepository, *repositories: Repository) -> RemoteRepository:
    """Return the state with shards stored as large files, of which the Hub lists the SHA-256."""
    shas = {file.path: file.sha256 for local in repositories for file in local.files}
    files = {
        path: replace(file, sha256=shas[path]) if path in shas else file for path, file in (remote.files or {}).items()
    }
    return replace(remote, files=files)


SHARD = "a/data/train-0-of-1"


@pytest.mark.parametrize("content", ["rows", "new rows"])
@pytest.mark.parametrize(
    ("path", "found"),
    [
        (SHARD, f"{SHARD} (deleted)"),  # taken down
        (SHARD, f"{SHARD} (changed)"),  # corrected
        ("a/data/train-extra.parquet", "a/data/train-extra.parquet (added)"),  # which `load_dataset` would read too
    ],
)
def test_data_that_others_changed_are_only_replaced_on_request(path: str, found: str, content: str) -> None:
    first = with_data()
    before = as_large_files(published(first), first)
    files = {name: file for name, file in (before.files or {}).items() if name != path}
    files |= {} if "deleted" in found else {path: on_the_hub("theirs")}
    edited, local = replace(before, files=files), with_data(content=content)
    with pytest.raises(PublishError, match=r"o/r: data on the Hub has changed since v1\.0\.0") as error:
        make_plan(local, edited)
    assert found in error.value.message
    assert "--replace-data" in error.value.hint
    plan = make_plan(local, edited, replace_data=True)
    there = after(plan, edited).files or {}
    assert {name for name in there if "/data/" in name} == {SHARD}
    assert there[SHARD].equals(local.files[0])


def test_the_same_change_on_both_sides_is_none() -> None:
    first, second = with_data(), with_data(content="new rows")
    before = as_large_files(published(first), second)
    assert make_plan(second, before).version == "1.1.0"


def test_shards_of_an_earlier_version_are_not_served_beside_new_ones() -> None:
    """The part has left the record, because another person deleted one of its files, but its other shards are there."""
    first, other = with_data(shards=3, keep_remote_parts=True), with_data(("b",), keep_remote_parts=True)
    before = as_large_files(published(first), first)
    files = {path: file for path, file in (before.files or {}).items() if not path.endswith("train-2-of-3")}
    edited = replace(before, files=files)
    later = after(make_plan(other, edited), edited)
    assert "a" not in (later.record or {})["parts"]
    again = with_data(content="new rows", keep_remote_parts=True)
    with pytest.raises(PublishError, match=r"train-0-of-3 \(added\)"):
        make_plan(again, later)
    assert make_plan(again, later, replace_data=True).removed == ["a/data/train-0-of-3", "a/data/train-1-of-3"]


def test_a_push_that_updates_one_part_and_adds_another_finds_no_edits_of_others() -> None:
    first = with_data(("a",))
    before = as_large_files(published(first), first)
    assert make_plan(with_data(("a", "b"), content="new rows"), before).version == "1.1.0"
    assert make_plan(with_data(("a", "b")), before).version == "1.1.0"


def test_weights_that_a_colleague_replaced_are_found_even_if_ours_are_new() -> None:
    def adapter(content: str) -> Repository:
        file = File.of("model.safetensors", content.encode())
        part = Part("s", fingerprint([[file.path, file.sha256]]), f"m{content}", (file.path,), {})
        return replace(repository(), kind="model", files=(file,), parts={"adapter": part})

    first, retrained = adapter("weights"), adapter("retrained")
    before = as_large_files(published(first), first)
    assert make_plan(retrained, before).version == "1.1.0"
    edited = replace(
        before, files={**(before.files or {}), "model.safetensors": on_the_hub("theirs")}, tags=frozenset()
    )
    with pytest.raises(PublishError, match=r"model\.safetensors \(changed\)"):
        make_plan(retrained, edited)
    assert make_plan(retrained, edited, replace_data=True).missing_tag is None


@pytest.mark.parametrize("facts", [{"speakers": {"version": "x", "verdicts": 3}}, {"speakers": {}}])
def test_odd_verdicts_in_a_record_do_not_stop_a_push(facts: dict[str, Any]) -> None:
    plan = make_plan(
        repository(facts={"speakers": {"version": "1.0.0", "verdicts": 1}}), published(repository(facts=facts))
    )
    assert plan.record["parts"]["a"]["facts"]["speakers"]["verdicts"] == 1


def test_weights_deleted_on_the_hub_are_only_published_again_on_request() -> None:
    weights = (File.of("model.safetensors", b"weights"),)
    part = Part("s", "d", "m", ("model.safetensors",), {})
    local = replace(repository(), kind="model", files=weights, parts={"adapter": part})
    before = published(local)
    files = {path: file for path, file in (before.files or {}).items() if path != "model.safetensors"}
    for retrained in (local, replace(local, parts={"adapter": replace(part, data="e", manifest_sha256="n")})):
        with pytest.raises(PublishError, match=r"model\.safetensors \(deleted\)"):
            make_plan(retrained, replace(before, files=files))
        assert make_plan(retrained, replace(before, files=files), replace_data=True).action == "update"


def test_a_configuration_that_others_added_under_our_name_is_not_overwritten() -> None:
    local = repository()
    readme = "---\nconfigs:\n- config_name: a\n  data_files: theirs/*\n---\n"
    with pytest.raises(PublishError, match=r"configuration a \(added\)"):
        make_plan(local, RemoteRepository("tip", readme=readme))
    assert make_plan(local, RemoteRepository("tip", readme=readme), replace_data=True).action == "update"
    assert make_plan(repository(parts=("b",)), RemoteRepository("tip", readme=readme)).action == "update"


def test_the_missing_tag_of_a_version_is_not_set_on_other_data() -> None:
    first = with_data()
    before = replace(as_large_files(published(first), first), tags=frozenset())
    assert make_plan(with_data(content="new rows"), before).missing_tag == "1.0.0"
    damaged = replace(before, files={**(before.files or {}), SHARD: on_the_hub("garbage")})
    assert make_plan(with_data(content="new rows"), damaged, replace_data=True).missing_tag is None


def test_verdicts_on_a_later_version_replace_more_verdicts_on_an_earlier_one() -> None:
    old, new = {"version": "1.0.0", "verdicts": 400}, {"version": "1.1.0", "verdicts": 150}
    for first, second in ((old, new), (new, old)):
        plan = make_plan(repository(facts={"speakers": second}), published(repository(facts={"speakers": first})))
        assert plan.record["parts"]["a"]["facts"]["speakers"] == new


def test_published_verdicts_can_be_withdrawn() -> None:
    before = published(repository(facts={"speakers": {"verdicts": 60, "credited": ["Ana"]}}))
    plan = make_plan(repository(facts={"speakers": {"verdicts": 40}}, keep_remote_scores=False), before)
    assert plan.record["parts"]["a"]["facts"]["speakers"] == {"verdicts": 40}
