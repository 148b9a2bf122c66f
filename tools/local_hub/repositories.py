"""Pages of repositories: create, describe, list, change, delete."""

import hashlib
from typing import Any

from aiohttp import web

from local_hub import git
from local_hub.access import Accounts, Token
from local_hub.answers import WROTE, page, refused, truth
from local_hub.cards import metadata
from local_hub.git import Commit
from local_hub.store import KINDS, Repo, Store, stamp

STORE = web.AppKey("store", Store)
ACCOUNTS = web.AppKey("accounts", Accounts)
PAGE = web.AppKey("page", int)
_BARE = ("_id", "id")


def found(request: web.Request) -> Repo:
    """Return the repository of a request's path. Raises what the Hub answers to those who may not see it."""
    path = request.match_info
    token = request.app[ACCOUNTS].asker(request)  # an unknown token is refused before anything is looked up
    try:
        repo = request.app[STORE].repo(path.get("kind", "models"), path["ns"], path["name"])
    except web.HTTPNotFound:
        if token is None:
            raise refused(401, "Invalid username or password.", "RepoNotFound") from None
        raise
    request.app[ACCOUNTS].must_see(request, repo.namespace, private=repo.private)
    return repo


def to_change(request: web.Request) -> tuple[Repo, Token]:
    """Return the repository of a request's path, and who will change it. Raises 401, 403 or 404."""
    request.app[ACCOUNTS].must_be_known(request)
    repo = found(request)
    return repo, request.app[ACCOUNTS].must_write(request, repo.namespace)


def origin(request: web.Request) -> str:
    """Return the endpoint as the client calls it."""
    return str(request.url.origin())


async def json_of(request: web.Request) -> dict[str, Any]:
    """Return the JSON object in the body. Raises 400 where there is none."""
    try:
        value = await request.json()
    except ValueError as error:
        raise refused(400, f"The body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise refused(400, "The body is not a JSON object")
    return value


async def whoami(request: web.Request) -> web.Response:
    """Say whose token it is."""
    accounts = request.app[ACCOUNTS]
    return web.json_response(accounts.whoami(accounts.must_be_known(request)))


def _named(request: web.Request, body: dict[str, Any]) -> tuple[str, str, str, Token]:
    """Return kind, namespace and name of a repository to create or delete, and who asks."""
    accounts = request.app[ACCOUNTS]
    token = accounts.must_be_known(request)
    kind = KINDS.get(body.get("type") or "model")
    head, _, name = str(body.get("name") or "").rpartition("/")
    namespace = body.get("organization") or head or token.user
    if kind is None or not name:
        raise refused(400, "A repository needs a name and a type")
    return kind, namespace, name, accounts.must_write(request, namespace)


async def create(request: web.Request) -> web.Response:
    """Create a repository."""
    body = await json_of(request)
    kind, namespace, name, token = _named(request, body)
    store = request.app[STORE]
    private = bool(body.get("private")) or body.get("visibility") == "private"
    url = f"{origin(request)}/{'' if kind == 'models' else f'{kind}/'}{namespace}/{name}"
    try:
        store.repo(kind, namespace, name)
    except web.HTTPNotFound:
        repo = store.create(kind, namespace, name, token.user, private=private)
        request[WROTE] = True
        return web.json_response({"url": url, "name": repo.id, "id": _id(repo), "private": private})
    raise refused(409, f"You already created this {kind[:-1]} repo", url=url)


async def delete(request: web.Request) -> web.Response:
    """Delete a repository."""
    kind, namespace, name, _ = _named(request, await json_of(request))
    store = request.app[STORE]
    store.delete(store.repo(kind, namespace, name))
    request[WROTE] = True
    return web.Response(text="OK")


async def settings(request: web.Request) -> web.Response:
    """Change whether a repository is private."""
    repo, _ = to_change(request)
    body = await json_of(request)
    if "private" in body or "visibility" in body:
        repo.change(private=bool(body.get("private")) or body.get("visibility") == "private")
        request[WROTE] = True
    return web.json_response({"private": repo.private})


async def auth_check(request: web.Request) -> web.Response:
    """Say that the asker sees the repository."""
    found(request)
    return web.Response(text="OK")


async def info(request: web.Request) -> web.Response:
    """Describe a repository at a revision."""
    repo = found(request)
    full = described(repo, repo.at(request.match_info.get("rev", "main")), blobs=truth(request.query.get("blobs")))
    return web.json_response(_narrowed(full, request))


async def listed(request: web.Request) -> web.Response:
    """List the repositories of a kind that the asker sees: by author, by a word in the name."""
    accounts, query = request.app[ACCOUNTS], request.query
    token = accounts.asker(request)
    rows = [
        _narrowed(described(repo, repo.at("main"), blobs=False), request)
        for repo in request.app[STORE].repos(request.match_info["kind"])
        if (not query.get("author") or repo.namespace == query["author"])
        and query.get("search", "").lower() in repo.id.lower()
        and (not repo.private or accounts.sees(token, repo.namespace))
    ]
    return page(request, rows, request.app[PAGE])


def _narrowed(full: dict[str, Any], request: web.Request) -> dict[str, Any]:
    """Return what a query's `expand` asks for, or everything."""
    wanted = [*request.query.getall("expand", []), *request.query.getall("expand[]", [])]
    return {key: full[key] for key in [*_BARE, *wanted] if key in full} if wanted else full


def described(repo: Repo, commit: Commit, *, blobs: bool) -> dict[str, Any]:
    """Describe a repository at a commit; with `blobs`, the sizes and ids of its files."""
    kept = repo.info
    card = metadata(repo.text(commit, "README.md"))
    files = {path: entry.id for path, entry in repo.git.flat(commit.tree).items() if entry.mode == git.FILE}
    sizes = {large.oid if large else blob: size for blob in files.values() for size, large in [repo.facts(blob)]}
    tags = card.get("tags")
    value = {
        "_id": _id(repo),
        "id": repo.id,
        "author": repo.namespace,
        "sha": commit.id,
        "lastModified": stamp(commit.when),
        "createdAt": kept["createdAt"],
        "private": kept["private"],
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "downloadsAllTime": 0,
        "likes": 0,
        "trendingScore": 0,
        "tags": tags if isinstance(tags, list) else [],
        "usedStorage": sum(sizes.values()),
        "cardData": card,
        "siblings": [_sibling(repo, path, blob, blobs=blobs) for path, blob in sorted(files.items())],
    }
    if repo.kind == "models":
        value |= {"modelId": repo.id} | {key: card[key] for key in ("library_name", "pipeline_tag") if key in card}
        value |= {"model-index": card.get("model-index"), "config": {}, "spaces": []}
    return value


def _id(repo: Repo) -> str:
    return hashlib.sha256(repo.page.encode()).hexdigest()[:24]


def _sibling(repo: Repo, path: str, blob: str, *, blobs: bool) -> dict[str, Any]:
    value: dict[str, Any] = {"rfilename": path}
    if blobs:
        size, large = repo.facts(blob)
        value |= {"blobId": blob, "size": size}
        if large:
            value["lfs"] = {"sha256": large.oid, "size": large.size, "pointerSize": len(large.pointer())}
    return value
