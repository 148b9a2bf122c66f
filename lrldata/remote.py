"""Workspaces on object stores (s3://, gs://, hf://, any that fsspec knows): mirrored in a folder of this machine. IO.

What a command reads is fetched before it, and what it made is sent after it: the files of an artifact first and its
manifest last, so that one whose manifest is there is whole. Files that are there already, unchanged, stay.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
from platformdirs import user_cache_path

from lrldata.errors import StorageError, UsageError
from lrldata.manifest import MANIFEST, fingerprint, write_json

STATE = ".mirror.json"  # of each file what the store said of it, and size and time here
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
        """Fetch the files below these paths that are new or changed; remove here what is no longer there."""
        state = self._state()
        with _in_words(self.url):
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
                    if name not in there:
                        (self.folder / name).unlink()
                        state.pop(name, None)
        write_json(self.folder / STATE, state)

    def send(self, below: Iterable[str]) -> None:
        """Send the files below these paths that are new or changed, manifests last; remove there what is gone here."""
        state = self._state()
        with _in_words(self.url):
            for part in below:
                here = self._here(part)
                there = self.listing(part)
                changed = {name for name in here if not self._is_current(name, there.get(name), state)}
                homes = {Path(name).parent for name in changed}
                manifests = {name: Path(name).parent for name in there if name.endswith(f"/{MANIFEST}")}
                withdrawn = {name for name, home in manifests.items() if any(map(_inside(home), homes))}
                for name in withdrawn:  # until it is whole again, an artifact is unfinished
                    self.store.rm_file(f"{self.root}/{name}")
                changed |= withdrawn & set(here)
                for name in sorted(changed, key=lambda name: (name.endswith(MANIFEST), name)):
                    self.store.put_file(str(self.folder / name), f"{self.root}/{name}")
                    state[name] = [_mark(self.store.info(f"{self.root}/{name}")), *_times(self.folder / name)]
                for name in there.keys() - set(here) - withdrawn:
                    self.store.rm_file(f"{self.root}/{name}")
                self.store.invalidate_cache()
        write_json(self.folder / STATE, state)

    def listing(self, below: str) -> dict[str, str]:
        """Return the files there below a path, each with what the store says of its content."""
        try:
            found = self.store.find(f"{self.root}/{below}", detail=True)
        except FileNotFoundError:
            return {}
        return {path.removeprefix(f"{self.root}/"): _mark(info) for path, info in sorted(found.items())}

    def _here(self, below: str) -> list[str]:
        top = self.folder / below
        files = [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file())
        names = [path.relative_to(self.folder) for path in files]
        return [name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts)]

    def _is_current(self, name: str, mark: str | None, state: dict[str, list[Any]]) -> bool:
        """Return whether a file is the same here and there, as it was when it was last fetched or sent."""
        file = self.folder / name
        return mark is not None and file.is_file() and state.get(name) == [mark, *_times(file)]

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
    told = next((info[key] for key in ("ETag", "etag", "md5Hash", "sha", "mtime", "created") if info.get(key)), "")
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
