"""Send artifacts to an object store so that readers there find them complete. IO.

The files of an artifact are sent and verified first, then its manifest: an artifact whose files match its manifest is
complete. Files that are no longer part of it are deleted last. If two processes write the same artifact, a lease and
the manifest reveal it, and one of them stops. To the Hub everything goes in one commit, because it allows few of them.
"""

import hashlib
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from lrldata.errors import StorageError
from lrldata.lease import Lease, leased, make_parent
from lrldata.manifest import MANIFEST
from lrldata.paths import inside, safe_name

State = dict[str, list[Any]]  # per file, what the store says of it, and its size and time here
HUB_TRIES = 5  # attempts at a commit if another one came first


class WorkspaceMirror(Protocol):
    """A local folder that mirrors a workspace on a store; see remote.Mirror."""

    @property
    def url(self) -> str:
        """Return the address of the workspace."""

    @property
    def store(self) -> Any:
        """Return the fsspec file system."""

    @property
    def root(self) -> str:
        """Return the workspace's path on the store."""

    @property
    def folder(self) -> Path:
        """Return the local folder."""

    def listing(self, below: str) -> dict[str, str]:
        """Return the files of the store below a path, each with a mark that differs if the content does."""


def put(
    mirror: WorkspaceMirror, changed: AbstractSet[str], gone: AbstractSet[str], homes: AbstractSet[str], state: State
) -> None:
    """Send file by file: first the files that manifests name, then the manifests; delete last."""
    with ExitStack() as stack:
        leases = [
            stack.enter_context(leased(mirror.store, mirror.root, home, f"{mirror.url}/{home}"))
            for home in sorted(homes)
        ]
        for home in sorted(homes):
            _refuse_changed(mirror, home, state)
        for name in sorted(changed, key=lambda name: (name.endswith(f"/{MANIFEST}"), name)):
            state[name] = _send_file(mirror, name, state, leases)
        for name in sorted(gone):
            mirror.store.rm_file(f"{mirror.root}/{safe_name(name)}")
            state.pop(name, None)


def _send_file(mirror: WorkspaceMirror, name: str, state: State, leases: Iterable[Lease]) -> list[Any]:
    """Send a file, verify what arrived, and return its entry in the state."""
    for lease in leases:
        lease.renew()
    path, file = f"{mirror.root}/{safe_name(name)}", inside(mirror.folder, name)
    before = times_of(file)
    make_parent(mirror.store, path)
    if name.endswith(f"/{MANIFEST}"):
        _put_manifest(mirror, path, file.read_bytes(), _unless_changed(mirror, name, state))
    else:
        mirror.store.put_file(str(file), path)
    mirror.store.invalidate_cache()
    info = mirror.store.info(path)
    if times_of(file) != before or info["size"] != before[0] or not _is_same(mirror, path, file, info):
        raise StorageError(
            f"{mirror.url}/{name}: the file that arrived differs from the one sent.", "Run the same command again."
        )
    return [mark_of(info), *before]


def _put_manifest(mirror: WorkspaceMirror, path: str, content: bytes, condition: dict[str, str]) -> None:
    try:
        mirror.store.pipe_file(path, content, **condition)
    except OSError:  # a client that repeats a request, as its answer was lost, finds its own object
        if not condition or not mirror.store.exists(path) or mirror.store.cat_file(path) != content:
            raise


def _is_same(mirror: WorkspaceMirror, path: str, file: Path, info: dict[str, Any]) -> bool:
    """Return whether an object has the bytes of a file; by its MD5 if the store reports that."""
    etag = str(info.get("ETag") or "").strip('"')
    if len(etag) != 32:  # not the MD5 of the whole, as for an object in several parts
        return True
    if etag == hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest():
        return True
    return bool(
        mirror.store.cat_file(path) == file.read_bytes()
    )  # for an encrypted object, the ETag is the MD5 of something else


def _unless_changed(mirror: WorkspaceMirror, name: str, state: State) -> dict[str, str]:
    """Return arguments that make S3 refuse to overwrite an object that is not the one last seen."""
    if "s3" not in mirror.store.protocol:
        return {}
    entry = state.get(name)
    etag = str(entry[0]).partition(" ")[2] if entry else ""
    return {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}


def _refuse_changed(mirror: WorkspaceMirror, home: str, state: State) -> None:
    """Raise StorageError if an artifact's manifest is not the one that was fetched."""
    name = f"{home}/{MANIFEST}"
    entry, mark = state.get(name), mirror.listing(home).get(name)
    if mark is None or (entry is not None and entry[0] == mark):
        if mark is None:
            state.pop(name, None)
        return
    if mirror.store.cat_file(f"{mirror.root}/{name}") == inside(mirror.folder, name).read_bytes():
        state[name] = [mark, *times_of(mirror.folder / name)]
        return
    raise StorageError(
        f"{mirror.url}/{home}: another process has written it since this command read it.",
        "What was built here is kept in the cache. Run the same command again to build on the new state.",
    )


def commit(
    mirror: WorkspaceMirror, changed: AbstractSet[str], gone: AbstractSet[str], homes: AbstractSet[str], state: State
) -> None:
    """Send everything to the Hub in one commit, which is applied completely or not at all."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi  # noqa: PLC0415 -- slow
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    if not changed and not gone:
        return
    location = mirror.store.resolve_path(mirror.root)
    api = HfApi(endpoint=mirror.store.endpoint, token=mirror.store.token)
    times = {name: times_of(inside(mirror.folder, name)) for name in changed}
    for attempt in range(1, HUB_TRIES + 1):
        tip = api.repo_info(location.repo_id, repo_type=location.repo_type, revision=location.revision).sha
        mirror.store.invalidate_cache()
        for home in sorted(homes):
            _refuse_changed(mirror, home, state)
        operations: list[Any] = [
            *(
                CommitOperationAdd(str(Path(location.path_in_repo, name)), inside(mirror.folder, name))
                for name in sorted(changed)
            ),
            *(CommitOperationDelete(str(Path(location.path_in_repo, safe_name(name)))) for name in sorted(gone)),
        ]
        try:
            api.create_commit(
                location.repo_id,
                operations,
                commit_message=f"{len(changed)} files of a workspace",
                repo_type=location.repo_type,
                revision=location.revision,
                parent_commit=tip,
            )
            break
        except HfHubHTTPError as error:
            if attempt == HUB_TRIES or getattr(error.response, "status_code", None) not in (409, 412):
                raise
    mirror.store.invalidate_cache()
    marks = {name: mark for home in sorted(homes) for name, mark in mirror.listing(home).items()}
    for name in changed:
        mark = marks.get(name) or mark_of(mirror.store.info(f"{mirror.root}/{name}"))
        state[name] = [mark, *times[name]]
    for name in gone:
        state.pop(name, None)


def times_of(file: Path) -> list[int]:
    """Return the size of a file and its modification time in ns."""
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]


def mark_of(info: dict[str, Any]) -> str:
    """Return a mark that distinguishes one content from another, from whichever key the store uses for it."""
    keys = ("ETag", "etag", "md5Hash", "blob_id", "sha", "mtime", "created")
    mark = next((info[key] for key in keys if info.get(key)), "")
    return f"{info.get('size')} {mark}"
