"""Versions follow the content."""

from collections.abc import Mapping
from typing import Any

import pytest

from hub_cards.cards.card import Card
from hub_cards.publish.plan import Held, Plan, Remote, make_plan
from hub_cards.publish.repository import File, Part, Repository
from lrldata.errors import UsageError


def repository(
    data: str = "d", schema: str = "s", note: str = "n", parts: tuple[str, ...] = ("a",), **more: Any
) -> Repository:
    def card(facts: Mapping[str, Mapping[str, Any]], version: str) -> Card:
        said = " ".join(f"{name} {held.get('note', '')}" for name, held in sorted(facts.items()))
        return Card({"language": ["ro"], "license": "mit"}, {"about": f"# T\n\n{said}", "use": f"v{version}"})

    files = tuple(File.of(f"{name}/data", f"{name} {data}".encode()) for name in parts)
    described = {name: Part(schema, data, f"m{data}", (f"{name}/data",), {"note": note}) for name in parts}
    return Repository("o/r", "dataset", "dataset", files, described, card, **more)


def after(plan: Plan, before: Remote) -> Remote:
    """Return the Hub as it is when a plan was carried out."""
    held = {path: file for path, file in (before.files or {}).items() if path not in plan.removed}
    held |= {file.path: Held(file.size, None, file.blob) for file in plan.files}
    readme = next((bytes(file.content).decode() for file in plan.files if file.path == "README.md"), before.readme)
    return Remote("tip", False, held, before.tags | {f"v{plan.version}"}, readme, plan.record)


def published(*repositories: Repository) -> Remote:
    remote = Remote("tip")
    for each in repositories:
        remote = after(make_plan(each, remote), remote)
    return remote


def test_what_is_not_there_is_made_as_version_1() -> None:
    plan = make_plan(repository(), Remote())
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


def test_a_new_part_is_a_minor_version_and_one_that_is_elsewhere_stays() -> None:
    before = published(repository(parts=("a",), keeps=True))
    plan = make_plan(repository(parts=("b",), keeps=True), before)
    assert plan.version == "1.1.0"
    assert {change.path: change.action for change in plan.changes} == {
        "README.md": "changed", "a/data": "unchanged", "b/data": "added", "lrl.json": "changed",
    }  # fmt: skip
    assert "a n b n" in bytes(next(file.content for file in plan.files if file.path == "README.md")).decode()


def test_files_of_ours_that_are_no_more_go_and_those_of_others_stay() -> None:
    before = published(repository(parts=("a", "b")))
    files = {**(before.files or {}), "theirs.txt": Held(1, None, "x")}
    plan = make_plan(repository(parts=("a",)), Remote("tip", False, files, before.tags, before.readme, before.record))
    assert plan.removed == ["b/data"]
    assert plan.version == "1.1.0"


def test_a_version_that_was_asked_for_overrides_and_may_not_be_taken() -> None:
    before = published(repository())
    assert make_plan(repository(data="e"), before, "3.1.4").version == "3.1.4"
    assert make_plan(repository(), before, "1.0.0").action == "unchanged"
    with pytest.raises(UsageError, match=r"v1\.0\.0 is published"):
        make_plan(repository(data="e"), before, "1.0.0")


def test_a_tag_that_somebody_else_has_set_is_left_alone() -> None:
    assert make_plan(repository(), Remote("tip", tags=frozenset({"v1.0.0"}))).version == "1.1.0"
    before = published(repository())
    taken = Remote("tip", False, before.files, before.tags | {"v1.1.0"}, before.readme, before.record)
    assert make_plan(repository(data="e"), taken).version == "1.2.0"


def test_a_commit_whose_tag_is_missing_is_tagged_and_not_made_again() -> None:
    before = published(repository())
    plan = make_plan(repository(), Remote("tip", False, before.files, frozenset(), before.readme, before.record))
    assert (plan.action, plan.version, plan.files) == ("tag", "1.0.0", ())


def test_a_person_s_edit_alone_is_no_reason_to_publish() -> None:
    before = published(repository())
    edited = (before.readme or "") + "\nThanks to all.\n"
    blob = File.of("README.md", edited.encode())
    files = {**(before.files or {}), "README.md": Held(blob.size, None, blob.blob)}
    assert (
        make_plan(repository(), Remote("tip", False, files, before.tags, edited, before.record)).action == "unchanged"
    )
