"""Pages of large files: where to send or fetch them, in one piece or in parts.

What a batch answers with are signed addresses: whoever has one needs no token, as with the Hub's own storage.
"""

import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

from aiohttp import web

from local_hub.answers import WROTE, refused, send_file
from local_hub.disk import written
from local_hub.repositories import STORE, found_with_files, json_of, origin, to_suggest

PART = web.AppKey("part", int)
_OID = re.compile(r"[0-9a-f]{64}")
_CONTENT_TYPE = "application/vnd.git-lfs+json"
_PIECE = 1 << 20


def address(request: web.Request, what: str, oid: str, base: str, number: int = 0) -> str:
    """Return the absolute, signed URL at which a large file, or a part of it, can be had or left."""
    signature = request.app[STORE].sign(f"{what} {oid} {number}")
    part = f"part={number}&" if number else ""
    return f"{base}/lfs/{what}/{oid}?{part}X-Signature={signature}"


def _signed(request: web.Request, what: str) -> tuple[str, int]:
    """Return the id and the part that a signed address is for. Raises 403 where we did not sign it."""
    oid, part = request.match_info["oid"], request.query.get("part", "0")
    number = int(part) if part.isdigit() else 0
    if not request.app[STORE].is_signed(f"{what} {oid} {number}", request.query.get("X-Signature", "")):
        raise refused(403, "The signature of this address is not right")
    return oid, number


async def batch(request: web.Request) -> web.Response:
    """Say for each large file how to send or fetch it; one that is there needs no sending."""
    body = await json_of(request)
    upload = body.get("operation") != "download"
    # Which branch a large file is for is not said: who may open a pull request may send it.
    repo = to_suggest(request)[0] if upload else found_with_files(request)
    base = origin(request)
    objects, transfer = [], "basic"
    for each in body.get("objects", []):
        oid, size = each.get("oid"), each.get("size")
        value: dict[str, Any] = {"oid": oid, "size": size}
        if not isinstance(oid, str) or not isinstance(size, int) or not _OID.fullmatch(oid) or size < 0:
            value["error"] = {"code": 422, "message": "An object needs a SHA-256 and a size"}
        elif request.app[STORE].large(oid).exists():
            if not upload:
                value["actions"] = {"download": {"href": address(request, "download", oid, base)}}
        elif not upload:
            value["error"] = {"code": 404, "message": "There is no such object"}
        else:
            send: dict[str, Any] = {"href": address(request, "upload", oid, base)}
            if "multipart" in body.get("transfers", []) and size > request.app[PART]:
                transfer = "multipart"
                send = {"href": address(request, "complete", oid, base), "header": _parts(request, oid, size)}
            verify = {"href": f"{base}/{repo.page}.git/info/lfs/objects/verify"}
            value["actions"] = {"upload": send, "verify": verify}
        objects.append(value)
    return web.json_response({"transfer": transfer, "objects": objects}, content_type=_CONTENT_TYPE)


def _parts(request: web.Request, oid: str, size: int) -> dict[str, str]:
    """Return the length of parts in bytes and the address of each."""
    part = request.app[PART]
    addresses = {
        f"{number:05}": address(request, "upload", oid, origin(request), number)
        for number in range(1, -(-size // part) + 1)
    }
    return {"chunk_size": str(part), **addresses}


async def put(request: web.Request) -> web.Response:
    """Take a large file, or a part of one."""
    oid, number = _signed(request, "upload")
    store = request.app[STORE]
    hashed = hashlib.sha256()
    with written(store.part(oid, number) if number else store.large(oid)) as stream:
        async for piece in request.content.iter_chunked(_PIECE):
            hashed.update(piece)
            stream.write(piece)
        if not number and hashed.hexdigest() != oid:
            raise refused(400, "The content has another SHA-256 than its address")
    request[WROTE] = True
    return web.Response(headers={"ETag": f'"{hashed.hexdigest()}"'})


async def complete(request: web.Request) -> web.Response:
    """Join the parts of a large file."""
    oid, _ = _signed(request, "complete")
    store = request.app[STORE]
    asked = (await json_of(request)).get("parts", [])
    try:
        parts = [(store.part(oid, int(each["partNumber"])), str(each["etag"]).strip('"')) for each in asked]
    except (KeyError, TypeError, ValueError) as error:
        raise refused(400, f"The parts cannot be read: {error!r}") from error
    if not store.large(oid).exists():  # or else this was asked before, and the answer got lost
        _join(parts, store.large(oid), oid)
        shutil.rmtree(store.part(oid, 0).parent, ignore_errors=True)
        request[WROTE] = True
    return web.json_response({"success": True})


def _join(parts: list[tuple[Path, str]], target: Path, oid: str) -> None:
    whole = hashlib.sha256()
    with written(target) as stream:
        for path, tag in parts:
            if not path.exists():
                raise refused(400, f"Part {int(path.name)} has not come")
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() != tag:
                raise refused(400, f"Part {int(path.name)} has another ETag")
            whole.update(data)
            stream.write(data)
        if whole.hexdigest() != oid:
            raise refused(400, "The parts together have another SHA-256")


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
    oid, _ = _signed(request, "download")
    path = request.app[STORE].large(oid)
    if not path.exists():
        raise refused(404, "There is no such object")
    headers = {"ETag": f'"{oid}"'}
    if commit := re.fullmatch("[0-9a-f]{40}", request.query.get("commit", "")):
        headers["X-Repo-Commit"] = commit[0]  # clients from 2.x follow the redirect, and want to know here too
    return await send_file(request, path, headers)
