"""Answers in the Hub's manner: errors with their codes, pages of a list, parts of a file. Pure, but for `send_file`."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

# What is noted on a request while it is served.
WROTE = web.RequestKey("wrote", bool)  # something on disk may be another thing than before
CUT = web.RequestKey("cut", int)  # a fault: how many bytes of a large file are sent
BEGUN = web.RequestKey("begun", bool)  # the answer is on its way, too late for another
_CHUNK = 1 << 16
_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")
_DIGITS = 18  # of a number in a request; Python refuses to read thousands
_SHOWN = 500  # characters of a message: what is wrong may be quoted in it, and a header has little room


def refused(status: int, message: str, code: str | None = None, **more: object) -> web.HTTPException:
    """Return an error to raise. Clients tell errors apart by the code, and show the message."""
    message = message if len(message) <= _SHOWN else f"{message[:_SHOWN]}..."
    headers = {"X-Error-Message": re.sub(r"[^\x20-\x7e]", " ", message)}
    if code:
        headers["X-Error-Code"] = code
    error = _error_class(status)(text=json.dumps({"error": message, **more}), content_type="application/json")
    error.headers.update(headers)
    return error


def _error_class(status: int) -> Callable[..., web.HTTPException]:
    classes: dict[int, Callable[..., web.HTTPException]] = {
        400: web.HTTPBadRequest,
        401: web.HTTPUnauthorized,
        403: web.HTTPForbidden,
        404: web.HTTPNotFound,
        409: web.HTTPConflict,
        412: web.HTTPPreconditionFailed,
        413: partial(web.HTTPRequestEntityTooLarge, 0),
        415: web.HTTPUnsupportedMediaType,
        422: web.HTTPUnprocessableEntity,
    }
    return classes[status]


def no_repository() -> web.HTTPException:
    """Return the error for a repository that is not there, or that the asker must not know of."""
    return refused(404, "Repository not found", "RepoNotFound")


def no_revision(revision: str) -> web.HTTPException:
    """Return the error for a branch, tag or commit that is not there."""
    return refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def no_entry(path: str, commit: str) -> web.HTTPException:
    """Return the error for a file or folder that is not in a commit."""
    error = refused(404, f"Entry not found: {path}", "EntryNotFound")
    error.headers["X-Repo-Commit"] = commit  # clients remember for which commit a file is missing
    return error


def truth(value: object) -> bool:
    """Return whether a query or form value means yes."""
    return str(value).lower() in {"1", "true", "yes"}


def number(text: str, standard: int) -> int:
    """Return the number that a query holds, or the standard where it is empty. Raises 400 for anything else."""
    if not text:
        return standard
    if not re.fullmatch(f"[0-9]{{1,{_DIGITS}}}", text):
        raise refused(400, f"{text[:40]} is not a number of at most {_DIGITS} digits")
    return int(text)


def page(request: web.Request, rows: Sequence[Any], size: int) -> web.Response:
    """Return one page of the rows, with a link to the next one where there is one."""
    query = request.query
    start = number(query.get("cursor", ""), 0)
    limit = min(size, number(query.get("limit", ""), size))
    end = start + max(limit, 1)
    headers = {"X-Total-Count": str(len(rows))}
    if end < len(rows):
        following = request.url.update_query(cursor=str(end))
        headers["Link"] = f'<{following}>; rel="next"'
    return web.json_response(list(rows[start:end]), headers=headers)


def span(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first and the last but one position that a Range header asks for, or None for all.

    Raises the error 416 where it asks for nothing that is there.
    """
    if header is None or (asked := _RANGE.fullmatch(header.strip())) is None or asked.groups() == ("", ""):
        return None
    first, last = (digits if len(digits) <= _DIGITS else "9" * _DIGITS for digits in asked.groups())
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if start >= end:
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
    return start, end


def send_bytes(request: web.Request, data: bytes, headers: Mapping[str, str]) -> web.Response:
    """Return a file's bytes, or the part that is asked for."""
    part = span(request.headers.get("Range"), len(data))
    more = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"} | dict(headers)
    if part is None:
        # aiohttp leaves the length of nothing out of an answer to HEAD, and clients insist on it.
        return web.Response(body=data, headers=more | {"Content-Length": str(len(data))})
    start, end = part
    more["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
    return web.Response(status=206, body=data[start:end], headers=more)


async def send_file(request: web.Request, path: Path, headers: Mapping[str, str]) -> web.StreamResponse:
    """Send a large file, or the part that is asked for, piece by piece."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        part = span(request.headers.get("Range"), size)
        start, end = part or (0, size)
        more = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"} | dict(headers)
        if part:
            more["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        response = web.StreamResponse(status=206 if part else 200, headers=more)
        response.content_length = end - start
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        stop = min(end, start + request[CUT]) if CUT in request else end  # a fault that was asked for
        stream.seek(start)
        while start < stop and (piece := stream.read(min(_CHUNK, stop - start))):
            await response.write(piece)
            start += len(piece)
    if CUT not in request:
        await response.write_eof()
    return response
