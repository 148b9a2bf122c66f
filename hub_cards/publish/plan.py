"""Plan the changes to a repository from its desired and its current content. IO: reads files to hash them."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from hub_cards.cards.card import CardError
from hub_cards.cards.lint import lint
from hub_cards.cards.measured import without_repetitions
from hub_cards.cards.merge import Prefer, difference, merge
from hub_cards.cards.source import version_with
from hub_cards.publish.changes import changes_of
from hub_cards.publish.edits import edits_of_others, is_as_published, unlisted_shards
from hub_cards.publish.record import RECORD, bump, free, next_version, order_of, tag_of, write_record
from hub_cards.publish.repository import File, Part, Repository, is_shard
from hub_cards.publish.state import RemoteFile, RemoteRepository
from lrldata.errors import PublishError, UsageError

README = "README.md"
IGNORED = ".gitignore"


@dataclass(frozen=True)
class Change:
    """A file of the repository and the action planned for it."""

    path: str
    action: Literal["added", "changed", "unchanged", "removed"]
    bytes: int


@dataclass(frozen=True)
class Plan:
    """The planned changes to one repository, on top of `tip`. `files` are the files to upload.

    `missing_tag` is the previous version if its tag is missing, as after a run that was killed.
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
    change_notes: tuple[str, ...] = ()  # lines about the changes in this version
    private: bool = False  # whether the repository is, if it exists

    @property
    def removed(self) -> list[str]:
        """Return the paths of the files to remove."""
        return [change.path for change in self.changes if change.action == "removed"]

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON-like values."""
        return {
            "id": self.repository.id,
            "kind": self.repository.kind,
            "what": self.repository.what,
            "action": self.action,
            "version": self.version,
            "previous_version": self.previous,
            "files": [asdict(change) for change in self.changes],
            "card": self.card,
            "changes": list(self.change_notes),
            "conflicts": list(self.conflicts),
        }


def make_plan(
    repository: Repository,
    remote: RemoteRepository,
    requested_version: str | None = None,
    prefer: Prefer = "ask",
    *,
    replace_data: bool = False,
) -> Plan:
    """Return the changes that bring a repository on the Hub to its desired state.

    If data, schema and card are unchanged, so is the version. A change of only the card or another accompanying file
    raises the third number, a change of data the second, and a change of schema the first. `requested_version`
    overrides this. With `replace_data`, data that others changed on the Hub are replaced.

    Raises UsageError if the requested version is taken or lower than the published one, and PublishError if the content
    of the repository on the Hub prevents the change, or if the local data belong to an earlier version and no version
    is requested.
    """
    _check_remote(repository, remote, replace_data=replace_data)
    record = remote.record
    if record and requested_version is None:
        _check_newer(repository, record)
    parts = _all_parts(repository, remote)
    previous = str(record["version"]) if record else None
    if requested_version and previous and order_of(requested_version) < order_of(previous):
        raise UsageError(
            f"{repository.id}: v{previous} is published, so --version {requested_version} is too low.",
            "Use a higher version.",
        )
    version = requested_version or next_version(parts, record, remote.tags)
    plan = _plan_at(version, repository, remote, parts, prefer)
    if requested_version is None and plan.action == "update" and version == previous:
        plan = _plan_at(free(bump(version, 2), remote.tags), repository, remote, parts, prefer)
    if plan.action in ("create", "update") and tag_of(plan.version) in remote.tags:
        raise UsageError(
            f"{repository.id}: v{version} is already published with different content.", "Use another --version."
        )
    return plan


def _check_remote(repository: Repository, remote: RemoteRepository, *, replace_data: bool) -> None:
    """Raise PublishError if data of others would be overwritten, or ours ignored."""
    if IGNORED in (remote.files or {}):
        raise PublishError(
            f"{repository.id}: contains a {IGNORED}, which makes the Hub skip files.", "Remove it on the Hub."
        )
    edits = [] if replace_data else edits_of_others(repository, remote)
    if edits:
        since = f"has changed since v{remote.record['version']}" if remote.record else "is not from lrl"
        more = f", and {len(edits) - 5} more" if len(edits) > 5 else ""
        raise PublishError(
            f"{repository.id}: data on the Hub {since}: {', '.join(edits[:5])}{more}.",
            "To replace it with yours, use --replace-data. To keep it, exclude yours with --lang, --kind or --source.",
        )


def _check_newer(repository: Repository, record: Mapping[str, Any]) -> None:
    """Raise PublishError if a local part was published earlier and replaced since, as in an old copy of a workspace."""
    for name, part in repository.parts.items():
        published = record["parts"].get(name)
        earlier = version_with(record, name, part.manifest_sha256)
        if published and published["data"] != part.data and earlier:
            version = bump(str(record["version"]), 1)
            raise PublishError(
                f"{repository.id}: the local {name} is from v{earlier}, which v{record['version']} has replaced.",
                f"Get the newer one, or exclude it with --kind or --source. To go back on purpose, use --kind "
                f"{repository.what} with --version {version}.",
            )


def _all_parts(repository: Repository, remote: RemoteRepository) -> dict[str, Part]:
    """Return the local parts and, if they are kept, published parts that are not here but still have data on the Hub.

    If the data or weights of a part are the published ones, facts known only to the Hub are kept: scores measured
    elsewhere, the source of a model's text, and the verdicts of speakers.
    """
    record, remote_files = remote.record, remote.files or {}
    published = {name: Part(**part) for name, part in record["parts"].items()} if record else {}
    parts = {
        name: part
        for name, part in published.items()
        if repository.keep_remote_parts and _data_of(part) <= remote_files.keys()
    }
    for name, part in repository.parts.items():
        previous = published.get(name)
        same_data = previous is not None and previous.data == part.data
        if previous and same_data:
            facts = previous.facts if repository.keep_remote_scores else _without_results(previous.facts)
            parts[name] = replace(part, facts=_joined(part.facts, facts))
        else:
            parts[name] = part
    return parts


def _rank(speakers: Mapping[str, Any]) -> tuple[tuple[int, ...], int]:
    """Rank summaries of verdicts: those on a later version of the dataset first, then the larger ones."""
    version = re.findall(r"\d+", str(speakers.get("version", "")))  # of a record that anybody may have written
    return tuple(map(int, version[:3])), int(speakers.get("verdicts", 0))


def _without_results(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts without scores and verdicts."""
    kept = {key: value for key, value in facts.items() if key != "speakers"}
    return {**kept, "results": []} if "results" in kept else kept


