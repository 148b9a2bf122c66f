"""Fetch a dump over HTTP: resumed by Range, checked by size and hash, kept in the cache. IO.

What a server says is checked: a file is resumed only by what is provably the rest of the same one, and an answer that
breaks off, or is empty, is not a file. Messages show addresses without passwords and signatures.
"""

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from lrldata.conceptnet.dump import Remote, local_path
from lrldata.errors import DownloadError, StorageError
from lrldata.locks import waited
from lrldata.manifest import sha256_of
from lrldata.output import redact
from lrldata.progress import Progress

TRIES = 5
_REDIRECTS = 10
_STRONG = re.compile(r'"[\x21\x23-\x7e]*"')  # a tag W/"..." says that two files are alike, not that they are the same
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_HINT = "Give a dump that you have with --dump FILE, or try the built-in --sample."


class _BrokenError(Exception):
    """An answer that is not the file, or not all of it; another try may bring it."""


class _OtherFileError(_BrokenError):
    """An answer that does not fit what came before, which is of no use then."""


# ValueError: of numbers in an answer or an address that the libraries cannot take.
_PASSING = (httpx.HTTPError, _BrokenError, ValueError, OverflowError)


@dataclass(frozen=True)
class _Part:
    """What came of a file so far: its bytes, and beside them the tag of the file and its whole size, if known."""

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "part"

    @property
    def _note(self) -> Path:
        return self.folder / "etag"

    def begun(self) -> tuple[int, str, int | None]:
        """Return how many bytes can be continued (0: none), the tag of the file that they are of, and its size."""
        if not self.path.is_file() or not self._note.is_file():
            return 0, "", None
        tag, _, total = self._note.read_text("utf-8", errors="replace").partition("\n")
        if not _STRONG.fullmatch(tag):
            return 0, "", None
        return self.path.stat().st_size, tag, int(total) if re.fullmatch("[0-9]{1,18}", total) else None

    def note(self, tag: str, total: int | None) -> None:
        """Remember which file the bytes will be of; without a tag that proves it they cannot be continued."""
        if _STRONG.fullmatch(tag):
            self._note.write_text(f"{tag}\n{'' if total is None else total}", "utf-8")
        else:
            self._note.unlink(missing_ok=True)

    def forget(self) -> None:
        """Begin from the first byte again."""
        self._note.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def download(remote: Remote, cache: Path, progress: Progress) -> Path:
    """Return the local path of a remote file, fetching what is missing of it.

    A partial file from an interrupted run is continued if the server still has the same one. Only a file that
    passes the checks gets its name. Raises DownloadError or StorageError.
    """
    _check_address(remote)
    target = local_path(remote, cache)
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    # Their own folder, as a dump may be named anything.
    part = _Part(target.parent.with_name(f"{target.parent.name}.unfinished"))
    part.folder.mkdir(exist_ok=True)
    with waited(part.folder / "lock", f"another process downloads {remote.name}"):
        if target.is_file():
            return target
        for attempt in range(1, TRIES + 1):
            try:
                _fetch(remote, part, progress)
                break
            except _PASSING as error:
                if isinstance(error, _OtherFileError):
                    part.forget()
                if attempt == TRIES:
                    done, *_ = part.begun()
                    kept = f" ({done:,} bytes are kept and will be continued)" if done else ""
                    why = (redact(str(error)).splitlines() or [""])[0] or type(error).__name__
                    raise DownloadError(f"{remote.shown}: {why}{kept}.", _HINT) from error
            time.sleep(min(2**attempt, 30) / 4)
        _check(remote, part)
        part.path.replace(target)
        part.forget()
    return target


def _check_address(remote: Remote) -> None:
    try:
        url = httpx.URL(remote.url)
        usable = url.scheme in ("http", "https") and bool(url.host)
    except (httpx.InvalidURL, ValueError) as error:
        raise DownloadError(f"{remote.shown}: not an address ({redact(str(error))}).", _HINT) from error
    if not usable:
        raise DownloadError(f"{remote.shown}: not an address of http or https.", _HINT)


