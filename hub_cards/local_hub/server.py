"""The application: its routes, and the middleware of every request."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from hub_cards.local_hub import collection, content, lfs, refs, repositories, uploads
from hub_cards.local_hub.access import Accounts
from hub_cards.local_hub.answers import refused
from hub_cards.local_hub.faults import Faults, with_fault
from hub_cards.local_hub.guard import CONTROL, check_control, check_sender, is_control
from hub_cards.local_hub.journal import Journal, entries
from hub_cards.local_hub.limits import COMMIT, body_of, parse
from hub_cards.local_hub.repositories import ACCOUNTS, PAGE, STORE
from hub_cards.local_hub.store import Store

JOURNAL = web.AppKey("journal", Journal)
FAULTS = web.AppKey("faults", Faults)
_KIND = "{kind:models|datasets|spaces}"
_NAME = r"{ns:[^/{}]+}/{name:[^/{}]+}"
_REPO = f"/api/{_KIND}/{_NAME}"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log a request, and apply a fault to it if a rule says so."""
    check_sender(request)
    if is_control(request):
        return await handler(request)
    journal, faults = request.app[JOURNAL], request.app[FAULTS]
    number = journal.begin()
    rule = faults.pick(request)
    status: int | None = 500
    try:
        if rule is None:
            response: web.StreamResponse | None = await handler(request)
        else:
            response = await with_fault(faults, rule, request, handler)
        status = response.status if response else None
    except web.HTTPException as error:
        error.headers["X-Request-Id"] = f"local-{number}"
        status = error.status
        raise
    except ConnectionError:
        status = None  # the client has closed the connection
        raise
    finally:
        journal.end(number, request, status, rule.do if rule else None)
    # Without a response, the connection is already closed, but aiohttp requires one.
    return response or web.Response(status=500)


async def _not_found(request: web.Request) -> web.StreamResponse:
    """Respond that there is no such page. Clients also get here with a repository without a namespace."""
    parts = request.path.split("/")
    repository = "resolve" in parts or (parts[1:2] == ["api"] and parts[2:3] in (["models"], ["datasets"], ["spaces"]))
    raise refused(404, f"Not found: {request.path}", "RepoNotFound" if repository else None)


async def _set_faults(request: web.Request) -> web.Response:
    """Replace the rules for faults with those of a list."""
    check_control(request)
    rules = parse(await body_of(request))
    if not isinstance(rules, list):
        raise refused(400, "Faults must be a list of objects")
    try:
        request.app[FAULTS].set(rules)
    except (TypeError, ValueError) as error:
        raise refused(400, str(error)) from error
    return web.json_response({"rules": len(request.app[FAULTS].rules)})


async def _reset_faults(request: web.Request) -> web.Response:
    check_control(request)
    request.app[FAULTS].set([])
    return web.json_response({"rules": 0})


async def _journal(request: web.Request) -> web.Response:
    check_control(request)
    return web.json_response(entries(request.app[JOURNAL].path))


def _routes() -> list[web.AbstractRouteDef]:
    routes = [
        web.get(f"{CONTROL}/journal", _journal),
        web.post(f"{CONTROL}/faults", _set_faults),
        web.delete(f"{CONTROL}/faults", _reset_faults),
        web.get("/api/whoami-v2", repositories.whoami),
        web.post("/api/validate-yaml", uploads.validate_yaml),
        web.post("/api/repos/create", repositories.create),
        web.delete("/api/repos/delete", repositories.delete),
        web.post("/api/repos/move", repositories.move),
        web.get(f"/api/{_KIND}", repositories.listed),
        web.get(_REPO, repositories.info),
        web.get(_REPO + "/revision/{rev}", repositories.info),
        web.put(f"{_REPO}/settings", repositories.settings),
        web.get(f"{_REPO}/auth-check", repositories.auth_check),
        web.get(f"{_REPO}/refs", refs.listed),
        web.get(_REPO + "/commits/{rev}", refs.log),
        web.post(_REPO + "/tag/{rev}", refs.create_tag),
        web.delete(_REPO + "/tag/{rev}", refs.delete_tag),
        web.post(_REPO + "/branch/{rev}", refs.create_branch),
        web.delete(_REPO + "/branch/{rev}", refs.delete_branch),
        web.get(_REPO + "/tree/{rev}", content.tree),
        web.get(_REPO + "/tree/{rev}/{path:.*}", content.tree),
        web.post(_REPO + "/paths-info/{rev}", content.paths_info),
        web.post(_REPO + "/preupload/{rev}", uploads.preupload),
        web.post(_REPO + "/commit/{rev}", uploads.commit),
        web.post(_REPO + "/super-squash/{rev}", uploads.super_squash),
        web.put("/lfs/upload/{oid:[0-9a-f]{64}}", lfs.put),
        web.post("/lfs/complete/{oid:[0-9a-f]{64}}", lfs.complete),
        web.get("/lfs/download/{oid:[0-9a-f]{64}}", lfs.download),
        web.get("/api/collections", collection.listed),
        web.post("/api/collections", collection.create),
        web.get("/api/collections/{ns}/{slug}", collection.show),
        web.patch("/api/collections/{ns}/{slug}", collection.change),
        web.delete("/api/collections/{ns}/{slug}", collection.delete),
        web.post("/api/collections/{ns}/{slug}/items", collection.add_item),
        web.patch("/api/collections/{ns}/{slug}/items/{item}", collection.change_item),
        web.delete("/api/collections/{ns}/{slug}/items/{item}", collection.delete_item),
    ]
    for prefix in ("/{kind:datasets|spaces}/", "/"):  # models have no prefix
        routes += [
            web.post(f"{prefix}{_NAME}.git/info/lfs/objects/batch", lfs.batch),
            web.post(f"{prefix}{_NAME}.git/info/lfs/objects/verify", lfs.verify),
            web.get(f"{prefix}{_NAME}/{{how:resolve|raw}}/{{rev}}/{{path:.+}}", content.resolve),
        ]
    return [*routes, web.route("*", "/{rest:.*}", _not_found)]


def application(
    root: Path,
    accounts: Accounts,
    faults: Faults,
    *,
    page: int,
    part: int,
    largest: int,
    on_request: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> web.Application:
    """Return the application that serves a folder.

    Lists have pages of `page` rows. Large files have parts of `part` bytes, and at most `largest` bytes in total.
    `on_request` is called with the journal entry of each request that has ended.
    """
    app = web.Application(middlewares=[_middleware], client_max_size=COMMIT)
    app[STORE], app[ACCOUNTS], app[FAULTS] = Store(root), accounts, faults
    app[JOURNAL] = Journal(root / "journal.jsonl", accounts.redact, on_request)
    app[PAGE], app[lfs.PART], app[lfs.LARGEST] = page, part, largest
    app[lfs.JOINING] = asyncio.Lock()
    app.add_routes(_routes())
    return app
