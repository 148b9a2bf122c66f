"""A commit as clients send it (a header and operations, one JSON object per line), and LFS pointers. Pure."""

import base64
import binascii
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub_cards.local_hub import limits
from hub_cards.local_hub.answers import refused

_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize ([0-9]{1,18})\n")
_FORBIDDEN = {"", ".", "..", ".git", ".gitmodules"}  # git fsck rejects or inspects them


@dataclass(frozen=True)
class Large:
    """A large file: the SHA-256 of its content and its size in bytes, or -1 if the client does not give it."""

    oid: str
    size: int

    def pointer(self) -> bytes:
        """Return the pointer that git stores in place of the content."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.oid}\nsize {self.size}\n".encode()


@dataclass(frozen=True)
class Operation:
    """A file (bytes) or large file to add, or, without content, a path to delete; `folder` requires a folder."""

    path: str
    content: bytes | Large | None = None
    folder: bool = False


@dataclass(frozen=True)
class CommitRequest:
    """A requested commit."""

    summary: str
    description: str
    parent: str | None
    operations: tuple[Operation, ...]

    @property
    def message(self) -> str:
        """Return the full commit message."""
        return f"{self.summary}\n\n{self.description}".strip()


def read_pointer(data: bytes) -> Large | None:
    """Return the large file that a blob points to, or None if the blob is not a pointer."""
    match = _POINTER.fullmatch(data) if len(data) < 200 else None
    return Large(match[1].decode(), int(match[2])) if match else None


def parse(body: bytes) -> CommitRequest:
    """Read a commit. Raises 400 if it is not valid and 413 if it is too large."""
    limits.check_count(body.count(b"\n"), "operations", limits.OPERATIONS)
    header: dict[str, Any] | None = None
    operations = []
    for key, value in _lines(body):
        if key == "header":
            header = header or value
        else:
            operations.append(_operation(key, value))
    if header is None:
        raise refused(400, "The commit has no header")
    summary = limits.text_of(header.get("summary", ()), "summary")
    description = limits.text_of(header.get("description"), "description")
    return CommitRequest(
        summary, description, limits.text_of(header.get("parentCommit"), "parent") or None, tuple(operations)
    )


def _lines(body: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(io.BytesIO(body), 1):
        if len(line) > limits.LINE:
            raise refused(
                413, f"Line {number} of the commit is longer than {limits.LINE} bytes; upload the file as a large file"
            )
        if line.strip():
            entry = limits.parse(line)
            key, value = (entry.get("key"), entry.get("value")) if isinstance(entry, dict) else (None, None)
            if not isinstance(key, str) or not isinstance(value, dict):
                raise refused(400, f"Line {number} of the commit is not an object with a key and a value")
            yield key, value


def _operation(key: str, value: Mapping[str, Any]) -> Operation:
    path = limits.path_of(value.get("path"))
    if key in {"deletedFolder", "deletedFile"}:
        folder = key == "deletedFolder"
        return Operation(path.removesuffix("/") if folder else path, folder=folder)
    if any(part.lower() in _FORBIDDEN or "\0" in part or "\\" in part for part in path.split("/")):
        raise refused(422, f"{path} is not a valid path for a file")
    if key == "file":
        return Operation(path, _content(value, path))
    oid = value.get("oid")
    if key == "lfsFile" and isinstance(oid, str) and re.fullmatch("[0-9a-f]{64}", oid):
        size = value.get("size", -1)
        return Operation(path, Large(oid, -1 if size == -1 else limits.size_of(size)))
    raise refused(400, f"{key} of {path} is not a valid operation")


def _content(value: Mapping[str, Any], path: str) -> bytes | Large:
    """Return a file's bytes, or the large file that they point to, which must have been uploaded."""
    text = limits.text_of(value.get("content", ()), f"content of {path}", limits.LINE)
    try:
        data = base64.b64decode(text) if value.get("encoding") == "base64" else text.encode()
    except binascii.Error as error:
        raise refused(400, f"The content of {path} is not base64: {error}") from error
    return read_pointer(data) or data


@dataclass(slots=True)
class _Node:
    """The content of a path while a commit is applied: a file, paths below it, or temporarily both."""

    blob: str | None = None
    inside: "dict[str, _Node]" = field(default_factory=dict)

    def put(self, path: str, blob: str) -> None:
        node = self
        for name in path.split("/"):
            node = node.inside.setdefault(name, _Node())
        node.blob = blob

    def take(self, path: str, *, folder: bool) -> bool:
        """Remove a file or everything below it, and folders left empty. Return whether anything was removed."""
        names, nodes = path.split("/"), [self]
        for name in names:
            if name not in nodes[-1].inside:
                return False
            nodes.append(nodes[-1].inside[name])
        target = nodes[-1]
        if target.blob is not None and not folder:
            target.blob = None
        elif target.inside:
            target.inside = {}
        else:
            return False
        for name, parent, node in zip(reversed(names), nodes[-2::-1], nodes[:0:-1], strict=True):
            if node.blob is not None or node.inside:
                break
            del parent.inside[name]
        return True

    def files(self) -> Iterator[tuple[str, str, bool]]:
        """Yield the path and the blob of each file, and whether it is also a folder."""
        remaining = [("", self)]
        while remaining:
            path, node = remaining.pop()
            if node.blob is not None:
                yield path, node.blob, bool(node.inside)
            remaining += [(f"{path}/{name}" if path else name, child) for name, child in node.inside.items()]


def apply(files: Mapping[str, str], operations: Iterable[Operation], keep: Callable[[bytes], str]) -> dict[str, str]:
    """Return the files after the operations, as blob ids by path; `keep` stores bytes and returns their id.

    The sizes of large files must be known. Raises 404 if a path to delete does not exist and 400 if a path would be
    both a file and a folder. The time is proportional to the number of paths, not to files times operations.
    """
    root = _Node()
    for path, blob in files.items():
        root.put(path, blob)
    for operation in operations:
        path = operation.path
        if operation.content is not None:
            data = operation.content.pointer() if isinstance(operation.content, Large) else operation.content
            root.put(path, keep(data))
        elif not root.take(path, folder=operation.folder):
            kind = "folder" if operation.folder else "file"
            raise refused(404, f"A {kind} with this name doesn't exist: {path}", "EntryNotFound")
    rows = list(root.files())
    if both := [path for path, _, is_folder in rows if is_folder]:
        raise refused(400, f"{min(both)} would be both a file and a folder")
    return {path: blob for path, blob, _ in rows}
