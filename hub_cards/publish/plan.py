"""What is to be done to a repository, from what it is to hold and what it holds. IO: reads what is to be hashed."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from hub_cards.cards.card import CardError
from hub_cards.cards.lint import lint
from hub_cards.cards.measured import each_once
from hub_cards.cards.merge import Prefer, difference, merge
from hub_cards.cards.source import version_with
from hub_cards.publish.changes import changes_of
from hub_cards.publish.record import RECORD, bump, free, next_version, order_of, tag_of, write_record
from hub_cards.publish.repository import File, Part, Repository
from lrldata.errors import PublishError, UsageError

README = "README.md"
IGNORED = ".gitignore"


@dataclass(frozen=True)
class RemoteFile:
    """A file as the Hub has it: `sha256` of a large one, `blob` (git's name) of a small one."""

    bytes: int
    sha256: str | None
    blob: str | None


@dataclass(frozen=True)
class Remote:
    """A repository as it is on the Hub; without a `tip` there is none."""

    tip: str | None = None
    private: bool = False
    files: Mapping[str, RemoteFile] | None = None
    tags: frozenset[str] = frozenset()
    readme: str | None = None
    record: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Change:
    """A file of the repository and what happens to it."""

    path: str
    action: Literal["added", "changed", "unchanged", "removed"]
    bytes: int


@dataclass(frozen=True)
class Plan:
    """What is to be done to one repository, on top of `tip`. `files` has what is to be uploaded.

    `missing_tag` is the version before where its tag is missing, as after a run that was killed.
    """

    repository: Repository
    tip: str | None
    action: Literal["create", "update", "tag", "unchanged"]
    version: str
    previous: str | None
    missing_tag: str | None
    changes: tuple[Change, ...]
    card: str
    conflicts: tuple[str, ...]
    record: Mapping[str, Any]
    files: tuple[File, ...] = ()
    told: tuple[str, ...] = ()  # what is different in this version

    @property
    def removed(self) -> list[str]:
        """Return the paths of files that are to go."""
        return [change.path for change in self.changes if change.action == "removed"]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-like values."""
        return {
            "id": self.repository.id,
            "kind": self.repository.kind,
            "what": self.repository.what,
            "action": self.action,
            "version": self.version,
            "previous_version": self.previous,
            "files": [asdict(change) for change in self.changes],
            "card": self.card,
            "changes": list(self.told),
            "conflicts": list(self.conflicts),
        }


def make_plan(repository: Repository, remote: Remote, asked: str | None = None, prefer: Prefer = "ask") -> Plan:
    """Say what has to be done so that the Hub holds what it is to hold.

    The version stays where data, schema and card stay; it goes up by the third number where only the card or another
    accompanying file changes, by the second for other data, by the first for another schema. `asked` overrides it.
    Raises UsageError where that version is taken or lower, PublishError for what stands in the way on the Hub, or where
    what is here is of an earlier version and none is asked for.
    """
    _check_remote(repository, remote)
    record = remote.record
    if record and asked is None:
        _check_newer(repository, record)
    parts = _all_parts(repository, remote)
    previous = str(record["version"]) if record else None
    if asked and previous and order_of(asked) < order_of(previous):
        raise UsageError(
            f"{repository.id}: v{previous} is published, so --version {asked} would go back.", "Use a higher one."
        )
    version = asked or next_version(parts, record, remote.tags)
    plan = _plan_at(version, repository, remote, parts, prefer)
    if asked is None and plan.action == "update" and version == previous:
        plan = _plan_at(free(bump(version, 2), remote.tags), repository, remote, parts, prefer)
    if plan.action in ("create", "update") and tag_of(plan.version) in remote.tags:
        raise UsageError(
            f"{repository.id}: v{version} is published, and holds something else.", "Use another --version."
        )
    return plan


def _check_remote(repository: Repository, remote: Remote) -> None:
    """Refuse a repository in which others' files would be overwritten, or ours left out."""
    held = remote.files or {}
    if IGNORED in held:
        raise PublishError(f"{repository.id}: has a {IGNORED}, by which the Hub leaves files out.", "Remove it there.")
    others = [file.path for file in repository.files if remote.record is None and _action(file, held) == "changed"]
    if others:
        raise PublishError(
            f"{repository.id}: holds files that lrl did not put there: {', '.join(others[:5])}.",
            "Move them away, or use another --namespace.",
        )


def _check_newer(repository: Repository, record: Mapping[str, Any]) -> None:
    """Refuse what was published before and has been replaced since, as a copy of the workspace from then has it."""
    for name, part in repository.parts.items():
        known = record["parts"].get(name)
        earlier = version_with(record, name, part.manifest_sha256)
        if known and known["manifest_sha256"] != part.manifest_sha256 and earlier:
            version = bump(str(record["version"]), 1)
            raise PublishError(
                f"{repository.id}: {name} here is that of v{earlier}, and v{record['version']} has replaced it.",
                f"Get the newer one, or leave it out with --kind or --source. --kind {repository.what} with --version "
                f"{version} goes back on purpose.",
            )


def _all_parts(repository: Repository, remote: Remote) -> dict[str, Part]:
    """Return our parts; and those that are published and not here, where they are to stay and their data still do.

    Of data or weights that are the published ones, what is known of them only there is kept: scores that were measured
    elsewhere, where the text of a model came from, and what speakers said.
    """
    record, held = remote.record, remote.files or {}
    published = {name: Part(**part) for name, part in record["parts"].items()} if record else {}
    parts = {
        name: part for name, part in published.items() if repository.keep_remote_parts and _data_of(part) <= held.keys()
    }
    for name, part in repository.parts.items():
        known = published.get(name)
        same = known is not None and known.data == part.data
        if known and same:
            kept = known.facts if repository.keep_remote_scores else {**known.facts, "results": []}
            parts[name] = replace(part, facts=_joined(part.facts, kept))
        else:
            parts[name] = part
    return parts


def _verdicts(speakers: Mapping[str, Any]) -> int:
    return int(speakers.get("verdicts", 0))


def _data_of(part: Part) -> set[str]:
    """Return the files without which a configuration cannot be loaded."""
    return {path for path in part.files if path.split("/")[1:2] == ["data"]}


def _joined(facts: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    if "results" not in facts:
        said = max((each["speakers"] for each in (facts, known) if "speakers" in each), key=_verdicts, default=None)
        return {**facts, **({"speakers": said} if said else {})}
    joined = {**facts, "results": each_once((*known["results"], *facts["results"]))}
    if not facts["text"]["inputs"] and known.get("text", {}).get("inputs"):
        # Not the lines: by earlier versions they may be of a text that is not public.
        joined |= {"text": {**known["text"], "samples": facts["text"]["samples"]}, "licence": known["licence"]}
    members = {each["manifest_sha256"]: each for each in (*known.get("members", ()), *facts.get("members", ()))}
    return joined | ({"members": list(members.values())} if members else {})


def _plan_at(version: str, repository: Repository, remote: Remote, parts: Mapping[str, Part], prefer: Prefer) -> Plan:
    record, held = remote.record, remote.files or {}
    facts = {name: parts[name].facts for name in _in_order(parts, record)}
    card = repository.card(facts, version)
    ours = sorted({README, RECORD, *(path for part in parts.values() for path in part.files)})
    if faults := lint(card.text, ours):
        raise PublishError(f"{repository.id}: the card is against the Hub's rules: {'; '.join(faults)}.")
    try:
        merged = merge(card, remote.readme, record["card"] if record else None, prefer)
    except CardError as error:
        raise PublishError(f"{repository.id}: {README} on the Hub: {error}.", "Fix it there.") from error
    new_record = write_record(repository, record, version, parts, card)
    known = record["pictures"] if record else {}
    files = [*repository.files, File.of(README, merged.text.encode())]
    files += [
        File.of(picture.path, picture.drawn)
        for picture in repository.pictures
        if picture.path not in held or known.get(picture.path) != picture.shows
    ]
    if new_record != record or RECORD not in held:
        files.append(File.of(RECORD, (json.dumps(new_record, ensure_ascii=False, indent=1) + "\n").encode()))
    published = record["parts"] if record else {}
    before = {path for name, part in published.items() if _is_ours(name, repository) for path in part["files"]}
    changes = [Change(file.path, _action(file, held), file.size) for file in files]
    there = {change.path for change in changes}
    changes += [Change(path, "unchanged", held[path].bytes) for path in ours if path not in there and path in held]
    changes += [
        Change(path, "removed", held[path].bytes) for path in sorted(before) if path not in ours and path in held
    ]
    differs = [change.path for change in changes if change.action != "unchanged"]
    previous = str(record["version"]) if record else None
    return Plan(
        repository,
        remote.tip,
        _what_to_do(remote, bool(differs), version),
        version,
        previous,
        previous if previous and previous != version and tag_of(previous) not in remote.tags else None,
        tuple(sorted(changes, key=lambda change: change.path)),
        difference(remote.readme, merged.text),
        tuple(merged.conflicts),
        new_record,
        tuple(file for file in files if file.path in differs),
        tuple(changes_of({name: part["facts"] for name, part in published.items()}, facts)) if record else (),
    )


def _in_order(parts: Mapping[str, Part], record: Mapping[str, Any] | None) -> list[str]:
    """Return the names of parts as a card has them: the first is what `load_dataset` takes, and stays that."""
    entries = record["card"]["metadata"].get("configs", ()) if record else ()
    default = [str(entry["config_name"]) for entry in entries if entry.get("default")]
    return sorted(parts, key=lambda name: (name not in default, name))


def _is_ours(name: str, repository: Repository) -> bool:
    """Return whether files of a published part may be removed: of one that is not here, nothing is."""
    return name in repository.parts or not repository.keep_remote_parts


def _what_to_do(remote: Remote, differs: bool, version: str) -> Literal["create", "update", "tag", "unchanged"]:
    if remote.tip is None:
        return "create"
    if differs:
        return "update"
    return "unchanged" if tag_of(version) in remote.tags else "tag"


def _action(file: File, held: Mapping[str, RemoteFile]) -> Literal["added", "changed", "unchanged"]:
    there = held.get(file.path)
    if there is None:
        return "added"
    same = there.sha256 == file.sha256 if there.sha256 else there.bytes == file.size and there.blob == file.blob
    return "unchanged" if same else "changed"
