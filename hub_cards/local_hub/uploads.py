"""Pages that change a repository's content: is the card right, how is each file to come, and the commit."""

import asyncio
import base64
from dataclasses import replace
from typing import Any

from aiohttp import web

from hub_cards.local_hub import git
from hub_cards.local_hub.answers import WROTE, no_revision, refused, truth
from hub_cards.local_hub.cards import check
from hub_cards.local_hub.changes import Asked, Large, Operation, apply, parse
from hub_cards.local_hub.disk import spare
from hub_cards.local_hub.limits import COMMIT, LINE, body_of, json_of, path_of, rows_of, size_of, text_of
from hub_cards.local_hub.patterns import check_effort, is_ignored, is_large
from hub_cards.local_hub.repositories import STORE, origin, to_change, to_suggest
from hub_cards.local_hub.store import Repo, Store

LARGE = 10 << 20  # bytes; a bigger file is a large one, whatever its name


async def validate_yaml(request: web.Request) -> web.Response:
    """Check the metadata of a README."""
    readme = text_of((await json_of(request)).get("content"), "content", LINE)
    errors, warnings = await asyncio.to_thread(check, readme)
    value = {"errors": [{"message": each} for each in errors], "warnings": [{"message": each} for each in warnings]}
    return web.json_response(value, status=400 if errors else 200)


async def preupload(request: web.Request) -> web.Response:
    """Say of each file whether it is a large one, is to be left out, and what is there now under its path."""
    may = to_suggest if truth(request.query.get("create_pr")) else to_change
    repo, _ = may(request)
    commit = repo.at(request.match_info["rev"])
    body = await json_of(request)
    attributes = text_of(body.get("gitAttributes"), ".gitattributes", LINE) or repo.text(commit, ".gitattributes")
    ignore = text_of(body.get("gitIgnore"), ".gitignore", LINE) or repo.text(commit, ".gitignore")
    rows = await asyncio.to_thread(_modes, rows_of(body.get("files"), "files"), attributes, ignore)
    repo, _ = may(request)  # it may have gone meanwhile
    commit = repo.at(request.match_info["rev"])
    there = repo.git.flat(commit.tree)
    for row in rows:
        entry = there.get(row["path"])
        if entry and entry.mode == git.FILE:
            _, large = repo.facts(entry.id)
            row["oid"] = large.oid if large else entry.id  # of the content, so that clients see what is unchanged
    return web.json_response({"files": rows, "commitOid": commit.id})


def _modes(files: list[dict[str, Any]], attributes: str, ignore: str) -> list[dict[str, Any]]:
    check_effort([path_of(each.get("path")) for each in files], attributes, ignore)
    return [_mode(each, attributes, ignore) for each in files]


def _mode(asked: dict[str, Any], attributes: str, ignore: str) -> dict[str, Any]:
    path, size = asked["path"], size_of(asked.get("size"))
    try:
        binary = b"\0" in base64.b64decode(text_of(asked.get("sample"), "sample"))
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
    """Put a commit on a branch, or on a new pull request."""
    wanted = truth(request.query.get("create_pr"))
    may = to_suggest if wanted else to_change
    may(request)  # before the body is read
    if (request.content_length or 0) > spare(request.app[STORE].root):
        raise refused(413, "The disk has no room for this commit")
    asked = await asyncio.to_thread(parse, await body_of(request, COMMIT))
    repo, token = may(request)
    # From here to the reference nothing waits, so that commits come one after another.
    revision = request.match_info["rev"]
    ref = _ref(repo, revision)  # a pull request too is to a branch
    tip = repo.at(ref)
    if asked.parent and not (len(asked.parent) >= 5 and tip.id.startswith(asked.parent)) and not wanted:
        raise refused(412, "A commit has happened since. Please refresh and try again.", "ParentCommitConflict")
    operations = _with_sizes(request.app[STORE], asked)
    start = repo.at(asked.parent) if wanted and asked.parent else tip
    before = {path: entry.id for path, entry in repo.git.flat(start.tree).items() if entry.mode == git.FILE}
    after = apply(before, operations, lambda data: repo.git.write("blob", data))
    if wanted:
        ref = _next_request(repo)
    made = request.app[STORE].commit(repo, ref, start, after, token.user, asked.message)
    request[WROTE] = made.id != start.id
    url = f"{origin(request)}/{repo.page}"
    value = {"success": True, "commitOid": made.id, "commitUrl": f"{url}/commit/{made.id}", "hookOutput": ""}
    if wanted:
        repo.git.set_ref(ref, made.id)
        value["pullRequestUrl"] = f"{url}/discussions/{ref.rpartition('/')[2]}"
    return web.json_response(value)


def _next_request(repo: Repo) -> str:
    """Return the reference of a new pull request."""
    numbers = [int(name) for name in repo.git.refs("refs/pr/") if name.isdigit()]
    return f"refs/pr/{max(numbers, default=0) + 1}"


def _ref(repo: Repo, revision: str) -> str:
    """Return the reference that a commit is put on. Raises 404 where it is none that can move."""
    ref = revision if revision.startswith("refs/") else f"refs/heads/{revision}"
    if not git.is_ref_name(ref) or ref.startswith("refs/tags/") or repo.git.ref(ref) is None:
        raise no_revision(revision)
    return ref


def _with_sizes(store: Store, asked: Asked) -> list[Operation]:
    """Return the operations, with large files checked: they must have come, and be as long as they are said to be."""
    checked = []
    for each in asked.operations:
        if isinstance(each.content, Large):
            path = store.large(each.content.oid)
            size = path.stat().st_size if path.exists() else None
            if size is None or each.content.size not in {-1, size}:
                raise refused(400, f"The LFS object of {each.path} was not uploaded, or has another size")
            checked.append(replace(each, content=Large(each.content.oid, size)))
        else:
            checked.append(each)
    return checked


async def super_squash(request: web.Request) -> web.Response:
    """Make all commits of a branch one."""
    repo, token = to_change(request)
    message = text_of((await json_of(request)).get("message"), "message") or "squashed"
    ref = _ref(repo, request.match_info["rev"])
    tip = repo.at(ref)
    repo.git.set_ref(ref, repo.git.write_commit(tip.tree, (), token.user, tip.when, message))
    request[WROTE] = True
    return web.Response(text="OK")
