"""Endpoints for the content of a repository: trees, information on paths, and files."""

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qs, quote

from aiohttp import web

from hub_cards.local_hub import git
from hub_cards.local_hub.answers import no_entry, page, refused, send_bytes, truth
from hub_cards.local_hub.git import Commit, Entry
from hub_cards.local_hub.lfs import address
from hub_cards.local_hub.limits import ROWS, body_of, check_count, parse
from hub_cards.local_hub.repositories import PAGE, origin, repository_of, repository_with_files
from hub_cards.local_hub.store import Repo, stamp


async def tree(request: web.Request) -> web.Response:
    """List a folder, or everything below it."""
    repo = repository_of(request)
    commit = repo.at(request.match_info["rev"])
    entries = repo.git.flat(commit.tree)
    folder = request.match_info.get("path", "").strip("/")
    if folder and (folder not in entries or entries[folder].mode == git.FILE):
        raise no_entry(folder, commit.id)
    listed = {path: entry for path, entry in entries.items() if not folder or path.startswith(f"{folder}/")}
    if not truth(request.query.get("recursive")):
        depth = folder.count("/") + 1 if folder else 0
        listed = {path: entry for path, entry in listed.items() if path.count("/") == depth}
    listed = dict(sorted(listed.items(), key=lambda row: row[1].mode == git.FILE))  # the Hub shows folders first
    rows = _rows(repo, commit, listed, expand=truth(request.query.get("expand")))
    return page(request, rows, request.app[PAGE])


async def paths_info(request: web.Request) -> web.Response:
    """Describe the entries at some paths; paths that do not exist are omitted."""
    repo = repository_of(request)
    paths, expand = _requested(request.content_type, await body_of(request))
    commit = repo.at(request.match_info["rev"])
    entries = repo.git.flat(commit.tree)
    existing = {path.strip("/"): entries[path.strip("/")] for path in paths if path.strip("/") in entries}
    return web.json_response(_rows(repo, commit, existing, expand=expand))


def _requested(content_type: str, body: bytes) -> tuple[list[str], bool]:
    """Return the requested paths, and whether to describe them in full. Raises 400 or 413."""
    value: Any
    if content_type == "application/json":
        value = parse(body)
    else:
        form = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
        value = {"paths": form.get("paths", []), "expand": form.get("expand", [""])[0]}
    paths = value.get("paths", []) if isinstance(value, dict) else None
    paths = [paths] if isinstance(paths, str) else paths
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise refused(400, "The paths must be a list of strings")
    check_count(len(paths), "paths", ROWS)
    return paths, truth(value.get("expand"))


def _rows(repo: Repo, commit: Commit, entries: Mapping[str, Entry], *, expand: bool) -> list[dict[str, Any]]:
    changed = _last_changes(repo, commit, entries.keys()) if expand else {}
    rows = []
    for path, entry in entries.items():
        row: dict[str, Any] = {"type": "directory", "oid": entry.id, "size": 0, "path": path}
        if entry.mode == git.FILE:
            size, large = repo.facts(entry.id)
            row |= {"type": "file", "size": size}
            if large:
                row["lfs"] = {"oid": large.oid, "size": large.size, "pointerSize": len(large.pointer())}
        if path in changed:
            last = changed[path]
            row["lastCommit"] = {"id": last.id, "title": last.title, "date": stamp(last.when)}
            if entry.mode == git.FILE:
                row["securityFileStatus"] = {"status": "unscanned", "avScan": None, "pickleImportScan": None}
        rows.append(row)
    return rows


def _last_changes(repo: Repo, commit: Commit, paths: Collection[str]) -> dict[str, Commit]:
    """Return, for each path, the commit that last changed it."""
    changed: dict[str, Commit] = {}
    for ancestor in repo.git.history(commit):
        after = repo.git.flat(ancestor.tree)
        before = repo.git.flat(repo.git.commit(ancestor.parents[0]).tree) if ancestor.parents else {}
        for path in paths - changed.keys():
            if after.get(path) != before.get(path):
                changed[path] = ancestor
        if len(changed) == len(paths):
            break
    return changed


async def resolve(request: web.Request) -> web.StreamResponse:
    """Send a file, or redirect to a large one; with `raw`, send what git stores, even if it is a pointer."""
    repo = repository_with_files(request)
    commit = repo.at(request.match_info["rev"])
    path = request.match_info["path"]
    entry = repo.git.flat(commit.tree).get(path)
    if entry is None or entry.mode != git.FILE:
        raise no_entry(path, commit.id)
    _, large = repo.facts(entry.id)
    name = quote(path.rpartition("/")[2])
    headers = {"X-Repo-Commit": commit.id, "Content-Disposition": f"inline; filename*=UTF-8''{name}"}
    if large is None or request.match_info["how"] == "raw":
        return send_bytes(request, repo.git.read(entry.id)[1], headers | {"ETag": f'"{entry.id}"'})
    headers |= {
        "Location": f"{address(request, 'download', large.oid, origin(request))}&commit={commit.id}",
        "X-Linked-ETag": f'"{large.oid}"',
        "X-Linked-Size": str(large.size),
        "ETag": f'"{entry.id}"',
    }
    return web.Response(status=302, text="Found. Redirecting", headers=headers)
