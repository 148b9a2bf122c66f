"""Fetch a dump over HTTP: resumed by Range, checked by size and hash, kept in the cache. IO."""

import shutil
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from filelock import FileLock

from lrldata.errors import DownloadError, StorageError
from lrldata.manifest import sha256_of
from lrldata.progress import Progress

TRIES = 5
_WAY_OUT = "Give a dump that you have with --dump FILE, or try the built-in --sample."


@dataclass(frozen=True)
class Remote:
    """A file at an address, with its size in bytes and SHA-256 where they are known."""

    url: str
    bytes: int | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        """Return the file's name."""
        name = Path(urlsplit(self.url).path).name
        return name if name.strip(".") else "dump"


OFFICIAL = Remote(
    "https://s3.amazonaws.com/conceptnet/downloads/2019/edges/conceptnet-assertions-5.7.0.csv.gz",
    bytes=497_963_447,
    sha256="accd65fe94038584295574ddc26e1500c1919c8c4532bf771811cafd0948af7e",
)


def local_path(remote: Remote, cache: Path) -> Path:
    """Return where a remote file is kept; files of one name from two addresses do not meet."""
    place = sha256(remote.url.encode()).hexdigest()[:8]
    return cache / "conceptnet" / "dumps" / place / remote.name


def download(remote: Remote, cache: Path, progress: Progress) -> Path:
    """Return the local path of a remote file, fetching what is missing of it.

    A partial file from an interrupted run is continued if the server still has the same one. Only a file that
    passes the checks gets its name. Raises DownloadError or StorageError.
    """
    target = local_path(remote, cache)
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    # Their own folder, as a dump may be named anything.
    beside = target.parent.with_name(f"{target.parent.name}.unfinished")
    beside.mkdir(exist_ok=True)
    part, tag = beside / "part", beside / "etag"
    with FileLock(beside / "lock"):
        if target.is_file():
            return target
        for attempt in range(1, TRIES + 1):
            try:
                _fetch(remote, part, tag, progress)
                break
            except httpx.HTTPStatusError as error:
                status = error.response.status_code
                if status not in (408, 429) and status < 500:
                    raise DownloadError(f"{remote.url}: the server answers {status}.", _WAY_OUT) from error
                failure: Exception = error
            except httpx.HTTPError as error:
                failure = error
            if attempt == TRIES:
                kept = f" ({part.stat().st_size:,} bytes are kept and will be continued)" if part.exists() else ""
                raise DownloadError(f"{remote.url}: {failure or type(failure).__name__}{kept}.", _WAY_OUT) from failure
            time.sleep(min(2**attempt, 30) / 4)
        _check(remote, part)
        part.replace(target)
        tag.unlink(missing_ok=True)
    return target


def _fetch(remote: Remote, part: Path, tag: Path, progress: Progress) -> None:
    """Fetch the file, or the rest of it, into `part`."""
    done = part.stat().st_size if part.exists() and tag.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={done}-", "If-Range": tag.read_text()} if done else {}
    with httpx.stream("GET", remote.url, headers=headers, follow_redirects=True, timeout=30) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)  # longer than the file is: begin again at the next try
        answer.raise_for_status()
        if "html" in answer.headers.get("content-type", ""):
            raise DownloadError(f"{remote.url}: the server sends an HTML page, not a dump.", _WAY_OUT)
        resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT
        length = int(answer.headers["content-length"]) if "content-length" in answer.headers else None
        total = length + (done if resumed else 0) if length is not None else remote.bytes
        free = shutil.disk_usage(part.parent).free
        if length is not None and length > free:
            raise StorageError(
                f"{part.parent}: {length:,} bytes to fetch and only {free:,} are free.",
                "Make room or name another --cache.",
            )
        if etag := answer.headers.get("etag"):
            tag.write_text(etag)
        with (
            part.open("ab" if resumed else "wb") as out,
            progress.bytes(f"Downloading {remote.name}", total, done if resumed else 0) as advance,
        ):
            for block in answer.iter_raw():
                out.write(block)
                advance(len(block))


def _check(remote: Remote, part: Path) -> None:
    size = part.stat().st_size
    if remote.bytes is not None and size != remote.bytes:
        part.unlink()
        raise DownloadError(f"{remote.url}: {size:,} bytes came, {remote.bytes:,} were expected.", "Try again.")
    if remote.sha256 is not None and (found := sha256_of(part)) != remote.sha256:
        part.unlink()
        raise DownloadError(f"{remote.url}: its SHA-256 is {found}, not {remote.sha256}.", "Try again, or " + _WAY_OUT)