def _data_of(part: Part) -> set[str]:
    """Return the files that are needed to load a configuration."""
    return set(filter(is_shard, part.files))


def _joined(facts: Mapping[str, Any], published: Mapping[str, Any]) -> dict[str, Any]:
    if "results" not in facts:
        speakers = max(
            (entry["speakers"] for entry in (facts, published) if "speakers" in entry), key=_rank, default=None
        )
        return {**facts, **({"speakers": speakers} if speakers else {})}
    joined = {**facts, "results": without_repetitions((*published["results"], *facts["results"]))}
    if not facts["text"]["inputs"] and published.get("text", {}).get("inputs"):
        # Not the sample lines: earlier versions may have taken them from a text that is not public.
        joined |= {"text": {**published["text"], "samples": facts["text"]["samples"]}, "licence": published["licence"]}
    members = {entry["manifest_sha256"]: entry for entry in (*published.get("members", ()), *facts.get("members", ()))}
    return joined | ({"members": list(members.values())} if members else {})


def _plan_at(
    version: str, repository: Repository, remote: RemoteRepository, parts: Mapping[str, Part], prefer: Prefer
) -> Plan:
    record, remote_files = remote.record, remote.files or {}
    facts = {name: parts[name].facts for name in _in_order(parts, record)}
    card = repository.card(facts, version)
    paths = sorted({README, RECORD, *(path for part in parts.values() for path in part.files)})
    if faults := lint(card.text, paths):
        raise PublishError(f"{repository.id}: the card breaks the Hub's rules: {'; '.join(faults)}.")
    try:
        merged = merge(card, remote.readme, record["card"] if record else None, prefer, repository.parts)
    except CardError as error:
        raise PublishError(f"{repository.id}: {README} on the Hub: {error}.", "Fix it on the Hub.") from error
    new_record = write_record(repository, record, version, parts, card)
    known_pictures = record["pictures"] if record else {}
    files = [*repository.files, File.of(README, merged.text.encode())]
    files += [
        File.of(picture.path, picture.png)
        for picture in repository.pictures
        if picture.path not in remote_files or known_pictures.get(picture.path) != picture.shows
    ]
    if new_record != record or RECORD not in remote_files:
        files.append(File.of(RECORD, (json.dumps(new_record, ensure_ascii=False, indent=1) + "\n").encode()))
    published = record["parts"] if record else {}
    before = {path for name, part in published.items() if _is_ours(name, repository) for path in part["files"]}
    before |= unlisted_shards(repository, remote)
    changes = [Change(file.path, _action(file, remote_files), file.size) for file in files]
    planned = {change.path for change in changes}
    changes += [
        Change(path, "unchanged", remote_files[path].bytes)
        for path in paths
        if path not in planned and path in remote_files
    ]
    changes += [
        Change(path, "removed", remote_files[path].bytes)
        for path in sorted(before)
        if path not in paths and path in remote_files
    ]
    changed = [change.path for change in changes if change.action != "unchanged"]
    previous = str(record["version"]) if record else None
    return Plan(
        repository,
        remote.tip,
        _what_to_do(remote, bool(changed), version),
        version,
        previous,
        previous if previous and previous != version and _lacks_tag(previous, repository, remote) else None,
        tuple(sorted(changes, key=lambda change: change.path)),
        difference(remote.readme, merged.text),
        tuple(merged.conflicts),
        new_record,
        tuple(file for file in files if file.path in changed),
        tuple(changes_of({name: part["facts"] for name, part in published.items()}, facts)) if record else (),
        remote.private,
    )


def _lacks_tag(version: str, repository: Repository, remote: RemoteRepository) -> bool:
    """Return whether the published version has no tag, and the tip still has its data."""
    return tag_of(version) not in remote.tags and is_as_published(repository, remote)


def _in_order(parts: Mapping[str, Part], record: Mapping[str, Any] | None) -> list[str]:
    """Return the names of parts in card order. The default configuration of `load_dataset` comes first and stays."""
    entries = record["card"]["metadata"].get("configs", ()) if record else ()
    default = [str(entry["config_name"]) for entry in entries if entry.get("default")]
    return sorted(parts, key=lambda name: (name not in default, name))


def _is_ours(name: str, repository: Repository) -> bool:
    """Return whether the files of a published part may be removed; those of a part that is not here never are."""
    return name in repository.parts or not repository.keep_remote_parts


def _what_to_do(
    remote: RemoteRepository, differs: bool, version: str
) -> Literal["create", "update", "tag", "unchanged"]:
    if remote.tip is None:
        return "create"
    if differs:
        return "update"
    return "unchanged" if tag_of(version) in remote.tags else "tag"


def _action(file: File, remote_files: Mapping[str, RemoteFile]) -> Literal["added", "changed", "unchanged"]:
    remote_file = remote_files.get(file.path)
    if remote_file is None:
        return "added"
    return "unchanged" if remote_file.equals(file) else "changed"
