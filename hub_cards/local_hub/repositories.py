"""Endpoints for repositories: create, describe, list, change, delete."""

from typing import Any

from aiohttp import web

from hub_cards.local_hub.access import Accounts, Token
from hub_cards.local_hub.answers import WROTE, page, refused, truth
from hub_cards.local_hub.describe import described, narrowed, repository_id
from hub_cards.local_hub.limits import json_of
from hub_cards.local_hub.store import KINDS, Repo, Store

STORE = web.AppKey("store", Store)
ACCOUNTS = web.AppKey("accounts", Accounts)
PAGE = web.AppKey("page", int)


def repository_of(request: web.Request) -> Repo:
    """Return the repository in a request's path. Raises the Hub's error if the sender may not see it."""
    path = request.match_info
    token = request.app[ACCOUNTS].asker(request)  # refuse an unknown token before looking anything up
    try:
        repo = request.app[STORE].repo(path.get("kind", "models"), path["ns"], path["name"])
    except web.HTTPNotFound:
        if token is None:
            raise refused(401, "Invalid username or password.", "RepoNotFound") from None
        raise
    request.app[ACCOUNTS].must_see(request, repo.namespace, private=repo.private)
    requested = f"/{path['ns']}/{path['name']}"
    if requested != f"/{repo.id}" and requested in request.raw_path and request.method in {"GET", "HEAD"}:
        # The repository was moved, or its name is written in another case. The redirect has no host, because clients
        # follow only such redirects automatically when they request a file.
        raise web.HTTPTemporaryRedirect(request.raw_path.replace(requested, f"/{repo.id}", 1))
    return repo


def repository_with_files(request: web.Request) -> Repo:
    """Return the repository in a request's path if the sender may have its files. Raises 401, 403 or 404."""
    repo = repository_of(request)
    if repo.gated:
        request.app[ACCOUNTS].must_pass_gate(request, repo.namespace, f"{repo.kind[:-1]} {repo.id}")
    return repo


def to_change(request: web.Request) -> tuple[Repo, Token]:
    """Return the repository in a request's path, and the token that will change it. Raises 401, 403 or 404."""
    request.app[ACCOUNTS].must_be_known(request)
    repo = repository_of(request)
    return repo, request.app[ACCOUNTS].must_write(request, repo.namespace)


def to_suggest(request: web.Request) -> tuple[Repo, Token]:
    """Return the repository and the token that will open a pull request in it. Raises 401, 403 or 404."""
    accounts = request.app[ACCOUNTS]
    token = accounts.must_be_known(request)
    repo = repository_of(request)
    if not accounts.suggests(token, repo.namespace, private=repo.private):
        accounts.must_write(request, repo.namespace)
    return repo, token


def origin(request: web.Request) -> str:
    """Return the endpoint as the client addresses it."""
    return str(request.url.origin())


async def whoami(request: web.Request) -> web.Response:
    """Describe the token of a request and its owner."""
    accounts = request.app[ACCOUNTS]
    return web.json_response(accounts.whoami(accounts.must_be_known(request)))


def _target(request: web.Request, body: dict[str, Any]) -> tuple[str, str, str, Token]:
    """Return the kind, namespace and name of a repository to create or delete, and the token."""
    accounts = request.app[ACCOUNTS]
    token = accounts.must_be_known(request)
    kind = KINDS.get(str(body.get("type") or "model"))
    head, _, name = str(body.get("name") or "").rpartition("/")
    namespace = str(body.get("organization") or head or token.user)
    if kind is None or not name:
        raise refused(400, "A repository needs a name and a type")
    return kind, namespace, name, accounts.must_write(request, namespace)


