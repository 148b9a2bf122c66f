"""Download a dump over HTTP, resume it with Range requests, check its size and hash, and cache it. IO.

Responses are not trusted: a download is resumed only if the response is provably the rest of the same file, and a
response that is cut off or empty is rejected. Messages show URLs without passwords and signatures.
"""

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from lrldata.conceptnet.dump import RemoteDump, local_path
from lrldata.errors import DownloadError, StorageError
from lrldata.locks import wait_for_lock
from lrldata.manifest import sha256_of
from lrldata.output import redact
from lrldata.progress import Progress

TRIES = 5
_REDIRECTS = 10
_STRONG = re.compile(r'"[\x21\x23-\x7e]*"')  # equal weak tags, W/"...", do not promise equal bytes
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_HINT = "Use a dump that you already have with --dump FILE, or try the built-in --sample."


class _BrokenError(Exception):
    """The response is not the file, or not all of it; another attempt may succeed."""


class _OtherFileError(_BrokenError):
    """The response does not match the bytes received before, which are then discarded."""


# ValueError and OverflowError: the libraries cannot handle a number in a response or a URL.
_TRANSIENT = (httpx.HTTPError, _BrokenError, ValueError, OverflowError)


@dataclass(frozen=True)
class _Part:
    """The part of a file received so far, stored next to the file's tag and total size, if known."""

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "part"

    @property
    def _note(self) -> Path:
        return self.folder / "etag"

    def begun(self) -> tuple[int, str, int | None]:
        """Return how many bytes can be continued (0: none), the tag of their file, and its total size."""
        if not self.path.is_file() or not self._note.is_file():
            return 0, "", None
        tag, _, total = self._note.read_text("utf-8", errors="replace").partition("\n")
        if not _STRONG.fullmatch(tag):
            return 0, "", None
        return self.path.stat().st_size, tag, int(total) if re.fullmatch("[0-9]{1,18}", total) else None

    def note(self, tag: str, total: int | None) -> None:
        """Record which file the bytes will belong to. Without a strong tag they cannot be continued."""
        if _STRONG.fullmatch(tag):
            self._note.write_text(f"{tag}\n{'' if total is None else total}", "utf-8")
        else:
            self._note.unlink(missing_ok=True)

    def forget(self) -> None:
        """Delete what was received, so that the next attempt starts from the first byte."""
        self._note.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def download(remote: RemoteDump, cache: Path, progress: Progress) -> Path:
    """Return the local path of a remote file, downloading what is missing of it.

    A partial file from an interrupted run is continued if the server still has the same file. Only a file that passes
    the checks gets its final name. Raises DownloadError or StorageError.
    """
    _check_address(remote)
    target = local_path(remote, cache)
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    # A folder of its own, because a dump may have any name.
    part = _Part(target.parent.with_name(f"{target.parent.name}.unfinished"))
    part.folder.mkdir(exist_ok=True)
    with wait_for_lock(part.folder / "lock", f"another process is downloading {remote.name}"):
        if target.is_file():
            return target
        for attempt in range(1, TRIES + 1):
            try:
                _fetch(remote, part, progress)
                break
            except _TRANSIENT as error:
                if isinstance(error, _OtherFileError):
                    part.forget()
                if attempt == TRIES:
                    done, *_ = part.begun()
                    kept = f" ({done:,} bytes are kept, and the next run continues from there)" if done else ""
                    why = (redact(str(error)).splitlines() or [""])[0] or type(error).__name__
                    raise DownloadError(f"{remote.shown}: {why}{kept}.", _HINT) from error
            time.sleep(min(2**attempt, 30) / 4)
        _check(remote, part)
        part.path.replace(target)
        part.forget()
    return target


def _check_address(remote: RemoteDump) -> None:
    try:
        url = httpx.URL(remote.url)
        usable = url.scheme in ("http", "https") and bool(url.host)
    except (httpx.InvalidURL, ValueError) as error:
        raise DownloadError(f"{remote.shown}: not a valid URL ({redact(str(error))}).", _HINT) from error
    if not usable:
        raise DownloadError(f"{remote.shown}: not a valid http or https URL.", _HINT)


