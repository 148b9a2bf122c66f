"""Pages of what is in a repository: trees, what is at some paths, and the files."""

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qs, quote

from aiohttp import web

from hub_cards.local_hub import git
from hub_cards.local_hub.answers import no_entry, page, refused, send_bytes, truth
from hub_cards.local_hub.git import Commit, Entry
from hub_cards.local_hub.lfs import address
from hub_cards.local_hub.limits import ROWS, body_of, check_count, parse
from hub_cards.local_hub.repositories import PAGE, found, found_with_files, origin
from hub_cards.local_hub.store import Repo, stamp


async def tree(request: web.Request) -> web.Response:
    """List a folder, or all below it."""
    repo = found(request)
    commit = repo.at(request.match_info["rev"])
    every = repo.git.flat(commit.tree)
    below = request.match_info.get("path", "").strip("/")
    if below and (below not in every or every[below].mode == git.FILE):
        raise no_entry(below, commit.id)
    inside = {path: entry for path, entry in every.items() if not below or path.startswith(f"{below}/")}
    if not truth(request.query.get("recursive")):
        depth = below.count("/") + 1 if below else 0
        inside = {path: entry for path, entry in inside.items() if path.count("/") == depth}
    inside = dict(sorted(inside.items(), key=lambda row: row[1].mode == git.FILE))  # the Hub shows folders first
    rows = _rows(repo, commit, inside, expand=truth(request.query.get("expand")))
    return page(request, rows, request.app[PAGE])


async def paths_info(request: web.Request) -> web.Response:
    """Tell what is at some paths; a path with nothing there is left out."""
    repo = found(request)
    asked, expand = _asked(request.content_type, await body_of(request))
    commit = repo.at(request.match_info["rev"])
    every = repo.git.flat(commit.tree)
    there = {path.strip("/"): every[path.strip("/")] for path in asked if path.strip("/") in every}
    return web.json_response(_rows(repo, commit, there, expand=expand))


def _asked(content_type: str, body: bytes) -> tuple[list[str], bool]:
    """Return the paths that are asked about, and whether all is to be told of them. Raises 400 or 413."""
    value: Any
    if content_type == "application/json":
        value = parse(body)
    else:
        form = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
        value = {"paths": form.get("paths", []), "expand": form.get("expand", [""])[0]}
    paths = value.get("paths", []) if isinstance(value, dict) else None
    paths = [paths] if isinstance(paths, str) else paths
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise refused(400, "The paths are not a list of texts")
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
    """Return, for each path, the commit that made it what it is."""
    changed: dict[str, Commit] = {}
    for newer in repo.git.history(commit):
        now = repo.git.flat(newer.tree)
        before = repo.git.flat(repo.git.commit(newer.parents[0]).tree) if newer.parents else {}
        for path in paths - changed.keys():
            if now.get(path) != before.get(path):
                changed[path] = newer
        if len(changed) == len(paths):
            break
    return changed


async def resolve(request: web.Request) -> web.StreamResponse:
    """Send a file, or say where a large one is; by `raw`, send what stands in git, a pointer too."""
    repo = found_with_files(request)
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
