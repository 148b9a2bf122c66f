"""Dumps at an address, the official one among them, and where they are kept."""

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from lrldata.output import redact

_LONGEST_NAME = 60  # letters, of four bytes at most: file systems take 255 bytes
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]')


@dataclass(frozen=True)
class Remote:
    """A file at an address, with its size in bytes and SHA-256 where they are known."""

    url: str
    bytes: int | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        """Return the file's name: one that is a name in a folder, whatever the address is."""
        name = _NOT_IN_NAMES.sub("_", urlsplit(self.url).path.rpartition("/")[2])[-_LONGEST_NAME:]
        return name if name.strip(". ") else "dump"

    @property
    def shown(self) -> str:
        """Return the address for messages."""
        return redact(self.url)


OFFICIAL = Remote(
    "https://s3.amazonaws.com/conceptnet/downloads/2019/edges/conceptnet-assertions-5.7.0.csv.gz",
    bytes=497_963_447,
    sha256="accd65fe94038584295574ddc26e1500c1919c8c4532bf771811cafd0948af7e",
)


def local_path(remote: Remote, cache: Path) -> Path:
    """Return where a remote file is kept; files of one name from two addresses do not meet."""
    place = sha256(remote.url.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return cache / "conceptnet" / "dumps" / place / remote.name