async def create(request: web.Request) -> web.Response:
    """Create a repository."""
    body = await json_of(request)
    kind, namespace, name, token = _target(request, body)
    store = request.app[STORE]
    private = _private(body, standard=request.app[ACCOUNTS].makes_private(namespace))
    url = f"{origin(request)}/{'' if kind == 'models' else f'{kind}/'}{namespace}/{name}"
    if store.named(kind, namespace, name):
        raise refused(409, f"You already created this {kind[:-1]} repo", url=url)
    repo = store.create(kind, namespace, name, token.user, private=private)
    request[WROTE] = True
    return web.json_response({"url": url, "name": repo.id, "id": repository_id(repo), "private": private})


def _private(body: dict[str, Any], *, standard: bool) -> bool:
    """Return whether a repository will be private, by either of the keys that clients use."""
    if body.get("private") is None and body.get("visibility") is None:
        return standard
    return bool(body.get("private")) or body.get("visibility") == "private"


async def delete(request: web.Request) -> web.Response:
    """Delete a repository."""
    kind, namespace, name, _ = _target(request, await json_of(request))
    store = request.app[STORE]
    repo = store.repo(kind, namespace, name)
    request.app[ACCOUNTS].must_write(request, repo.namespace)  # its current namespace, if it was moved
    store.delete(repo)
    request[WROTE] = True
    return web.Response(text="OK")


async def move(request: web.Request) -> web.Response:
    """Rename a repository, in the same or another namespace. The old name redirects to it from then on."""
    body = await json_of(request)
    common = body | {"organization": None}
    kind, old_namespace, old, _ = _target(request, common | {"name": body.get("fromRepo")})
    _, namespace, name, _ = _target(request, common | {"name": body.get("toRepo")})
    store = request.app[STORE]
    repo = store.repo(kind, old_namespace, old)
    request.app[ACCOUNTS].must_write(request, repo.namespace)  # its current namespace, if it was moved before
    if store.named(kind, namespace, name):
        raise refused(409, f"A {kind[:-1]} repository called {namespace}/{name} already exists")
    store.move(repo, namespace, name)
    request[WROTE] = True
    return web.Response(text="OK")


async def settings(request: web.Request) -> web.Response:
    """Change the visibility, the gate and other settings of a repository."""
    repo, _ = to_change(request)
    body = await json_of(request)
    if body.get("gated", False) not in ("auto", "manual", False):
        raise refused(400, '"gated" must be one of ["auto", "manual", false]')
    changed: dict[str, Any] = {"gated": body["gated"]} if "gated" in body else {}
    if "xetEnabled" in body:
        changed["xetEnabled"] = bool(body["xetEnabled"])
    if "private" in body or "visibility" in body:
        changed["private"] = _private(body, standard=repo.private)
    if changed:
        repo.change(**changed)
        request[WROTE] = True
    return web.json_response({"private": repo.private, "gated": repo.gated})


async def auth_check(request: web.Request) -> web.Response:
    """Confirm that the sender may have the repository's files."""
    repository_with_files(request)
    return web.Response(text="OK")


async def info(request: web.Request) -> web.Response:
    """Describe a repository at a revision."""
    repo = repository_of(request)
    full = described(repo, repo.at(request.match_info.get("rev", "main")), blobs=truth(request.query.get("blobs")))
    return web.json_response(narrowed(full, repo.kind, _expanded(request)))


def _expanded(request: web.Request) -> list[str]:
    return [*request.query.getall("expand", []), *request.query.getall("expand[]", [])]


async def listed(request: web.Request) -> web.Response:
    """List the repositories of a kind that the sender may see, filtered by author and by a part of the name."""
    accounts, query = request.app[ACCOUNTS], request.query
    token = accounts.asker(request)
    rows = [
        narrowed(described(repo, repo.at("main"), blobs=False), repo.kind, _expanded(request))
        for repo in request.app[STORE].repos(request.match_info["kind"])
        if (not query.get("author") or repo.namespace == query["author"])
        and query.get("search", "").lower() in repo.id.lower()
        and (not repo.private or accounts.sees(token, repo.namespace))
    ]
    return page(request, rows, request.app[PAGE])
