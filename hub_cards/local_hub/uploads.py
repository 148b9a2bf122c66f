"""Endpoints that change a repository's content: check the card, choose upload modes, and commit."""

import asyncio
import base64
from dataclasses import replace
from typing import Any

from aiohttp import web

from hub_cards.local_hub import git
from hub_cards.local_hub.answers import WROTE, no_revision, refused, truth
from hub_cards.local_hub.cards import check
from hub_cards.local_hub.changes import CommitRequest, Large, Operation, apply, parse
from hub_cards.local_hub.disk import spare
from hub_cards.local_hub.limits import COMMIT, LINE, body_of, json_of, path_of, rows_of, size_of, text_of
from hub_cards.local_hub.patterns import check_effort, is_ignored, is_large
from hub_cards.local_hub.repositories import STORE, origin, to_change, to_suggest
from hub_cards.local_hub.store import Repo, Store

LARGE = 10 << 20  # bytes above which every file is a large one, whatever its name


async def validate_yaml(request: web.Request) -> web.Response:
    """Check the metadata of a README."""
    readme = text_of((await json_of(request)).get("content"), "content", LINE)
    errors, warnings = await asyncio.to_thread(check, readme)
    value = {
        "errors": [{"message": message} for message in errors],
        "warnings": [{"message": message} for message in warnings],
    }
    return web.json_response(value, status=400 if errors else 200)


async def preupload(request: web.Request) -> web.Response:
    """Return for each file whether it is large or ignored, and the current id at its path."""
    authorize = to_suggest if truth(request.query.get("create_pr")) else to_change
    repo, _ = authorize(request)
    commit = repo.at(request.match_info["rev"])
    body = await json_of(request)
    attributes = text_of(body.get("gitAttributes"), ".gitattributes", LINE) or repo.text(commit, ".gitattributes")
    ignore = text_of(body.get("gitIgnore"), ".gitignore", LINE) or repo.text(commit, ".gitignore")
    rows = await asyncio.to_thread(_modes, rows_of(body.get("files"), "files"), attributes, ignore)
    repo, _ = authorize(request)  # it may have been deleted in the meantime
    commit = repo.at(request.match_info["rev"])
    entries = repo.git.flat(commit.tree)
    for row in rows:
        entry = entries.get(row["path"])
        if entry and entry.mode == git.FILE:
            _, large = repo.facts(entry.id)
            row["oid"] = large.oid if large else entry.id  # by which clients recognise unchanged content
    return web.json_response({"files": rows, "commitOid": commit.id})


def _modes(files: list[dict[str, Any]], attributes: str, ignore: str) -> list[dict[str, Any]]:
    check_effort([path_of(file.get("path")) for file in files], attributes, ignore)
    return [_mode(file, attributes, ignore) for file in files]


def _mode(file: dict[str, Any], attributes: str, ignore: str) -> dict[str, Any]:
    path, size = file["path"], size_of(file.get("size"))
    try:
        binary = b"\0" in base64.b64decode(text_of(file.get("sample"), "sample"))
    except ValueError as error:
        raise refused(400, f"The sample of {path} is not base64: {error}") from error
    large = size > 0 and (size > LARGE or binary or is_large(path, attributes))
    return {
        "path": path,
        "uploadMode": "lfs" if large else "regular",
        "shouldIgnore": is_ignored(path, ignore),
        "shouldUpload": True,
    }


async def commit(request: web.Request) -> web.Response:
    """Add a commit to a branch, or to a new pull request."""
    create_pr = truth(request.query.get("create_pr"))
    authorize = to_suggest if create_pr else to_change
    authorize(request)  # before the body is read
    if (request.content_length or 0) > spare(request.app[STORE].root):
        raise refused(413, "The disk has no room for this commit")
    requested = await asyncio.to_thread(parse, await body_of(request, COMMIT))
    repo, token = authorize(request)
    # Nothing awaits from here until the reference is set, so commits are applied one after another.
    revision = request.match_info["rev"]
    ref = _ref(repo, revision)  # a pull request also has a target branch
    tip = repo.at(ref)
    if requested.parent and not (len(requested.parent) >= 5 and tip.id.startswith(requested.parent)) and not create_pr:
        raise refused(412, "A commit has happened since. Please refresh and try again.", "ParentCommitConflict")
    operations = _with_sizes(request.app[STORE], requested)
    start = repo.at(requested.parent) if create_pr and requested.parent else tip
    before = {path: entry.id for path, entry in repo.git.flat(start.tree).items() if entry.mode == git.FILE}
    after = apply(before, operations, lambda data: repo.git.write("blob", data))
    if create_pr:
        ref = _next_request(repo)
    created = request.app[STORE].commit(repo, ref, start, after, token.user, requested.message)
    request[WROTE] = created.id != start.id
    url = f"{origin(request)}/{repo.page}"
    value = {"success": True, "commitOid": created.id, "commitUrl": f"{url}/commit/{created.id}", "hookOutput": ""}
    if create_pr:
        repo.git.set_ref(ref, created.id)
        value["pullRequestUrl"] = f"{url}/discussions/{ref.rpartition('/')[2]}"
    return web.json_response(value)


def _next_request(repo: Repo) -> str:
    """Return the reference of a new pull request."""
    numbers = [int(name) for name in repo.git.refs("refs/pr/") if name.isdigit()]
    return f"refs/pr/{max(numbers, default=0) + 1}"


def _ref(repo: Repo, revision: str) -> str:
    """Return the reference that a commit is added to. Raises 404 if it is not a branch or a pull request."""
    ref = revision if revision.startswith("refs/") else f"refs/heads/{revision}"
    if not git.is_ref_name(ref) or ref.startswith("refs/tags/") or repo.git.ref(ref) is None:
        raise no_revision(revision)
    return ref


def _with_sizes(store: Store, requested: CommitRequest) -> list[Operation]:
    """Return the operations with the sizes of large files. Raises 400 if a file is missing or has another size."""
    checked = []
    for operation in requested.operations:
        if isinstance(operation.content, Large):
            path = store.large(operation.content.oid)
            size = path.stat().st_size if path.exists() else None
            if size is None or operation.content.size not in {-1, size}:
                raise refused(400, f"The LFS object of {operation.path} was not uploaded, or has a different size")
            checked.append(replace(operation, content=Large(operation.content.oid, size)))
        else:
            checked.append(operation)
    return checked


async def super_squash(request: web.Request) -> web.Response:
    """Squash all commits of a branch into one."""
    repo, token = to_change(request)
    message = text_of((await json_of(request)).get("message"), "message") or "squashed"
    ref = _ref(repo, request.match_info["rev"])
    tip = repo.at(ref)
    repo.git.set_ref(ref, repo.git.write_commit(tip.tree, (), token.user, tip.when, message))
    request[WROTE] = True
    return web.Response(text="OK")
