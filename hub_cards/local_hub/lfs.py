"""Pages of large files: where to send or fetch them, in one piece or in parts.

What a batch answers with are signed addresses: whoever has one needs no token, as with the Hub's own storage. The
signature covers how many bytes were declared, and neither fewer nor more are taken.
"""

import asyncio
import hashlib
import re
import shutil
from pathlib import Path
from typing import Any, BinaryIO

from aiohttp import web

from hub_cards.local_hub.answers import WROTE, number, refused, send_file
from hub_cards.local_hub.disk import spare, written
from hub_cards.local_hub.limits import OBJECTS, PARTS, json_of, pieces_of, rows_of, size_of
from hub_cards.local_hub.repositories import STORE, found_with_files, origin, to_suggest

PART = web.AppKey("part", int)
LARGEST = web.AppKey("largest", int)
JOINING = web.AppKey("joining", asyncio.Lock)  # the same parts are not joined twice at once
_OID = re.compile(r"[0-9a-f]{64}")
_CONTENT_TYPE = "application/vnd.git-lfs+json"
_PIECE = 1 << 20


def address(request: web.Request, what: str, oid: str, base: str, *, part: int = 0, size: int = 0) -> str:
    """Return the absolute, signed URL at which a large file, or a part of it, can be had or left."""
    signature = request.app[STORE].sign(f"{what} {oid} {part} {size}")
    query = "".join(f"{name}={value}&" for name, value in (("part", part), ("size", size)) if value)
    return f"{base}/lfs/{what}/{oid}?{query}X-Signature={signature}"


def _signed(request: web.Request, what: str) -> tuple[str, int, int]:
    """Return the id, the part and the size that a signed address is for. Raises 403 where we did not sign it."""
    oid, query = request.match_info["oid"], request.query
    part, size = number(query.get("part", ""), 0), number(query.get("size", ""), 0)
    if not request.app[STORE].is_signed(f"{what} {oid} {part} {size}", query.get("X-Signature", "")):
        raise refused(403, "The signature of this address is not right")
    return oid, part, size