def _fetch(remote: Remote, part: _Part, progress: Progress) -> None:
    """Fetch the file, or the rest of it, into `part`. Raises one of _PASSING where another try may help."""
    done, tag, known = part.begun()
    headers = {"Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={done}-", "If-Range": tag} if done else {}
    with _answer(remote, headers) as answer:
        _check_status(remote, answer)
        if answer.status_code == httpx.codes.PARTIAL_CONTENT:
            total = _total_of_rest(answer, done, tag, known)
        else:
            done, total = 0, _length(answer)
            part.note(answer.headers.get("etag", ""), total)
        if None not in (total, remote.bytes) and total != remote.bytes:
            part.forget()
            raise DownloadError(
                f"{remote.shown}: it has {total:,} bytes, {remote.bytes:,} were expected.", "Try again."
            )
        _receive(remote, answer, part, done, total if total is not None else remote.bytes, progress)


@contextmanager
def _answer(remote: Remote, headers: dict[str, str]) -> Iterator[httpx.Response]:
    """Ask, and follow where the server sends us, but not from a connection that nobody can read to one that all can."""
    with httpx.Client(timeout=30) as client:
        request = client.build_request("GET", remote.url, headers=headers)
        for _ in range(_REDIRECTS):
            answer = client.send(request, stream=True)
            try:
                following = answer.next_request
                if following is None:
                    yield answer
                    return
            finally:
                answer.close()
            scheme, next_scheme = request.url.scheme, following.url.scheme
            if next_scheme != "https" and (scheme == "https" or next_scheme != "http"):
                target = redact(str(following.url))
                raise DownloadError(f"{remote.shown}: the server redirects from {scheme} to {target}.", _HINT)
            request = following
    raise DownloadError(f"{remote.shown}: the server redirects more than {_REDIRECTS} times.", _HINT)


def _check_status(remote: Remote, answer: httpx.Response) -> None:
    status = answer.status_code
    if status in (408, 429) or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise _BrokenError(f"the server answers {status}")
    if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:  # it has fewer bytes than came before
        raise _OtherFileError(f"the server answers {status}")
    if status not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
        raise DownloadError(f"{remote.shown}: the server answers {status}.", _HINT)
    if "html" in answer.headers.get("content-type", ""):
        raise DownloadError(f"{remote.shown}: the server sends an HTML page, not a dump.", _HINT)


def _length(answer: httpx.Response) -> int | None:
    """Return how many bytes an answer says that it has."""
    said = answer.headers.get("content-length", "")
    return int(said) if re.fullmatch("[0-9]{1,18}", said) and "transfer-encoding" not in answer.headers else None


def _total_of_rest(answer: httpx.Response, begin: int, tag: str, known: int | None) -> int | None:
    """Return the size of the whole file, if it is known. Raises _OtherFileError for what is not its rest."""
    found, length = _RANGE.fullmatch(answer.headers.get("content-range", "")), _length(answer)
    if found is None or not begin or answer.headers.get("etag") != tag:
        raise _OtherFileError("the server sends a part of another file than the one that was begun")
    first, last, total = int(found[1]), int(found[2]), None if found[3] == "*" else int(found[3])
    fits = first == begin <= last and length in (None, last + 1 - first) and (total is None or last < total)
    if not fits or (None not in (total, known) and total != known):
        raise _OtherFileError("the server sends another part of the file than the one that was asked for")
    return total if total is not None else known


def _receive(
    remote: Remote, answer: httpx.Response, part: _Part, done: int, total: int | None, progress: Progress
) -> None:
    """Write what comes behind the bytes that are there."""
    length, free = _length(answer), shutil.disk_usage(part.folder).free
    if length is not None and length > free:
        raise StorageError(
            f"{part.folder}: {length:,} bytes to fetch and only {free:,} are free.",
            "Make room or name another --cache.",
        )
    with (
        part.path.open("ab" if done else "wb") as out,
        progress.bytes(f"Downloading {remote.name}", total, done) as advance,
    ):
        for block in answer.iter_raw():
            done += len(block)
            if total is not None and done > total:
                raise _OtherFileError(f"more bytes come than the {total:,} that it has")
            out.write(block)
            advance(len(block))
    if not done:
        raise _OtherFileError("the server sends nothing")
    if total is not None and done < total:
        raise _BrokenError(f"only {done:,} of {total:,} bytes came")


def _check(remote: Remote, part: _Part) -> None:
    size = part.path.stat().st_size
    if remote.bytes is not None and size != remote.bytes:
        part.forget()
        raise DownloadError(f"{remote.shown}: {size:,} bytes came, {remote.bytes:,} were expected.", "Try again.")
    if remote.sha256 is not None and (found := sha256_of(part.path)) != remote.sha256:
        part.forget()
        raise DownloadError(f"{remote.shown}: its SHA-256 is {found}, not {remote.sha256}.", "Try again, or " + _HINT)
