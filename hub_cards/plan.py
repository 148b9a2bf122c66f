"""What is to be done to a repository, from what it is to hold and what it holds. Pure.

The record, lrl.json in the repository, is what the next publication needs to know of this one: the version, the parts
by hash with what the card says of them, the files that are ours, and the card as we rendered it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from hub_cards.lint import lint
from hub_cards.merge import Prefer, difference, merge
from hub_cards.repository import File, Part, Repository
from lrldata.errors import PublishError, UsageError
from lrldata.manifest import fingerprint

README, RECORD = "README.md", "lrl.json"
FORMAT = 1
FIRST = "1.0.0"


@dataclass(frozen=True)
class Held:
    """A file as the Hub has it: `sha256` of a large one, `blob` (git's name) of a small one."""

    bytes: int
    sha256: str | None
    blob: str | None


@dataclass(frozen=True)
class Remote:
    """A repository as it is on the Hub; without a `tip` there is none."""

    tip: str | None = None
    private: bool = False
    files: Mapping[str, Held] | None = None
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
    """What is to be done to one repository, on top of `tip`. `files` has what is to be uploaded."""

    repository: Repository
    tip: str | None
    action: Literal["create", "update", "tag", "unchanged"]
    version: str
    previous: str | None
    changes: tuple[Change, ...]
    card: str
    conflicts: tuple[str, ...]
    record: Mapping[str, Any]
    files: tuple[File, ...] = ()

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
            "conflicts": list(self.conflicts),
        }


def tag_of(version: str) -> str:
    """Return the tag of a version: v1.0.0."""
    return f"v{version}"


def make_plan(repository: Repository, remote: Remote, asked: str | None = None, prefer: Prefer = "ask") -> Plan:
    """Say what has to be done so that the Hub holds what it is to hold.

    The version stays where data, schema and card stay; it goes up by the third number where only the card or another
    accompanying file changes, by the second for other data, by the first for another schema. `asked` overrides it.
    Raises UsageError where that version is taken, PublishError where the card is against the Hub's rules.
    """
    record = remote.record
    parts = _all_parts(repository, record)
    previous = str(record["version"]) if record else None
    version = asked or _next_version(parts, record, remote.tags)
    plan = _plan_at(version, repository, remote, parts, prefer)
    if asked is None and plan.action == "update" and version == previous:
        plan = _plan_at(_free(_bump(version, 2), remote.tags), repository, remote, parts, prefer)
    if plan.action in ("create", "update") and tag_of(plan.version) in remote.tags:
        raise UsageError(
            f"{repository.id}: v{version} is published, and holds something else.", "Use another --version."
        )
    return plan


def _all_parts(repository: Repository, record: Mapping[str, Any] | None) -> dict[str, Part]:
    """Return our parts; and those that are published and not here, where they are to stay."""
    published = {name: Part(**part) for name, part in record["parts"].items()} if record else {}
    parts = published if repository.keeps else {}
    for name, part in repository.parts.items():
        known = published.get(name)
        if known and known.data == part.data and "results" in part.facts:  # measured elsewhere, of the same weights
            results = [*part.facts["results"], *known.facts["results"]]
            first = {_measure(result): result for result in reversed(results)}
            ordered = sorted(first.values(), key=_measure)
            parts[name] = replace(part, facts={**part.facts, "results": ordered})
        else:
            parts[name] = part
    return parts


def _measure(result: Mapping[str, Any]) -> str:
    return fingerprint([result["task"], result["metric"], result["of"]])


def _next_version(parts: Mapping[str, Part], record: Mapping[str, Any] | None, tags: frozenset[str]) -> str:
    if record is None:
        return _free(FIRST, tags)
    before, version = record["parts"], str(record["version"])
    both = [(part, before[name]) for name, part in parts.items() if name in before]
    if any(part.schema != old["schema"] for part, old in both):
        return _free(_bump(version, 0), tags)
    if before.keys() != parts.keys() or any(part.data != old["data"] for part, old in both):
        return _free(_bump(version, 1), tags)
    return version


