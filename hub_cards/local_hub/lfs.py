"""Endpoints for large files: where to upload or download them, whole or in parts.

A batch request returns signed addresses. As with the Hub's own storage, whoever has one needs no token. The signature
covers the declared number of bytes; an upload must have exactly that many.
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
from hub_cards.local_hub.repositories import STORE, origin, repository_with_files, to_suggest

PART = web.AppKey("part", int)
LARGEST = web.AppKey("largest", int)
JOINING = web.AppKey("joining", asyncio.Lock)  # prevents joining the same parts twice at the same time
_OID = re.compile(r"[0-9a-f]{64}")
_CONTENT_TYPE = "application/vnd.git-lfs+json"
_PIECE = 1 << 20


def address(request: web.Request, what: str, oid: str, base: str, *, part: int = 0, size: int = 0) -> str:
    """Return the absolute, signed URL for downloading or uploading a large file, or a part of it."""
    signature = request.app[STORE].sign(f"{what} {oid} {part} {size}")
    query = "".join(f"{name}={value}&" for name, value in (("part", part), ("size", size)) if value)
    return f"{base}/lfs/{what}/{oid}?{query}X-Signature={signature}"


def _verified(request: web.Request, action: str) -> tuple[str, int, int]:
    """Return the id, the part and the size of a signed address. Raises 403 if the signature is not valid."""
    oid, query = request.match_info["oid"], request.query
    part, size = number(query.get("part", ""), 0), number(query.get("size", ""), 0)
    if not request.app[STORE].is_signed(f"{action} {oid} {part} {size}", query.get("X-Signature", "")):
        raise refused(403, "The signature of this address is not valid")
    return oid, part, size


def _max_size(request: web.Request) -> int:
    """Return the current maximum size of a large file in bytes; another one of that size still fits on the disk."""
    return min(request.app[LARGEST], spare(request.app[STORE].root) // 2)


async def batch(request: web.Request) -> web.Response:
    """Return how to upload or download each large file. Files that are already stored need no upload."""
    body = await json_of(request)
    rows = rows_of(body.get("objects", []), "objects", OBJECTS)
    objects, transfer = [], "basic"
    if body.get("operation") == "download":
        repository_with_files(request)
        objects = [_described(row) | _download_of(request, row) for row in rows]
    else:
        # The request does not name a branch, so whoever may open a pull request may upload.
        repo, _ = to_suggest(request)
        transfers = body.get("transfers")
        part = request.app[PART] if isinstance(transfers, list) and "multipart" in transfers else None
        verify = {"href": f"{origin(request)}/{repo.page}.git/info/lfs/objects/verify"}
        for row in rows:
            answer = _upload_of(request, row, part)
            if "actions" in answer:
                transfer = "multipart" if "header" in answer["actions"]["upload"] else transfer
                answer["actions"]["verify"] = verify
            objects.append(_described(row) | answer)
    return web.json_response({"transfer": transfer, "objects": objects}, content_type=_CONTENT_TYPE)


def _described(row: dict[str, Any]) -> dict[str, Any]:
    return {"oid": row.get("oid"), "size": row.get("size")}


def _error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def _object_error(request: web.Request, row: dict[str, Any]) -> dict[str, Any] | None:
    """Return the error for an object that is not valid, or None."""
    oid, size = row.get("oid"), row.get("size")
    is_oid = isinstance(oid, str) and _OID.fullmatch(oid)
    if not is_oid or isinstance(size, bool) or not isinstance(size, int) or size < 0:
        return _error(422, "An object needs a SHA-256 and a size")
    path = request.app[STORE].large(str(oid))
    if path.exists() and path.stat().st_size != size:
        return _error(422, f"The object has {path.stat().st_size} bytes, not {size}")
    return None


def _download_of(request: web.Request, row: dict[str, Any]) -> dict[str, Any]:
    if error := _object_error(request, row):
        return error
    if not request.app[STORE].large(row["oid"]).exists():
        return _error(404, "The object does not exist")
    return {"actions": {"download": {"href": address(request, "download", row["oid"], origin(request))}}}


def _upload_of(request: web.Request, row: dict[str, Any], part: int | None) -> dict[str, Any]:
    """Return where to upload an object, in parts if it is larger than one; empty if it is already stored."""
    if error := _object_error(request, row):
        return error
    oid, size, base = row["oid"], row["size"], origin(request)
    if request.app[STORE].large(oid).exists():
        return {}
    if size > (limit := _max_size(request)):
        return _error(413, f"The object has {size} bytes, but at most {limit} are accepted: see --largest")
    if part is None or size <= part:
        return {"actions": {"upload": {"href": address(request, "upload", oid, base, size=size)}}}
    part = max(part, -(-size // PARTS))
    header = {"chunk_size": str(part)}
    for count, start in enumerate(range(0, size, part), 1):
        length = min(part, size - start)
        header[f"{count:05}"] = address(request, "upload", oid, base, part=count, size=length)
    return {"actions": {"upload": {"href": address(request, "complete", oid, base, size=size), "header": header}}}


async def put(request: web.Request) -> web.Response:
    """Receive a large file, or a part of one, with exactly the declared number of bytes."""
    oid, part, size = _verified(request, "upload")
    store = request.app[STORE]
    if size > (limit := _max_size(request)):
        raise refused(413, f"The object has {size} bytes, but at most {limit} are accepted: see --largest")
    hashed, received = hashlib.sha256(), 0
    with written(store.part(oid, part) if part else store.large(oid)) as stream:
        async for piece in pieces_of(request, _PIECE):
            received += len(piece)
            if received > size:
                raise refused(413, f"The upload has more than the declared {size} bytes")
            if spare(store.root) < size - received:
                raise refused(413, "The disk no longer has room for this object")
            hashed.update(piece)
            stream.write(piece)
        if received != size:
            raise refused(400, f"The upload has {received} bytes, but {size} were declared")
        if not part and hashed.hexdigest() != oid:
            raise refused(400, "The SHA-256 of the content does not match the address")
    request[WROTE] = True
    return web.Response(headers={"ETag": f'"{hashed.hexdigest()}"'})


async def complete(request: web.Request) -> web.Response:
    """Join the parts of a large file."""
    oid, _, size = _verified(request, "complete")
    store = request.app[STORE]
    listed = rows_of((await json_of(request)).get("parts"), "parts", PARTS)
    if sorted(size_of(row.get("partNumber")) for row in listed) != list(range(1, len(listed) + 1)):
        raise refused(400, "The parts are not numbered consecutively from 1")
    listed.sort(key=lambda row: int(row["partNumber"]))
    parts = [(store.part(oid, count), str(row.get("etag")).strip('"')) for count, row in enumerate(listed, 1)]
    async with request.app[JOINING]:
        if not store.large(oid).exists():  # otherwise the request is a repetition, as the response was lost
            _check_parts([path for path, _ in parts], size)
            await asyncio.to_thread(_join, parts, store.large(oid), oid)
            shutil.rmtree(store.part(oid, 0).parent, ignore_errors=True)
            request[WROTE] = True
    return web.json_response({"success": True})


def _check_parts(paths: list[Path], size: int) -> None:
    """Raise 400 if a part is missing or the total size is not the declared one, and 413 if there is no room."""
    for path in paths:
        if not path.exists():
            raise refused(400, f"Part {int(path.name)} was not uploaded")
    if (total := sum(path.stat().st_size for path in paths)) != size:
        raise refused(400, f"The parts have {total} bytes in total, but {size} were declared")
    if paths and size > spare(paths[0].parent):
        raise refused(413, "The disk no longer has room for this object")


def _join(parts: list[tuple[Path, str]], target: Path, oid: str) -> None:
    whole = hashlib.sha256()
    with written(target) as stream:
        for path, tag in parts:
            if _append(path, stream, whole) != tag:
                raise refused(400, f"Part {int(path.name)} has a different ETag")
        if whole.hexdigest() != oid:
            raise refused(400, "The joined parts have a different SHA-256")


def _append(path: Path, target: BinaryIO, whole: "hashlib._Hash") -> str:
    """Append a part to a file, and return the SHA-256 of the part."""
    hashed = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            hashed.update(piece)
            whole.update(piece)
            target.write(piece)
    return hashed.hexdigest()


async def verify(request: web.Request) -> web.Response:
    """Confirm that a large file is complete."""
    to_suggest(request)
    body = await json_of(request)
    oid = str(body.get("oid"))
    path = request.app[STORE].large(oid) if _OID.fullmatch(oid) else None
    if path is None or not path.exists():
        raise refused(404, "The object does not exist")
    if path.stat().st_size != body.get("size"):
        raise refused(422, "The object has a different size")
    return web.json_response({})


async def download(request: web.Request) -> web.StreamResponse:
    """Send a large file."""
    oid, _, _ = _verified(request, "download")
    path = request.app[STORE].large(oid)
    if not path.exists():
        raise refused(404, "The object does not exist")
    headers = {"ETag": f'"{oid}"'}
    if commit := re.fullmatch("[0-9a-f]{40}", request.query.get("commit", "")):
        headers["X-Repo-Commit"] = commit[0]  # clients from 2.x on follow the redirect and need the commit here too
    return await send_file(request, path, headers)
