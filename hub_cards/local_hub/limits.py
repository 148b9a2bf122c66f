"""How much a request may ask for: lengths, numbers, nesting. What is beyond is refused with 400 or 413.

Pure, but for what reads a body. The figures are far above what the clients send, and low enough that the worst
request is answered in seconds.
"""

import json
import math
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, NoReturn

from aiohttp import web

from hub_cards.local_hub.answers import refused

BODY = 8 << 20  # bytes of a JSON body
COMMIT = 512 << 20  # bytes of a commit, which holds all its small files
LINE = 16 << 20  # bytes of one of its operations: a small file has 10 MiB at most, in base64
OPERATIONS = ROWS = 25_000  # operations of a commit; rows of any other list
OBJECTS = 1_000  # large files that are asked about at once
PARTS = 1_000  # parts of a large file
FILE = 8 << 30  # bytes of a large file, if the one who starts the server says nothing else
TEXT = 20_000  # characters of a message or a note
PATH, FOLDERS, NAME = 1_024, 64, 255  # bytes of a path; names in it; bytes of each
DEPTH = 64  # levels of a JSON value
_PIECE = 1 << 16
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


async def pieces_of(request: web.Request, length: int) -> AsyncIterator[bytes]:
    """Yield the body in pieces, inflated where it came compressed. Raises 400 where that cannot be done."""
    try:
        async for piece in request.content.iter_chunked(length):
            yield piece
    except web.RequestPayloadError as error:
        raise refused(400, f"The body cannot be read: {error}") from error


async def body_of(request: web.Request, most: int = BODY) -> bytes:
    """Return the body. Raises 413 for a longer one, before all of it has come."""
    data = bytearray()
    if (request.content_length or 0) > most:
        _too_long(most)
    async for piece in pieces_of(request, _PIECE):
        data += piece
        if len(data) > most:
            _too_long(most)
    return bytes(data)


def _too_long(most: int) -> NoReturn:
    raise refused(413, f"The body is longer than {most} bytes, which is the most that is taken")


def parse(data: bytes) -> Any:
    """Return the value of a JSON text, which may be stored and sent again as it is. Raises 400 for any other text."""
    try:
        text = data.decode()
        value = json.loads(text, parse_constant=_number, parse_float=_number, parse_int=_whole)
        _check_depth(value)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise refused(400, f"The JSON is nested deeper than {DEPTH} levels, which is the most that is taken") from None
    except UnicodeEncodeError:
        raise refused(400, "The JSON holds half a surrogate pair, which is not a character") from None
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
    """Return the JSON object in the body. Raises 400 where there is none and 413 where it is too long."""
    value = parse(await body_of(request))
    if not isinstance(value, dict):
        raise refused(400, "The body is not a JSON object")
    return value


def text_of(value: object, what: str, most: int = TEXT) -> str:
    """Return a text, empty where None was sent. Raises 400 for another value and 413 for a longer text."""
    if value is not None and not isinstance(value, str):
        raise refused(400, f"The {what} is not a text")
    if value and len(value) > most:
        raise refused(413, f"The {what} has {len(value)} characters; {most} are the most that is taken")
    return value or ""


def rows_of(value: object, what: str, most: int = ROWS) -> list[dict[str, Any]]:
    """Return a list of objects. Raises 400 for another value and 413 for a longer list."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise refused(400, f"The {what} are not a list of objects")
    check_count(len(value), what, most)
    return value


def check_count(count: int, what: str, most: int) -> None:
    """Raise 413 for more than the most."""
    if count > most:
        raise refused(413, f"{count} {what} were sent at once; {most} are the most that is taken")


def path_of(value: object) -> str:
    """Return the path of a file in a repository. Raises 400 for what is not a path, or is too long or deep."""
    if not isinstance(value, str) or not value:
        raise refused(400, "A path is not a text, or is empty")
    names = value.split("/")
    if len(value.encode()) > PATH or len(names) > FOLDERS or any(len(name.encode()) > NAME for name in names):
        most = f"{PATH} bytes, {FOLDERS} names and {NAME} bytes a name are the most"
        raise refused(400, f"{value[:80]}... is too long or too deep for a path: {most}")
    return value


def size_of(value: object) -> int:
    """Return a number of bytes. Raises 400 for what is not one."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise refused(400, f"{str(value)[:40]} is not a number of bytes")
    return value
