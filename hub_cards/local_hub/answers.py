"""Responses in the Hub's format: errors with codes, pages of a list, parts of a file. Pure, except `send_file`."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

# Notes that are attached to a request while it is served.
WROTE = web.RequestKey("wrote", bool)  # something on disk may have changed
CUT = web.RequestKey("cut", int)  # a fault: only this many bytes of a large file are sent
BEGUN = web.RequestKey("begun", bool)  # the response is being sent, so it is too late for another
_CHUNK = 1 << 16
_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")
_DIGITS = 18  # in a number of a request; Python refuses to parse thousands of digits
_SHOWN = 500  # characters of a message, which may quote the input; headers have limited space


def refused(status: int, message: str, code: str | None = None, **more: object) -> web.HTTPException:
    """Return an error to raise. Clients distinguish errors by the code, and show the message."""
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
    """Return the error for a repository that does not exist, or that the sender may not know about."""
    return refused(404, "Repository not found", "RepoNotFound")


def no_revision(revision: str) -> web.HTTPException:
    """Return the error for a branch, tag or commit that does not exist."""
    return refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def no_entry(path: str, commit: str) -> web.HTTPException:
    """Return the error for a file or folder that is not in a commit."""
    error = refused(404, f"Entry not found: {path}", "EntryNotFound")
    error.headers["X-Repo-Commit"] = commit  # clients cache that this commit lacks the file
    return error


def truth(value: object) -> bool:
    """Return whether a query or form value means yes."""
    return str(value).lower() in {"1", "true", "yes"}


def number(text: str, standard: int) -> int:
    """Return the number in a query value, or `standard` if it is empty. Raises 400 for anything else."""
    if not text:
        return standard
    if not re.fullmatch(f"[0-9]{{1,{_DIGITS}}}", text):
        raise refused(400, f"{text[:40]} is not a number of at most {_DIGITS} digits")
    return int(text)


def page(request: web.Request, rows: Sequence[Any], size: int) -> web.Response:
    """Return one page of the rows, with a link to the next page if there is one."""
    query = request.query
    start = number(query.get("cursor", ""), 0)
    limit = min(size, number(query.get("limit", ""), size))
    end = start + max(limit, 1)
    headers = {"X-Total-Count": str(len(rows))}
    if end < len(rows):
        next_page = request.url.update_query(cursor=str(end))
        headers["Link"] = f'<{next_page}>; rel="next"'
    return web.json_response(list(rows[start:end]), headers=headers)


def span(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the start and the end (exclusive) that a Range header asks for, or None for the whole content.

    Raises 416 if the range is outside the content.
    """
    if header is None or (match := _RANGE.fullmatch(header.strip())) is None or match.groups() == ("", ""):
        return None
    first, last = (digits if len(digits) <= _DIGITS else "9" * _DIGITS for digits in match.groups())
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if start >= end:
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
    return start, end


def send_bytes(request: web.Request, data: bytes, headers: Mapping[str, str]) -> web.Response:
    """Return a file's bytes, or the requested part of them."""
    part = span(request.headers.get("Range"), len(data))
    all_headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"} | dict(headers)
    if part is None:
        # aiohttp omits a zero length from a response to HEAD, but clients require it.
        return web.Response(body=data, headers=all_headers | {"Content-Length": str(len(data))})
    start, end = part
    all_headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
    return web.Response(status=206, body=data[start:end], headers=all_headers)


async def send_file(request: web.Request, path: Path, headers: Mapping[str, str]) -> web.StreamResponse:
    """Send a large file, or the requested part of it, piece by piece."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        part = span(request.headers.get("Range"), size)
        start, end = part or (0, size)
        all_headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"} | dict(headers)
        if part:
            all_headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        response = web.StreamResponse(status=206 if part else 200, headers=all_headers)
        response.content_length = end - start
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        stop = min(end, start + request[CUT]) if CUT in request else end  # an injected fault
        stream.seek(start)
        while start < stop and (piece := stream.read(min(_CHUNK, stop - start))):
            await response.write(piece)
            start += len(piece)
    if CUT not in request:
        await response.write_eof()
    return response
