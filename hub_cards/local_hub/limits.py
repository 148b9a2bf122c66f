"""Limits of requests: lengths, counts, nesting. Requests beyond them are refused with 400 or 413.

Pure, except for the functions that read a body. The limits are far above what clients send, and low enough that even
the worst request is answered within seconds.
"""

import json
import math
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, NoReturn

from aiohttp import web

from hub_cards.local_hub.answers import refused

BODY = 8 << 20  # bytes of a JSON body
COMMIT = 512 << 20  # bytes of a commit, which contains all its small files
LINE = 16 << 20  # bytes of one operation of a commit: a small file has at most 10 MiB, in base64
OPERATIONS = ROWS = 25_000  # operations of a commit; rows of any other list
OBJECTS = 1_000  # large files in one batch request
PARTS = 1_000  # parts of a large file
FILE = 8 << 30  # bytes of a large file, by default
TEXT = 20_000  # characters of a message or a note
PATH, FOLDERS, NAME = 1_024, 64, 255  # bytes of a path, names in it, and bytes per name
DEPTH = 64  # levels of a JSON value
_PIECE = 1 << 16
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


async def pieces_of(request: web.Request, length: int) -> AsyncIterator[bytes]:
    """Yield the body in pieces, decompressed if necessary. Raises 400 if it cannot be decompressed."""
    try:
        async for piece in request.content.iter_chunked(length):
            yield piece
    except web.RequestPayloadError as error:
        raise refused(400, f"The body cannot be read: {error}") from error


async def body_of(request: web.Request, most: int = BODY) -> bytes:
    """Return the body. Raises 413 as soon as it is longer than `most` bytes."""
    data = bytearray()
    if (request.content_length or 0) > most:
        _too_long(most)
    async for piece in pieces_of(request, _PIECE):
        data += piece
        if len(data) > most:
            _too_long(most)
    return bytes(data)


def _too_long(most: int) -> NoReturn:
    raise refused(413, f"The body is longer than the limit of {most} bytes")


def parse(data: bytes) -> Any:
    """Return the value of a JSON text that can be stored and sent again unchanged. Raises 400 for any other text."""
    try:
        text = data.decode()
        value = json.loads(text, parse_constant=_number, parse_float=_number, parse_int=_whole)
        _check_depth(value)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise refused(400, f"The JSON is nested deeper than the limit of {DEPTH} levels") from None
    except UnicodeEncodeError:
        raise refused(400, "The JSON contains half a surrogate pair, which is not a character") from None
    except ValueError as error:
        raise refused(400, f"The text is not JSON: {error}") from error
    return value


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is not a number")
    return value


def _whole(text: str) -> int:
    if len(text) > 19:
        raise ValueError(f"{text[:20]}... is too large a number")
    return int(text)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise RecursionError


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


async def json_of(request: web.Request) -> dict[str, Any]:
    """Return the JSON object in the body. Raises 400 if there is none and 413 if it is too long."""
    value = parse(await body_of(request))
    if not isinstance(value, dict):
        raise refused(400, "The body is not a JSON object")
    return value


def text_of(value: object, what: str, most: int = TEXT) -> str:
    """Return a string, empty for None. Raises 400 for any other value and 413 for a string that is too long."""
    if value is not None and not isinstance(value, str):
        raise refused(400, f"The {what} is not a string")
    if value and len(value) > most:
        raise refused(413, f"The {what} has {len(value)} characters, but the limit is {most}")
    return value or ""


def rows_of(value: object, what: str, most: int = ROWS) -> list[dict[str, Any]]:
    """Return a list of objects. Raises 400 for any other value and 413 for a list that is too long."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise refused(400, f"The {what} are not a list of objects")
    check_count(len(value), what, most)
    return value


def check_count(count: int, what: str, most: int) -> None:
    """Raise 413 if a count is above its limit."""
    if count > most:
        raise refused(413, f"{count} {what} were sent at once, but the limit is {most}")


def path_of(value: object) -> str:
    """Return the path of a file in a repository. Raises 400 if it is not a path, or is too long or too deep."""
    if not isinstance(value, str) or not value:
        raise refused(400, "A path is empty or not a string")
    names = value.split("/")
    if len(value.encode()) > PATH or len(names) > FOLDERS or any(len(name.encode()) > NAME for name in names):
        limits = f"at most {PATH} bytes, {FOLDERS} names and {NAME} bytes per name are allowed"
        raise refused(400, f"{value[:80]}... is too long or too deep for a path: {limits}")
    return value


def size_of(value: object) -> int:
    """Return a number of bytes. Raises 400 for any other value."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise refused(400, f"{str(value)[:40]} is not a number of bytes")
    return value
