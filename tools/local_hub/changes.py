"""A commit as clients send it: a header and operations, one JSON a line; and pointers to large files. Pure."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from local_hub.answers import refused

_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (\d+)\n")
_FORBIDDEN = {"", ".", "..", ".git", ".gitmodules"}  # git fsck would not have them, or would look into them


@dataclass(frozen=True)
class Large:
    """A large file: the SHA-256 of its content and its size in bytes; -1 where the client leaves it open."""

    oid: str
    size: int

    def pointer(self) -> bytes:
        """Return what stands in git in the place of the content."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.oid}\nsize {self.size}\n".encode()


@dataclass(frozen=True)
class Operation:
    """A file (bytes), a large file, or, with neither, what to delete: a folder for sure, or whatever is there."""

    path: str
    content: bytes | Large | None = None
    folder: bool = False


@dataclass(frozen=True)
class Asked:
    """What a commit is to be."""

    summary: str
    description: str
    parent: str | None
    operations: tuple[Operation, ...]

    @property
    def message(self) -> str:
        """Return the whole message."""
        return f"{self.summary}\n\n{self.description}".strip()


def read_pointer(data: bytes) -> Large | None:
    """Return the large file that a blob points to, or None where it is a file itself."""
    match = _POINTER.fullmatch(data) if len(data) < 200 else None
    return Large(match[1].decode(), int(match[2])) if match else None


def parse(body: bytes) -> Asked:
    """Read a commit. Raises 400 where it cannot be understood."""
    try:
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        operations = tuple(_operation(line["key"], line["value"]) for line in lines if line["key"] != "header")
        return Asked(header["summary"], header.get("description") or "", header.get("parentCommit"), operations)
    except (ValueError, KeyError, TypeError, StopIteration, binascii.Error) as error:
        raise refused(400, f"The commit cannot be read: {error!r}") from error


def _operation(key: str, value: Mapping[str, str]) -> Operation:
    path = value["path"].removesuffix("/") if key == "deletedFolder" else value["path"]
    if key in {"deletedFolder", "deletedFile"}:
        return Operation(path, folder=key == "deletedFolder")
    if any(part.lower() in _FORBIDDEN or "\0" in part or "\\" in part for part in path.split("/")):
        raise refused(422, f"{path} cannot be the path of a file")
    if key == "file":
        text = value["content"]
        return Operation(path, base64.b64decode(text) if value.get("encoding") == "base64" else text.encode())
    if key == "lfsFile" and re.fullmatch("[0-9a-f]{64}", value["oid"]):
        return Operation(path, Large(value["oid"], int(value.get("size", -1))))
    raise ValueError(f"{key} is not an operation")


def apply(files: Mapping[str, str], operations: Iterable[Operation], keep: Callable[[bytes], str]) -> dict[str, str]:
    """Return the files after the operations, as blob ids by path; `keep` stores bytes and returns their id.

    Sizes of large files must be known by now. Raises 404 where what is to be deleted is not there and 400 where a
    path would be both a file and a folder.
    """
    after = dict(files)
    for operation in operations:
        path = operation.path
        if operation.content is not None:
            data = operation.content.pointer() if isinstance(operation.content, Large) else operation.content
            after[path] = keep(data)
        elif path in after and not operation.folder:
            del after[path]
        else:
            inside = [each for each in after if each.startswith(f"{path}/")]
            if not inside:
                what = "folder" if operation.folder else "file"
                raise refused(404, f"A {what} with this name doesn't exist: {path}", "EntryNotFound")
            for each in inside:
                del after[each]
    folders = {path[:at] for path in after for at, letter in enumerate(path) if letter == "/"}
    if both := sorted(folders & after.keys()):
        raise refused(400, f"{both[0]} would be a file and a folder")
    return after
