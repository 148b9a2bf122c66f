"""Endpoints for branches, tags and history."""

from itertools import islice
from typing import Any

from aiohttp import web

from hub_cards.local_hub.answers import WROTE, no_revision, page, refused, truth
from hub_cards.local_hub.git import Commit, is_ref_name
from hub_cards.local_hub.limits import json_of, text_of
from hub_cards.local_hub.repositories import PAGE, repository_of, to_change
from hub_cards.local_hub.store import Repo, stamp

_BRANCHES, _TAGS, _REQUESTS = "refs/heads/", "refs/tags/", "refs/pr/"


def _create_ref(repo: Repo, ref: str, target: str) -> None:
    """Create a reference. Raises 409 if it exists or conflicts with another, and 400 if its name is not valid."""
    if not is_ref_name(ref):
        raise refused(400, f"Invalid reference name: {ref}")
    if repo.git.ref(ref) is not None:
        raise refused(409, f"Reference {ref} already exists")
    try:
        repo.git.set_ref(ref, target)
    except OSError as error:
        raise refused(409, f"{ref} conflicts with another reference") from error


def _delete_ref(repo: Repo, ref: str) -> None:
    """Delete a reference. Raises 404 if it does not exist."""
    if not is_ref_name(ref) or repo.git.ref(ref) is None:
        raise no_revision(ref)
    repo.git.delete_ref(ref)


async def create_tag(request: web.Request) -> web.Response:
    """Tag a revision, with an annotated tag if there is a message and a lightweight tag otherwise."""
    repo, token = to_change(request)
    body = await json_of(request)
    name, message = text_of(body.get("tag"), "tag"), text_of(body.get("message"), "message")
    commit = repo.at(request.match_info["rev"])
    if not is_ref_name(f"{_TAGS}{name}"):
        raise refused(400, f"Invalid reference name: {name}")
    annotated = message and repo.git.ref(f"{_TAGS}{name}") is None
    target = repo.git.write_tag(name, commit.id, token.user, commit.when, message) if annotated else commit.id
    _create_ref(repo, f"{_TAGS}{name}", target)
    request[WROTE] = True
    return web.json_response({"name": name, "ref": f"{_TAGS}{name}", "targetCommit": commit.id})


async def delete_tag(request: web.Request) -> web.Response:
    """Delete a tag."""
    repo, _ = to_change(request)
    _delete_ref(repo, _TAGS + request.match_info["rev"])
    request[WROTE] = True
    return web.Response(text="OK")


async def create_branch(request: web.Request) -> web.Response:
    """Create a branch at a revision, by default `main`."""
    repo, _ = to_change(request)
    body = await json_of(request) if request.can_read_body else {}
    start = repo.at(text_of(body.get("startingPoint"), "starting point") or "main")
    _create_ref(repo, _BRANCHES + request.match_info["rev"], start.id)
    request[WROTE] = True
    return web.Response(text="OK")


async def delete_branch(request: web.Request) -> web.Response:
    """Delete a branch other than `main`."""
    repo, _ = to_change(request)
    if request.match_info["rev"] == "main":
        raise refused(403, "Cannot delete refs/heads/main")
    _delete_ref(repo, _BRANCHES + request.match_info["rev"])
    request[WROTE] = True
    return web.Response(text="OK")


async def listed(request: web.Request) -> web.Response:
    """List branches and tags with their commits."""
    repo = repository_of(request)
    value = {"branches": _rows(repo, _BRANCHES), "tags": _rows(repo, _TAGS), "converts": []}
    if truth(request.query.get("include_prs")):
        value["pullRequests"] = _rows(repo, _REQUESTS)
    return web.json_response(value)


def _rows(repo: Repo, prefix: str) -> list[dict[str, str]]:
    return [
        {"name": name, "ref": prefix + name, "targetCommit": commit.id}
        for name, commit in repo.git.refs(prefix).items()
    ]


async def log(request: web.Request) -> web.Response:
    """List the commits up to a revision, the newest first."""
    repo = repository_of(request)
    formatted = "formatted" in request.query.getall("expand[]", request.query.getall("expand", []))
    commits = islice(repo.git.history(repo.at(request.match_info["rev"])), 10_000)
    return page(request, [_row(commit, formatted=formatted) for commit in commits], request.app[PAGE])


def _row(commit: Commit, *, formatted: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": commit.id,
        "title": commit.title,
        "message": commit.body,
        "authors": [{"user": commit.author, "avatar": ""}],
        "date": stamp(commit.when),
    }
    if formatted:
        row["formatted"] = {"title": commit.title, "message": f"<p>{commit.body}</p>"}
    return row