def _most(request: web.Request) -> int:
    """Return how many bytes a large file may have now: so many that another one still fits on the disk."""
    return min(request.app[LARGEST], spare(request.app[STORE].root) // 2)


async def batch(request: web.Request) -> web.Response:
    """Say for each large file how to send or fetch it; one that is there needs no sending."""
    body = await json_of(request)
    rows = rows_of(body.get("objects", []), "objects", OBJECTS)
    objects, transfer = [], "basic"
    if body.get("operation") == "download":
        found_with_files(request)
        objects = [_described(row) | _to_fetch(request, row) for row in rows]
    else:
        # Which branch a large file is for is not said: who may open a pull request may send it.
        repo, _ = to_suggest(request)
        transfers = body.get("transfers")
        part = request.app[PART] if isinstance(transfers, list) and "multipart" in transfers else None
        verify = {"href": f"{origin(request)}/{repo.page}.git/info/lfs/objects/verify"}
        for row in rows:
            answer = _to_send(request, row, part)
            if "actions" in answer:
                transfer = "multipart" if "header" in answer["actions"]["upload"] else transfer
                answer["actions"]["verify"] = verify
            objects.append(_described(row) | answer)
    return web.json_response({"transfer": transfer, "objects": objects}, content_type=_CONTENT_TYPE)


def _described(row: dict[str, Any]) -> dict[str, Any]:
    return {"oid": row.get("oid"), "size": row.get("size")}


def _error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def _wrong(request: web.Request, row: dict[str, Any]) -> dict[str, Any] | None:
    """Return the error of an object that cannot be meant."""
    oid, size = row.get("oid"), row.get("size")
    named = isinstance(oid, str) and _OID.fullmatch(oid)
    if not named or isinstance(size, bool) or not isinstance(size, int) or size < 0:
        return _error(422, "An object needs a SHA-256 and a size")
    path = request.app[STORE].large(str(oid))
    if path.exists() and path.stat().st_size != size:
        return _error(422, f"The object has {path.stat().st_size} bytes, not {size}")
    return None


def _to_fetch(request: web.Request, row: dict[str, Any]) -> dict[str, Any]:
    if wrong := _wrong(request, row):
        return wrong
    if not request.app[STORE].large(row["oid"]).exists():
        return _error(404, "There is no such object")
    return {"actions": {"download": {"href": address(request, "download", row["oid"], origin(request))}}}


def _to_send(request: web.Request, row: dict[str, Any], part: int | None) -> dict[str, Any]:
    """Return where to send an object, in parts if it is longer than one; nothing where it is there already."""
    if wrong := _wrong(request, row):
        return wrong
    oid, size, base = row["oid"], row["size"], origin(request)
    if request.app[STORE].large(oid).exists():
        return {}
    if size > (most := _most(request)):
        return _error(413, f"The object has {size} bytes, and at most {most} are taken: see --largest")
    if part is None or size <= part:
        return {"actions": {"upload": {"href": address(request, "upload", oid, base, size=size)}}}
    part = max(part, -(-size // PARTS))
    header = {"chunk_size": str(part)}
    for count, start in enumerate(range(0, size, part), 1):
        length = min(part, size - start)
        header[f"{count:05}"] = address(request, "upload", oid, base, part=count, size=length)
    return {"actions": {"upload": {"href": address(request, "complete", oid, base, size=size), "header": header}}}


async def put(request: web.Request) -> web.Response:
    """Take a large file, or a part of one: as many bytes as were declared."""
    oid, part, size = _signed(request, "upload")
    store = request.app[STORE]
    if size > (most := _most(request)):
        raise refused(413, f"The object has {size} bytes, and at most {most} are taken: see --largest")
    hashed, come = hashlib.sha256(), 0
    with written(store.part(oid, part) if part else store.large(oid)) as stream:
        async for piece in pieces_of(request, _PIECE):
            come += len(piece)
            if come > size:
                raise refused(413, f"More came than the {size} bytes that were declared")
            if spare(store.root) < size - come:
                raise refused(413, "The disk has no room for this object any more")
            hashed.update(piece)
            stream.write(piece)
        if come != size:
            raise refused(400, f"{come} bytes came, and {size} were declared")
        if not part and hashed.hexdigest() != oid:
            raise refused(400, "The content has another SHA-256 than its address")
    request[WROTE] = True
    return web.Response(headers={"ETag": f'"{hashed.hexdigest()}"'})


async def complete(request: web.Request) -> web.Response:
    """Join the parts of a large file."""
    oid, _, size = _signed(request, "complete")
    store = request.app[STORE]
    asked = rows_of((await json_of(request)).get("parts"), "parts", PARTS)
    if sorted(size_of(row.get("partNumber")) for row in asked) != list(range(1, len(asked) + 1)):
        raise refused(400, "The parts are not numbered from 1, each once")
    asked.sort(key=lambda row: int(row["partNumber"]))
    parts = [(store.part(oid, count), str(row.get("etag")).strip('"')) for count, row in enumerate(asked, 1)]
    async with request.app[JOINING]:
        if not store.large(oid).exists():  # or else this was asked before, and the answer got lost
            _check_parts([path for path, _ in parts], size)
            await asyncio.to_thread(_join, parts, store.large(oid), oid)
            shutil.rmtree(store.part(oid, 0).parent, ignore_errors=True)
            request[WROTE] = True
    return web.json_response({"success": True})


def _check_parts(paths: list[Path], size: int) -> None:
    """Raise 400 where a part has not come, or they are more or less than was declared, and 413 without room."""
    for path in paths:
        if not path.exists():
            raise refused(400, f"Part {int(path.name)} has not come")
    if (come := sum(path.stat().st_size for path in paths)) != size:
        raise refused(400, f"The parts have {come} bytes together, and {size} were declared")
    if paths and size > spare(paths[0].parent):
        raise refused(413, "The disk has no room for this object any more")


def _join(parts: list[tuple[Path, str]], target: Path, oid: str) -> None:
    whole = hashlib.sha256()
    with written(target) as stream:
        for path, tag in parts:
            if _append(path, stream, whole) != tag:
                raise refused(400, f"Part {int(path.name)} has another ETag")
        if whole.hexdigest() != oid:
            raise refused(400, "The parts together have another SHA-256")


def _append(path: Path, target: BinaryIO, whole: "hashlib._Hash") -> str:
    """Copy a part to the end of a file, and return its SHA-256."""
    own = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            own.update(piece)
            whole.update(piece)
            target.write(piece)
    return own.hexdigest()


async def verify(request: web.Request) -> web.Response:
    """Confirm that a large file has come whole."""
    to_suggest(request)
    body = await json_of(request)
    oid = str(body.get("oid"))
    path = request.app[STORE].large(oid) if _OID.fullmatch(oid) else None
    if path is None or not path.exists():
        raise refused(404, "There is no such object")
    if path.stat().st_size != body.get("size"):
        raise refused(422, "The object has another size")
    return web.json_response({})


async def download(request: web.Request) -> web.StreamResponse:
    """Send a large file."""
    oid, _, _ = _signed(request, "download")
    path = request.app[STORE].large(oid)
    if not path.exists():
        raise refused(404, "There is no such object")
    headers = {"ETag": f'"{oid}"'}
    if commit := re.fullmatch("[0-9a-f]{40}", request.query.get("commit", "")):
        headers["X-Repo-Commit"] = commit[0]  # clients from 2.x follow the redirect, and want to know here too
    return await send_file(request, path, headers)
