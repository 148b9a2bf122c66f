"""The record of a publication, lrl.json in the repository: what the next one needs to know of it. Pure.

It holds the version, the parts by hash with what the card says of them, the pictures by what they show, the card as we
rendered it, and which manifests were in which version.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from hub_cards.card import Card
from hub_cards.repository import Part, Repository
from lrldata.errors import PublishError

RECORD = "lrl.json"
FORMAT = 1
FIRST = "1.0.0"
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_KEYS = {"version": str, "parts": dict, "pictures": dict, "card": dict, "history": list}


def read_record(repository: str, text: str) -> dict[str, Any]:
    """Read lrl.json. Raises PublishError where it is damaged, or of a newer version of ours."""
    try:
        record = json.loads(text)
        if isinstance(record.get("format"), int) and record["format"] > FORMAT:
            raise PublishError(f"{repository}: was published by a newer version of lrl.", "Install that.")
        right = record["format"] == FORMAT and all(isinstance(record[key], kind) for key, kind in _KEYS.items())
        right = (
            right and _VERSION.fullmatch(record["version"]) and all(Part(**part) for part in record["parts"].values())
        )
        right = right and all(isinstance(record["card"][key], dict) for key in ("metadata", "sections"))
        right = right and all(
            _VERSION.fullmatch(entry["version"]) and entry["parts"].get for entry in record["history"]
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        right = False
    if not right:
        raise PublishError(
            f"{repository}: {RECORD} on the Hub is damaged.",
            "Put it back as it was, from the history of the repository.",
        )
    return dict(record)


def write_record(
    repository: Repository, record: Mapping[str, Any] | None, version: str, parts: Mapping[str, Part], card: Card
) -> dict[str, Any]:
    """Return the record of a publication as it will be read back; `record` is the one before."""
    ours = {path for part in parts.values() for path in part.files}
    known = record["pictures"] if record else {}
    shown = {picture.path: picture.shows for picture in repository.pictures}
    history = list(record["history"]) if record else []
    if not history or history[-1]["version"] != version:
        history.append(
            {"version": version, "parts": {name: part.manifest_sha256 for name, part in sorted(parts.items())}}
        )
    value = {
        "format": FORMAT,
        "kind": repository.kind,
        "version": version,
        "parts": {name: asdict(part) for name, part in sorted(parts.items())},
        "pictures": dict(sorted(({path: shows for path, shows in known.items() if path in ours} | shown).items())),
        "card": card.record(),
        "history": history,
    }
    return dict(json.loads(json.dumps(value)))  # tuples become lists


def tag_of(version: str) -> str:
    """Return the tag of a version: v1.0.0."""
    return f"v{version}"


def order_of(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, by which versions are in order."""
    return tuple(map(int, version.split(".")))


def next_version(parts: Mapping[str, Part], record: Mapping[str, Any] | None, tags: Collection[str]) -> str:
    """Return the version of these parts: the same while their data and schemas are, else the next that is free."""
    if record is None:
        return free(FIRST, tags)
    before, version = record["parts"], str(record["version"])
    both = [(part, before[name]) for name, part in parts.items() if name in before]
    if any(part.schema != old["schema"] for part, old in both):
        return free(bump(version, 0), tags)
    if before.keys() != parts.keys() or any(part.data != old["data"] for part, old in both):
        return free(bump(version, 1), tags)
    return version


def bump(version: str, place: int) -> str:
    """Raise the number at a place, and set those behind it to nought."""
    numbers = order_of(version)
    return ".".join(
        str(number + 1 if at == place else number if at < place else 0) for at, number in enumerate(numbers)
    )


def free(version: str, tags: Collection[str]) -> str:
    """Return this version, or the next whose tag nobody has set."""
    while tag_of(version) in tags:
        version = bump(version, 1)
    return version
