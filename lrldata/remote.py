"""Workspaces on object stores (s3://, gs://, hf://, any that fsspec knows): mirrored in a folder of this machine. IO.

What a command reads is fetched before it, and what it made is sent after it: the files of an artifact first and its
manifest last, so that one whose manifest is there is whole; to the Hub in one commit, as it allows few of them. Files
that are there already, unchanged, stay.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
from filelock import FileLock
from platformdirs import user_cache_path

from lrldata.errors import StorageError, UsageError
from lrldata.manifest import MANIFEST, fingerprint, write_json

STATE = ".mirror.json"  # of each file what the store said of it, and size and time here
LOCK = ".mirror.lock"  # held while files are moved: jobs of one machine share a mirror
DEFAULT = "lrl-workspace"


def is_remote(workspace: str) -> bool:
    """Return whether a workspace is not a folder of this machine."""
    return "://" in workspace


@contextmanager
def opened(
    workspace: str | None,
    reads: Iterable[str],
    makes: Iterable[str],
    cache: Path | None = None,
    wanted: Callable[[str], bool] = lambda _: True,
) -> Iterator[Path]:
    """Yield a workspace's folder; where it is remote, its mirror, with the files below `reads` that are `wanted`.

    What is below `makes` is sent in the end, also after a failure: finished artifacts are not lost with it.
    """
    if workspace is None or not is_remote(workspace):
        yield Path(workspace or DEFAULT)
        return
    mirror = mirror_of(workspace, cache)
    mirror.fetch(reads, wanted)
    try:
        yield mirror.folder
    finally:
        mirror.send(makes)


def mirror_of(workspace: str, cache: Path | None = None) -> "Mirror":
    """Return the mirror of a remote workspace, below the cache. Raises UsageError, StorageError."""
    home = (cache or user_cache_path("lrl")) / "workspaces" / fingerprint(workspace.rstrip("/"))[:16]
    home.mkdir(parents=True, exist_ok=True)
    with _in_words(workspace):
        store, root = fsspec.core.url_to_fs(workspace.rstrip("/"))
    return Mirror(workspace.rstrip("/"), store, root, home)


@dataclass(frozen=True)
class Mirror:
    """A folder here for a workspace there."""

    url: str
    store: Any
    root: str
    folder: Path

    def fetch(self, below: Iterable[str], wanted: Callable[[str], bool] = lambda _: True) -> None:
        """Fetch the files below these paths that are new or changed; remove here what is no longer there.

        What was made here and not sent yet stays.
        """
        with self._moving() as state:
            self.store.invalidate_cache()
            for part in below:
                there = self.listing(part)
                for name, mark in there.items():
                    if wanted(name) and not self._is_current(name, mark, state):
                        target = self.folder / name
                        target.parent.mkdir(parents=True, exist_ok=True)
                        partial = target.with_name(f".{target.name}.partial")
                        self.store.get_file(f"{self.root}/{name}", str(partial))
                        partial.replace(target)
                        state[name] = [mark, *_times(target)]
                for name in self._here(part):
                    if name not in there and name in state:
                        (self.folder / name).unlink()
                        del state[name]

    def send(self, below: Iterable[str]) -> None:
        """Send the files below these paths that are new or changed; remove there what is gone here."""
        with self._moving() as state:
            for part in below:
                here, there = self._here(part), self.listing(part)
                changed = {name for name in here if not self._is_current(name, there.get(name), state)}
                gone = there.keys() - set(here)
                sent = (self._commit if self._is_hub else self._put)(changed, gone, there)
                self.store.invalidate_cache()
                for name in sent:
                    state[name] = [_mark(self.store.info(f"{self.root}/{name}")), *_times(self.folder / name)]
                for name in gone:
                    state.pop(name, None)

    def _put(self, changed: AbstractSet[str], gone: AbstractSet[str], there: Iterable[str]) -> list[str]:
        """Send file by file, manifests last, and return which: an artifact has no manifest until it is whole again."""
        homes = {Path(name).parent for name in changed}
        manifests = {name: Path(name).parent for name in there if name.endswith(f"/{MANIFEST}")}
        withdrawn = {name for name, home in manifests.items() if any(map(_inside(home), homes))}
        for name in withdrawn:
            self.store.rm_file(f"{self.root}/{name}")
        ordered = sorted(changed | (withdrawn - gone), key=lambda name: (name.endswith(MANIFEST), name))
        for name in ordered:
            self.store.put_file(str(self.folder / name), f"{self.root}/{name}")
        for name in gone - withdrawn:
            self.store.rm_file(f"{self.root}/{name}")
        return ordered

    def _commit(self, changed: AbstractSet[str], gone: AbstractSet[str], _there: Iterable[str]) -> list[str]:
        """Send all in one commit to the Hub, which has it whole or not at all. Return what was sent."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi  # noqa: PLC0415 -- slow

        at = self.store.resolve_path(self.root)
        added = [CommitOperationAdd(str(Path(at.path_in_repo, name)), self.folder / name) for name in sorted(changed)]
        removed = [CommitOperationDelete(str(Path(at.path_in_repo, name))) for name in sorted(gone)]
        if added or removed:
            HfApi(endpoint=self.store.endpoint, token=self.store.token).create_commit(
                at.repo_id,
                [*added, *removed],
                commit_message=f"{len(added)} files of a workspace",
                repo_type=at.repo_type,
                revision=at.revision,
            )
        return sorted(changed)

    def listing(self, below: str) -> dict[str, str]:
        """Return the files there below a path, each with what the store says of its content."""
        return {name: _mark(info) for name, info in self._found(below).items()}

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file there. Raises StorageError."""
        with _in_words(self.url):
            self.store.invalidate_cache()
            return {name: info["size"] for name, info in self._found("").items()}

    def _found(self, below: str) -> dict[str, dict[str, Any]]:
        absent: tuple[type[Exception], ...] = (FileNotFoundError,)
        if self._is_hub:
            from huggingface_hub.errors import EntryNotFoundError  # noqa: PLC0415 -- slow

            absent = (FileNotFoundError, EntryNotFoundError)
        try:
            found = self.store.find(f"{self.root}/{below}".rstrip("/"), detail=True)
        except absent:
            return {}
        return {path.removeprefix(f"{self.root}/"): info for path, info in sorted(found.items())}

    @property
    def _is_hub(self) -> bool:
        return bool(self.store.protocol == "hf")

    def _here(self, below: str) -> list[str]:
        top = self.folder / below
        files = [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file())
        names = [path.relative_to(self.folder) for path in files]
        return [name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts)]

    def _is_current(self, name: str, mark: str | None, state: dict[str, list[Any]]) -> bool:
        """Return whether a file is the same here and there, as it was when it was last fetched or sent."""
        file = self.folder / name
        return mark is not None and file.is_file() and state.get(name) == [mark, *_times(file)]

    @contextmanager
    def _moving(self) -> Iterator[dict[str, list[Any]]]:
        """Hold the mirror while files are moved, and keep what is known of each, also if not all could be."""
        with FileLock(self.folder / LOCK), _in_words(self.url):
            state = self._state()
            try:
                yield state
            finally:
                write_json(self.folder / STATE, state)

    def _state(self) -> dict[str, list[Any]]:
        try:
            found = json.loads((self.folder / STATE).read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _times(file: Path) -> list[int]:
    found = file.stat()
    return [found.st_size, found.st_mtime_ns]


def _inside(home: Path) -> Callable[[Path], bool]:
    return lambda folder: folder.is_relative_to(home)


def _mark(info: dict[str, Any]) -> str:
    """Return what tells one content from another, by the names that stores have for it."""
    keys = ("ETag", "etag", "md5Hash", "blob_id", "sha", "mtime", "created")
    told = next((info[key] for key in keys if info.get(key)), "")
    return f"{info.get('size')} {told}"


@contextmanager
def _in_words(workspace: str) -> Iterator[None]:
    """Say what went wrong with a store, whichever library speaks to it."""
    try:
        yield
    except ImportError as error:
        scheme = workspace.split("://", maxsplit=1)[0]
        raise UsageError(f"{workspace}: {' '.join(str(error).split())}.", f"Is `lrl[{scheme}]` installed?") from error
    except ValueError as error:
        raise UsageError(f"{workspace}: {error}.", "Use a folder, or an address as s3://BUCKET/FOLDER.") from error
    except Exception as error:  # every store has errors of its own
        told = " ".join(str(error).split())
        raise StorageError(
            f"{workspace}: {told or type(error).__name__}.", "Check the address, the network and your rights to it."
        ) from error