def _bump(version: str, place: int) -> str:
    numbers = [int(number) for number in version.split(".")]
    return ".".join(
        str(number + 1 if at == place else number if at < place else 0) for at, number in enumerate(numbers)
    )


def _free(version: str, tags: frozenset[str]) -> str:
    """Return this version, or the next whose tag nobody has set."""
    while tag_of(version) in tags:
        version = _bump(version, 1)
    return version


def _plan_at(version: str, repository: Repository, remote: Remote, parts: Mapping[str, Part], prefer: Prefer) -> Plan:
    record, held = remote.record, remote.files or {}
    card = repository.card({name: part.facts for name, part in parts.items()}, version)
    merged = merge(card, remote.readme, record["card"] if record else None, prefer)
    shown = {picture.path: picture.shows for picture in repository.pictures}
    known = record["pictures"] if record else {}
    ours = sorted({README, RECORD, *(path for part in parts.values() for path in part.files)})
    if faults := lint(card.text, ours):
        raise PublishError(f"{repository.id}: the card is against the Hub's rules: {'; '.join(faults)}.")
    new_record = {
        "format": FORMAT,
        "kind": repository.kind,
        "version": version,
        "parts": {name: asdict(part) for name, part in sorted(parts.items())},
        "pictures": dict(sorted(({path: shows for path, shows in known.items() if path in ours} | shown).items())),
        "card": card.record(),
        "history": _history(record, version, parts),
    }
    files = [*repository.files, File.of(README, merged.text.encode())]
    files += [
        File.of(picture.path, picture.drawn)
        for picture in repository.pictures
        if picture.path not in held or known.get(picture.path) != picture.shows
    ]
    as_json = json.loads(json.dumps(new_record))  # as it is read back: tuples are lists
    if as_json != record:
        files.append(File.of(RECORD, (json.dumps(new_record, ensure_ascii=False, indent=1) + "\n").encode()))
    gone = sorted(path for path in _ours_before(record) if path not in ours and path in held)
    changes = [Change(file.path, _action(file, held), file.size) for file in files]
    there = {change.path for change in changes}
    changes += [Change(path, "unchanged", held[path].bytes) for path in ours if path not in there and path in held]
    changes += [Change(path, "removed", held[path].bytes) for path in gone]
    differs = [change.path for change in changes if change.action != "unchanged"]
    return Plan(
        repository,
        remote.tip,
        _what_to_do(remote, bool(differs), version),
        version,
        str(record["version"]) if record else None,
        tuple(sorted(changes, key=lambda change: change.path)),
        difference(remote.readme, merged.text),
        tuple(merged.conflicts),
        as_json,
        tuple(file for file in files if file.path in differs),
    )


def _what_to_do(remote: Remote, differs: bool, version: str) -> Literal["create", "update", "tag", "unchanged"]:
    if remote.tip is None:
        return "create"
    if differs:
        return "update"
    return "unchanged" if tag_of(version) in remote.tags else "tag"


def _action(file: File, held: Mapping[str, Held]) -> Literal["added", "changed", "unchanged"]:
    there = held.get(file.path)
    if there is None:
        return "added"
    same = there.sha256 == file.sha256 if there.sha256 else there.bytes == file.size and there.blob == file.blob
    return "unchanged" if same else "changed"


def _ours_before(record: Mapping[str, Any] | None) -> set[str]:
    return {path for part in record["parts"].values() for path in part["files"]} if record else set()


def _history(record: Mapping[str, Any] | None, version: str, parts: Mapping[str, Part]) -> list[dict[str, Any]]:
    """Return which manifests were in which version, so that an adapter finds the version of its text."""
    history = list(record["history"]) if record else []
    manifests = {name: part.manifest_sha256 for name, part in sorted(parts.items())}
    if not history or history[-1]["version"] != version:
        history.append({"version": version, "parts": manifests})
    return history


def version_with(record: Mapping[str, Any], source: str, manifest_sha256: str) -> str | None:
    """Return the first version of a dataset repository that has this dataset."""
    for entry in record["history"]:
        if entry["parts"].get(source) == manifest_sha256:
            return str(entry["version"])
    return None
