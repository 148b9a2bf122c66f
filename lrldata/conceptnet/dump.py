"""ConceptNet dumps that can be downloaded, including the official one, and where they are cached."""

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from lrldata.output import redact

_LONGEST_NAME = 60  # characters of up to four bytes each: file systems allow 255 bytes
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]')


@dataclass(frozen=True)
class RemoteDump:
    """A file at a URL, with its size in bytes and its SHA-256 if they are known."""

    url: str
    bytes: int | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        """Return a file name that is valid in any folder, whatever the URL is."""
        name = _NOT_IN_NAMES.sub("_", urlsplit(self.url).path.rpartition("/")[2])[-_LONGEST_NAME:]
        return name if name.strip(". ") else "dump"

    @property
    def shown(self) -> str:
        """Return the URL for messages, without passwords and signatures."""
        return redact(self.url)


OFFICIAL = RemoteDump(
    "https://s3.amazonaws.com/conceptnet/downloads/2019/edges/conceptnet-assertions-5.7.0.csv.gz",
    bytes=497_963_447,
    sha256="accd65fe94038584295574ddc26e1500c1919c8c4532bf771811cafd0948af7e",
)


def local_path(remote: RemoteDump, cache: Path) -> Path:
    """Return the path where a remote file is cached. Files of the same name from two URLs do not collide."""
    url_hash = sha256(remote.url.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return cache / "conceptnet" / "dumps" / url_hash / remote.name
