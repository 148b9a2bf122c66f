"""The names of the test sets in a table. Those with the same name are distinguished by sample size, then by content.

A file is named by its stem and a folder by its last part, so a/test.txt and b/test.txt have the same name. Pure.
"""

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

from lrldata.manifest import fingerprint

SHOWN = 6  # digits of a hash that are shown


class Key(NamedTuple):
    """The key that distinguishes a test set; `limit` is the maximum number of items sampled from it."""

    language: str
    task: str
    name: str
    limit: int | None
    content: str


def content_of(data: Mapping[str, Any]) -> str:
    """Return a hash of the items of a test set, from its entry in a manifest, without any other splits."""
    digest = data.get("sha256")
    if isinstance(digest, Mapping):  # from the Hub: a hash per split
        digest = digest.get("test")
    files = data.get("files")
    for entry in files if isinstance(files, list) else ():
        if isinstance(entry, Mapping) and PurePath(str(entry.get("path"))).stem == "test":  # .tsv, .txt or .conll
            digest = entry.get("sha256")
    return str(digest) if digest else fingerprint(data)


def key_of(language: str, task: str, data: Mapping[str, Any], limit: int | None = None) -> Key:
    """Return the key of a test set."""
    sampled = limit or data.get("sampled")
    return Key(language, task, str(data["name"]), sampled if isinstance(sampled, int) else None, content_of(data))


def names_of(keys: Iterable[Key]) -> dict[Key, str]:
    """Return the name of each test set."""
    limits: dict[tuple[str, str], set[int | None]] = {}
    contents: dict[Key, set[str]] = {}
    distinct = set(keys)
    for key in distinct:
        limits.setdefault((key.task, key.name), set()).add(key.limit)
        contents.setdefault(key._replace(content=""), set()).add(key.content)
    names = {}
    for key in distinct:
        limit = key.limit if len(limits[key.task, key.name]) > 1 else None
        name = key.name if limit is None else f"{key.name}, at most {limit:,}"
        is_ambiguous = len(contents[key._replace(content="")]) > 1
        names[key] = f"{name} {key.content[:SHOWN]}" if is_ambiguous else name
    return names
