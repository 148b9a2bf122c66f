"""Send what was made to an object store, so that whoever reads there finds artifacts whole. IO.

Of an artifact the files are sent first and looked at there, then its manifest: one whose files match its manifest is
whole. What is no longer part of it is deleted last. Two who write the same artifact are noticed, by a lease and by its
manifest, and one of them stops. To the Hub it is one commit, as it allows few of them.
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

State = dict[str, list[Any]]  # of each file what the store said of it, and size and time here
HUB_TRIES = 5  # of a commit, where another one came first


class Mirrored(Protocol):
    """A folder of this machine for a workspace on a store; see remote.Mirror."""

    @property
    def url(self) -> str:
        """Return the address of the workspace."""

    @property
    def store(self) -> Any:
        """Return the file system of fsspec."""

    @property
    def root(self) -> str:
        """Return the workspace's path on the store."""

    @property
    def folder(self) -> Path:
        """Return the folder here."""

    def listing(self, below: str) -> dict[str, str]:
        """Return the files of the store below a path, with what tells whether one changed."""


def put(
    mirror: Mirrored, changed: AbstractSet[str], gone: AbstractSet[str], homes: AbstractSet[str], state: State
) -> None:
    """Send file by file: what manifests name, then manifests, and delete last."""
    with ExitStack() as held:
        leases = [
            held.enter_context(leased(mirror.store, mirror.root, home, f"{mirror.url}/{home}"))
            for home in sorted(homes)
        ]
        for home in sorted(homes):
            _refuse_changed(mirror, home, state)
        for name in sorted(changed, key=lambda name: (name.endswith(f"/{MANIFEST}"), name)):
            state[name] = _sent(mirror, name, state, leases)
        for name in sorted(gone):
            mirror.store.rm_file(f"{mirror.root}/{safe_name(name)}")
            state.pop(name, None)


def _sent(mirror: Mirrored, name: str, state: State, leases: Iterable[Lease]) -> list[Any]:
    """Send a file, look at what arrived, and return what is known of it then."""
    for lease in leases:
        lease.renew()
    path, file = f"{mirror.root}/{safe_name(name)}", inside(mirror.folder, name)
    before = times_of(file)
    make_parent(mirror.store, path)
    if name.endswith(f"/{MANIFEST}"):
        mirror.store.pipe_file(path, file.read_bytes(), **_unless_changed(mirror, name, state))
    else:
        mirror.store.put_file(str(file), path)
    mirror.store.invalidate_cache()
    info = mirror.store.info(path)
    if times_of(file) != before or info["size"] != before[0] or not _is_same(mirror, path, file, info):
        raise StorageError(f"{mirror.url}/{name}: what arrived is not what was sent.", "Give the same command again.")
    return [mark_of(info), *before]


def _is_same(mirror: Mirrored, path: str, file: Path, info: dict[str, Any]) -> bool:
    """Return whether an object has the bytes of a file, by its MD5 where the store says that at once."""
    told = str(info.get("ETag") or "").strip('"')
    if len(told) != 32:  # of an object in several parts it is not the MD5 of the whole
        return True
    if told == hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest():
        return True
    return bool(mirror.store.cat_file(path) == file.read_bytes())  # encrypted, it is the MD5 of something else


def _unless_changed(mirror: Mirrored, name: str, state: State) -> dict[str, str]:
    """Return what makes S3 refuse to write an object that is not the one that we know."""
    if "s3" not in mirror.store.protocol:
        return {}
    known = state.get(name)
    etag = str(known[0]).partition(" ")[2] if known else ""
    return {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}


def _refuse_changed(mirror: Mirrored, home: str, state: State) -> None:
    """Raise StorageError where an artifact's manifest is not the one that was fetched, but another's."""
    name = f"{home}/{MANIFEST}"
    known, there = state.get(name), mirror.listing(home).get(name)
    if there is None or (known is not None and known[0] == there):
        if there is None:
            state.pop(name, None)
        return
    if mirror.store.cat_file(f"{mirror.root}/{name}") == inside(mirror.folder, name).read_bytes():
        state[name] = [there, *times_of(mirror.folder / name)]
        return
    raise StorageError(
        f"{mirror.url}/{home}: another process has written it since this command read it.",
        "What was made here is kept in the cache; give the same command again, to build on what is there now.",
    )


def commit(
    mirror: Mirrored, changed: AbstractSet[str], gone: AbstractSet[str], homes: AbstractSet[str], state: State
) -> None:
    """Send all in one commit to the Hub, which has it whole or not at all."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi  # noqa: PLC0415 -- slow
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    if not changed and not gone:
        return
    at = mirror.store.resolve_path(mirror.root)
    api = HfApi(endpoint=mirror.store.endpoint, token=mirror.store.token)
    times = {name: times_of(inside(mirror.folder, name)) for name in changed}
    for attempt in range(1, HUB_TRIES + 1):
        tip = api.repo_info(at.repo_id, repo_type=at.repo_type, revision=at.revision).sha
        mirror.store.invalidate_cache()
        for home in sorted(homes):
            _refuse_changed(mirror, home, state)
        operations: list[Any] = [
            *(
                CommitOperationAdd(str(Path(at.path_in_repo, name)), inside(mirror.folder, name))
                for name in sorted(changed)
            ),
            *(CommitOperationDelete(str(Path(at.path_in_repo, safe_name(name)))) for name in sorted(gone)),
        ]
        try:
            api.create_commit(
                at.repo_id,
                operations,
                commit_message=f"{len(changed)} files of a workspace",
                repo_type=at.repo_type,
                revision=at.revision,
                parent_commit=tip,
            )
            break
        except HfHubHTTPError as error:
            if attempt == HUB_TRIES or getattr(error.response, "status_code", None) not in (409, 412):
                raise
    mirror.store.invalidate_cache()
    there = {name: mark for home in sorted(homes) for name, mark in mirror.listing(home).items()}
    for name in changed:
        mark = there.get(name) or mark_of(mirror.store.info(f"{mirror.root}/{name}"))
        state[name] = [mark, *times[name]]
    for name in gone:
        state.pop(name, None)


def times_of(file: Path) -> list[int]:
    """Return size and time of change, in ns."""
    found = file.stat()
    return [found.st_size, found.st_mtime_ns]


def mark_of(info: dict[str, Any]) -> str:
    """Return what tells one content from another, by the names that stores have for it."""
    keys = ("ETag", "etag", "md5Hash", "blob_id", "sha", "mtime", "created")
    told = next((info[key] for key in keys if info.get(key)), "")
    return f"{info.get('size')} {told}"
