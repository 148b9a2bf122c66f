"""What test sets are called in a report: by their name, and where a language has two of one name, by a hash too. Pure.

A file is called by its stem and a folder by its last part, so that a/test.txt and b/test.txt have one name.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from lrldata.manifest import fingerprint

SHOWN = 6  # digits of a hash
Key = tuple[str, str, str, str]


def content_of(data: Mapping[str, Any]) -> str:
    """Return a hash of the items of a test set, from what a manifest says of it, whatever it says of other splits."""
    digest = data.get("sha256")
    if isinstance(digest, Mapping):  # of the Hub, by split
        digest = digest.get("test")
    files = data.get("files")
    for entry in files if isinstance(files, list) else ():
        if isinstance(entry, Mapping) and entry.get("path") == "test.tsv":
            digest = entry.get("sha256")
    return str(digest) if digest else fingerprint(data)


def key_of(language: str, task: str, data: Mapping[str, Any]) -> Key:
    """Return what tells a test set from others: language, task, name and content."""
    return language, task, str(data["name"]), content_of(data)


def names_of(keys: Iterable[Key]) -> dict[Key, str]:
    """Return what each test set is called."""
    contents: dict[tuple[str, str, str], set[str]] = {}
    for language, task, name, content in keys:
        contents.setdefault((language, task, name), set()).add(content)
    return {
        (language, task, name, content): name if len(several) == 1 else f"{name} {content[:SHOWN]}"
        for (language, task, name), several in contents.items()
        for content in several
    }
