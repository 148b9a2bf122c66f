"""Version numbers follow changes of the content."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from hub_cards.cards.card import Card
from hub_cards.publish.plan import Plan, RemoteFile, RemoteRepository, make_plan
from hub_cards.publish.repository import File, Part, Repository
from lrldata.errors import PublishError, UsageError


def repository(
    data: str = "d",
    schema: str = "s",
    note: str = "n",
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
        name: Part(schema, data, f"m{data}", (f"{name}/data", *more), {"note": note} | dict(facts or {}))
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