def _fetch(remote: RemoteDump, part: _Part, progress: Progress) -> None:
    """Download the file, or the rest of it, into `part`. Raises one of _TRANSIENT if another attempt may help."""
    done, tag, known_total = part.begun()
    headers = {"Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={done}-", "If-Range": tag} if done else {}
    with _open_response(remote, headers) as response:
        _check_status(remote, response)
        if response.status_code == httpx.codes.PARTIAL_CONTENT:
            total = _total_of_rest(response, done, tag, known_total)
        else:
            done, total = 0, _length(response)
            part.note(response.headers.get("etag", ""), total)
        if None not in (total, remote.bytes) and total != remote.bytes:
            part.forget()
            raise DownloadError(
                f"{remote.shown}: the file has {total:,} bytes, but {remote.bytes:,} were expected.", "Try again."
            )
        _receive(remote, response, part, done, total if total is not None else remote.bytes, progress)


@contextmanager
def _open_response(remote: RemoteDump, headers: dict[str, str]) -> Iterator[httpx.Response]:
    """Send the request and follow redirects, but not from an encrypted connection to an unencrypted one."""
    with httpx.Client(timeout=30) as client:
        request = client.build_request("GET", remote.url, headers=headers)
        for _ in range(_REDIRECTS):
            response = client.send(request, stream=True)
            try:
                next_request = response.next_request
                if next_request is None:
                    yield response
                    return
            finally:
                response.close()
            scheme, next_scheme = request.url.scheme, next_request.url.scheme
            if next_scheme != "https" and (scheme == "https" or next_scheme != "http"):
                target = redact(str(next_request.url))
                raise DownloadError(f"{remote.shown}: the server redirects from {scheme} to {target}.", _HINT)
            request = next_request
    raise DownloadError(f"{remote.shown}: the server redirects more than {_REDIRECTS} times.", _HINT)


def _check_status(remote: RemoteDump, response: httpx.Response) -> None:
    status = response.status_code
    if status in (408, 429) or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise _BrokenError(f"the server answered with status {status}")
    if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:  # the file is shorter than what was received before
        raise _OtherFileError(f"the server answered with status {status}")
    if status not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
        raise DownloadError(f"{remote.shown}: the server answered with status {status}.", _HINT)
    if "html" in response.headers.get("content-type", ""):
        raise DownloadError(f"{remote.shown}: the server sent an HTML page, not a dump.", _HINT)


def _length(response: httpx.Response) -> int | None:
    """Return the number of bytes that a response declares."""
    declared = response.headers.get("content-length", "")
    return (
        int(declared) if re.fullmatch("[0-9]{1,18}", declared) and "transfer-encoding" not in response.headers else None
    )


def _total_of_rest(response: httpx.Response, begin: int, tag: str, known_total: int | None) -> int | None:
    """Return the size of the whole file, if known. Raises _OtherFileError if this is not the rest of it."""
    match, length = _RANGE.fullmatch(response.headers.get("content-range", "")), _length(response)
    if match is None or not begin or response.headers.get("etag") != tag:
        raise _OtherFileError("the server sent part of a different file from the one already begun")
    first, last, total = int(match[1]), int(match[2]), None if match[3] == "*" else int(match[3])
    fits = first == begin <= last and length in (None, last + 1 - first) and (total is None or last < total)
    if not fits or (None not in (total, known_total) and total != known_total):
        raise _OtherFileError("the server sent a different part of the file from the one requested")
    return total if total is not None else known_total


def _receive(
    remote: RemoteDump, response: httpx.Response, part: _Part, done: int, total: int | None, progress: Progress
) -> None:
    """Append the bytes of a response to those received before."""
    length, free = _length(response), shutil.disk_usage(part.folder).free
    if length is not None and length > free:
        raise StorageError(
            f"{part.folder}: the download needs {length:,} bytes, but only {free:,} bytes are free.",
            "Free some disk space, or choose another folder with --cache.",
        )
    with (
        part.path.open("ab" if done else "wb") as out,
        progress.bytes(f"Downloading {remote.name}", total, done) as advance,
    ):
        for block in response.iter_raw():
            done += len(block)
            if total is not None and done > total:
                raise _OtherFileError(f"the server sent more than the {total:,} bytes of the file")
            out.write(block)
            advance(len(block))
    if not done:
        raise _OtherFileError("the server sent nothing")
    if total is not None and done < total:
        raise _BrokenError(f"only {done:,} of {total:,} bytes were received")


def _check(remote: RemoteDump, part: _Part) -> None:
    size = part.path.stat().st_size
    if remote.bytes is not None and size != remote.bytes:
        part.forget()
        raise DownloadError(
            f"{remote.shown}: {size:,} bytes were received, but {remote.bytes:,} were expected.", "Try again."
        )
    if remote.sha256 is not None and (sha256 := sha256_of(part.path)) != remote.sha256:
        part.forget()
        raise DownloadError(f"{remote.shown}: its SHA-256 is {sha256}, not {remote.sha256}.", "Try again. " + _HINT)
