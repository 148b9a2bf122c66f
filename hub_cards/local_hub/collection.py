"""Endpoints for collections: titled lists of repositories."""

import hashlib
import re
import secrets
from typing import Any

from aiohttp import web

from hub_cards.local_hub.access import COLLECTIONS
from hub_cards.local_hub.answers import WROTE, page, refused
from hub_cards.local_hub.disk import write_json
from hub_cards.local_hub.limits import check_count, json_of, text_of
from hub_cards.local_hub.repositories import ACCOUNTS, PAGE, STORE
from hub_cards.local_hub.store import KINDS, stamp

_TITLE, _ITEMS = 59, 1_000  # characters of a title; items of a collection
_CHANGEABLE = {"title": str, "description": str, "private": bool, "theme": str, "position": int}


def _id(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _slug(namespace: str, title: str, ending: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return f"{namespace}/{words}-{ending}"


def _checked_title(title: str) -> str:
    if not title or len(title) > _TITLE:
        raise refused(400, f"A collection needs a title of at most {_TITLE} characters")
    return title


def _collection_of(request: web.Request, *, to_change: bool = False) -> dict[str, Any]:
    """Return the collection in a request's path. Raises 401, 403 or 404."""
    namespace, slug = request.match_info["ns"], request.match_info["slug"]
    accounts = request.app[ACCOUNTS]
    if to_change:
        accounts.must_be_known(request)
    value = request.app[STORE].find_collection(namespace, slug)
    if value is None or (value["private"] and not accounts.sees(accounts.asker(request), namespace)):
        raise refused(404, "Collection not found")
    if to_change:
        accounts.must_write(request, namespace, COLLECTIONS)
    return value


def _save(request: web.Request, value: dict[str, Any]) -> None:
    """Save a collection with the current time as its last change."""
    value["lastUpdated"] = stamp()
    for position, item in enumerate(value["items"]):
        item["position"] = position
    write_json(request.app[STORE].collection(*value["slug"].split("/")), value)
    request[WROTE] = True


async def create(request: web.Request) -> web.Response:
    """Create a collection. Titles are unique within a namespace."""
    body = await json_of(request)
    accounts = request.app[ACCOUNTS]
    token = accounts.must_be_known(request)
    namespace, title = str(body.get("namespace") or token.user), text_of(body.get("title"), "title")
    accounts.must_write(request, namespace, COLLECTIONS)
    _checked_title(title)
    description = text_of(body.get("description"), "description") or None
    for other in request.app[STORE].collections():
        if (other["owner"]["name"], other["title"]) == (namespace, title):
            raise refused(409, "This collection exists already", slug=other["slug"])
    slug = _slug(namespace, title, secrets.token_hex(12))
    value: dict[str, Any] = {
        "slug": slug,
        "title": title,
        "description": description,
        "owner": {"type": "user" if namespace == token.user else "org", "name": namespace, "fullname": namespace},
        "items": [],
        "private": bool(body.get("private")),
        "theme": "blue",
        "position": 0,
        "upvotes": 0,
        "gating": False,
        "shareUrl": "",
    }
    _save(request, value)
    return web.json_response(value)


async def show(request: web.Request) -> web.Response:
    """Show a collection."""
    return web.json_response(_collection_of(request))


async def listed(request: web.Request) -> web.Response:
    """List collections, filtered by owners and by items (`models/a/b`), optionally the last changed first."""
    accounts, query = request.app[ACCOUNTS], request.query
    token = accounts.asker(request)
    owners, items = set(query.getall("owner", [])), set(query.getall("item", []))
    rows = [
        {key: field for key, field in value.items() if key != "position"}  # clients number the collections themselves
        for value in request.app[STORE].collections()
        if (not owners or value["owner"]["name"] in owners)
        and (not items or items & {f"{item['type']}s/{item['id']}" for item in value["items"]})
        and (not value["private"] or accounts.sees(token, value["owner"]["name"]))
    ]
    if query.get("sort") == "lastModified":
        rows.sort(key=lambda value: str(value["lastUpdated"]), reverse=True)
    return page(request, rows, request.app[PAGE])


async def change(request: web.Request) -> web.Response:
    """Change the properties of a collection. The slug follows the title, except for its ending, which stays."""
    value = _collection_of(request, to_change=True)
    for key, new in (await json_of(request)).items():
        if not isinstance(new, _CHANGEABLE.get(key, ())):
            raise refused(400, f"{key} cannot be changed to this value")
        value[key] = text_of(new, key) if isinstance(new, str) else new
    _checked_title(value["title"])
    old = request.app[STORE].collection(*value["slug"].split("/"))
    value["slug"] = _slug(value["owner"]["name"], value["title"], value["slug"].rpartition("-")[2])
    _save(request, value)
    if old != request.app[STORE].collection(*value["slug"].split("/")):
        old.unlink()
    return web.json_response({"success": True, "data": value})


async def delete(request: web.Request) -> web.Response:
    """Delete a collection."""
    value = _collection_of(request, to_change=True)
    request.app[STORE].collection(*value["slug"].split("/")).unlink()
    request[WROTE] = True
    return web.json_response({"success": True})


async def add_item(request: web.Request) -> web.Response:
    """Add a repository, or an item of a kind that this server does not look up."""
    value = _collection_of(request, to_change=True)
    body = await json_of(request)
    item = body.get("item")
    if not isinstance(item, dict):
        raise refused(400, "An item must be an object with a type and an id")
    name, kind = text_of(item.get("id"), "id", 300), text_of(item.get("type"), "type")
    if kind in KINDS:
        namespace, _, rest = name.partition("/")
        repo = request.app[STORE].repo(KINDS[kind], namespace, rest)
        request.app[ACCOUNTS].must_see(request, namespace, private=repo.private)
    elif kind not in {"paper", "collection"}:
        raise refused(400, f"A collection cannot contain a {kind!r}")
    new = {"_id": _id(value["slug"], kind, name), "id": name, "type": kind, "repoType": kind, "note": _note(body)}
    if any(other["_id"] == new["_id"] for other in value["items"]):
        raise refused(409, "This item is already in the collection")
    value["items"].append(new)
    check_count(len(value["items"]), "items", _ITEMS)
    _save(request, value)
    return web.json_response(value)


def _note(body: dict[str, Any]) -> dict[str, str] | None:
    note = text_of(body.get("note"), "note")
    return {"text": note, "html": note} if note else None


def _item(request: web.Request, value: dict[str, Any]) -> dict[str, Any]:
    for item in value["items"]:
        if item["_id"] == request.match_info["item"]:
            return dict(item)
    raise refused(404, "Item not found")


async def change_item(request: web.Request) -> web.Response:
    """Change the note or the position of an item."""
    value = _collection_of(request, to_change=True)
    body = await json_of(request)
    old = _item(request, value)
    position = body.get("position", value["items"].index(old))
    if isinstance(position, bool) or not isinstance(position, int) or not 0 <= position < _ITEMS:
        raise refused(400, f"The position must be a number below {_ITEMS}")
    value["items"].remove(old)
    new = old | ({"note": _note(body)} if "note" in body else {})
    value["items"].insert(position, new)
    _save(request, value)
    return web.json_response({"success": True})


async def delete_item(request: web.Request) -> web.Response:
    """Remove an item."""
    value = _collection_of(request, to_change=True)
    value["items"].remove(_item(request, value))
    _save(request, value)
    return web.json_response({"success": True})
