"""The current state of a repository on the Hub. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hub_cards.publish.repository import File


@dataclass(frozen=True)
class RemoteFile:
    """A file on the Hub: `sha256` identifies a large file, and `blob`, its git object id, a small one."""

    bytes: int
    sha256: str | None
    blob: str | None

    def equals(self, file: File) -> bool:
        """Return whether it has the bytes of a local file."""
        return self.sha256 == file.sha256 if self.sha256 else self.bytes == file.size and self.blob == file.blob


@dataclass(frozen=True)
class RemoteRepository:
    """The current state of a repository on the Hub. Without a `tip`, the repository does not exist.

    `gated` says whether its files can only be read with permission.
    """

    tip: str | None = None
    private: bool = False
    files: Mapping[str, RemoteFile] | None = None
    tags: frozenset[str] = frozenset()
    readme: str | None = None
    record: Mapping[str, Any] | None = None
    gated: bool = False
