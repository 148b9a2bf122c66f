"""What the test sets of one table are called: those of one name by how many items were drawn, else by their content.

A file is called by its stem and a folder by its last part, so that a/test.txt and b/test.txt have one name. Pure.
"""

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

from lrldata.manifest import fingerprint

SHOWN = 6  # digits of a hash


class Key(NamedTuple):
    """What tells a test set from others; `limit` is how many items were drawn of it at most."""

    language: str
    task: str
    name: str
    limit: int | None
    content: str


def content_of(data: Mapping[str, Any]) -> str:
    """Return a hash of the items of a test set, from what a manifest says of it, whatever it says of other splits."""
    digest = data.get("sha256")
    if isinstance(digest, Mapping):  # of the Hub, by split
        digest = digest.get("test")
    files = data.get("files")
    for entry in files if isinstance(files, list) else ():
        if isinstance(entry, Mapping) and PurePath(str(entry.get("path"))).stem == "test":  # .tsv, .txt or .conll
            digest = entry.get("sha256")
    return str(digest) if digest else fingerprint(data)


def key_of(language: str, task: str, data: Mapping[str, Any], limit: int | None = None) -> Key:
    """Return what tells a test set from others."""
    drawn = limit or data.get("sampled")
    return Key(language, task, str(data["name"]), drawn if isinstance(drawn, int) else None, content_of(data))


def names_of(keys: Iterable[Key]) -> dict[Key, str]:
    """Return what each test set is called."""
    limits: dict[tuple[str, str], set[int | None]] = {}
    contents: dict[Key, set[str]] = {}
    every = set(keys)
    for key in every:
        limits.setdefault((key.task, key.name), set()).add(key.limit)
        contents.setdefault(key._replace(content=""), set()).add(key.content)
    names = {}
    for key in every:
        drawn = key.limit if len(limits[key.task, key.name]) > 1 else None
        name = key.name if drawn is None else f"{key.name}, at most {drawn:,}"
        several = len(contents[key._replace(content="")]) > 1
        names[key] = f"{name} {key.content[:SHOWN]}" if several else name
    return names
