"""Workspaces on object stores (s3://, gs://, hf://, any that fsspec supports), mirrored in a local folder. IO.

What a command reads is fetched before it runs, and what it builds is sent afterwards (see sending.py). Files that are
already there and unchanged are not transferred again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import fsspec  # type: ignore[import-untyped]
from platformdirs import user_cache_path

from lrldata.dataset import unlisted_shards
from lrldata.errors import LrlError, StorageError, UsageError, is_full, is_short_of_memory, one_line
from lrldata.folder import prevent_exchange
from lrldata.layout import DATASETS, artifact_of
from lrldata.lease import has_folders
from lrldata.locks import wait_for_lock
from lrldata.manifest import MANIFEST, DamagedError, fingerprint, read_beside, sealed, write_json
from lrldata.output import keep_out_of, redact, warn
from lrldata.paths import find, inside, is_safe, remove, safe_name, walk
from lrldata.sending import State, commit, mark_of, put, times_of

STATE = ".mirror.json"  # per file, what the store says of it, and its size and time here
LOCK = ".mirror.lock"  # held while files are transferred: the jobs of one machine share a mirror
DEFAULT = "lrl-workspace"
_LONGEST_MESSAGE = 300  # characters of a library's message: some list every place that they searched
FILE = "file://"


def is_remote(workspace: str) -> bool:
    """Return whether a workspace is not a local folder."""
    return "://" in workspace and not workspace.startswith(FILE)


def as_folder(workspace: str) -> Path:
    """Return the folder of a local workspace: a path, or an address such as file:///home/me/workspace."""
    return Path(unquote(workspace.removeprefix(FILE)) if workspace.startswith(FILE) else workspace).expanduser()


@contextmanager
def opened(
    workspace: str | None,
    reads: Iterable[str],
    makes: Iterable[str],
    cache: Path | None = None,
    wanted: Callable[[str], bool] = lambda _: True,
) -> Iterator[Path]:
    """Yield the folder of a workspace; if it is remote, its mirror, with the files below `reads` that are `wanted`.

    What is below `makes` is sent at the end. After an error, what is finished is still sent, but nothing is deleted.
    """
    if workspace is None or not is_remote(workspace):
        yield as_folder(workspace or DEFAULT)
        return
    mirror = mirror_of(workspace, cache)
    mirror.fetch(reads, wanted)
    try:
        yield mirror.folder
    except Exception:  # not an interrupt: a user who stops a command does not want to wait for uploads
        try:
            mirror.send(makes, delete=False)
        except LrlError as error:  # the first error says what to do
            warn(error.message)
        raise
    mirror.send(makes)


def mirror_of(workspace: str, cache: Path | None = None) -> "Mirror":
    """Return the mirror of a remote workspace, a folder in the cache. Raises UsageError, StorageError."""
    keep_out_of(workspace)
    folder = (cache or user_cache_path("lrl")) / "workspaces" / fingerprint(workspace.rstrip("/"))[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with _translate_errors(workspace):
        store, root = fsspec.core.url_to_fs(workspace.rstrip("/"))
    return Mirror(workspace.rstrip("/"), store, root, folder)


@dataclass(frozen=True)
class Mirror:
    """A local folder that mirrors a remote workspace."""

    url: str
    store: Any
    root: str
    folder: Path

    def fetch(self, below: Iterable[str], wanted: Callable[[str], bool] = lambda _: True) -> None:
        """Fetch new and changed files below these paths, and remove local files that the store no longer has.

        Artifacts that were built locally and not sent yet stay. Files of an artifact whose manifest the store does not
        have, as after an upload that was killed, are not fetched, and neither are shards of other versions.
        """
        with self._transferring() as state:
            self.store.invalidate_cache()
            for part in below:
                listed = self._remote_files(part)
                remote = {name: info for name, info in listed.items() if not _is_unfinished(name, part, listed)}
                unsent = self._unsent(part, {name: mark_of(info) for name, info in remote.items()}, state)
                kept = {name for name in state if _artifact_of(name, unsent) is not None}
                manifests = {name for name in remote if name.endswith(f"/{MANIFEST}")}
                self._get_changed({name for name in manifests - kept if wanted(name)}, remote, state)
                unlisted = self._unlisted({*remote, *self._local_files(part)})
                others = remote.keys() - manifests - kept - unlisted
                self._get_changed({name for name in others if wanted(name)}, remote, state)
                for name in self._local_files(part):
                    is_stale = (name not in remote and name in state) or name in unlisted
                    if is_stale and _artifact_of(name, unsent) is None:
                        remove(self.folder, name)
                        state.pop(name, None)

    def _get_changed(self, names: AbstractSet[str], remote: Mapping[str, dict[str, Any]], state: State) -> None:
        for name in sorted(names):
            mark = mark_of(remote[name])
            if not self._is_current(name, mark, state):
                state[name] = [mark, *times_of(self._get(name, remote[name]))]

    def _unlisted(self, names: Iterable[str]) -> set[str]:
        """Return the shards of datasets that the dataset's manifest, as it is here, does not list."""
        by_dataset: dict[str, list[str]] = {}
        for name in names:
            if (home := artifact_of(name)) and home.startswith(f"{DATASETS}/"):
                by_dataset.setdefault(home, []).append(name[len(home) + 1 :])
        unlisted = {home: unlisted_shards(self.folder / home, files) for home, files in by_dataset.items()}
        return {f"{home}/{name}" for home, files in unlisted.items() for name in files}

    def _unsent(self, below: str, marks: Mapping[str, str], state: State) -> set[str]:
        """Return the artifacts that were built locally since the last transfer and are unchanged on the store."""
        unsent = set()
        for folder in _artifact_folders(self._local_files(below), below):
            name = f"{folder}/{MANIFEST}"
            file, entry = find(self.folder, name), state.get(name)
            if file is None or entry is None or entry[1:] == [*times_of(file)]:
                continue
            mark = marks.get(name)
            if mark == entry[0] and self.store.cat_file(f"{self.root}/{name}") == file.read_bytes():
                continue  # only its time differs, e.g. because the cache was copied
            if mark in (None, entry[0]):
                unsent.add(folder)
        return unsent

    def _get(self, name: str, info: dict[str, Any]) -> Path:
        target = inside(self.folder, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = inside(
            self.folder, name.rpartition("/")[0] + f"/.{target.name}.partial" if "/" in name else f".{name}"
        )
        self.store.get_file(f"{self.root}/{name}", str(partial))
        if partial.stat().st_size != info["size"]:
            raise StorageError(
                f"{self.url}/{name}: received {partial.stat().st_size:,} of {info['size']:,} bytes.", "Try again."
            )
        partial.replace(target)
        return target

    def send(self, below: Iterable[str], *, delete: bool = True) -> None:
        """Send new and changed files below these paths; with `delete`, then remove remote files that are gone locally.

        Shards that a dataset's manifest does not list are removed in any case. If an artifact is incomplete locally,
        none of its files are sent or removed. Raises StorageError if another process is writing one of the artifacts,
        or has changed it since it was fetched.
        """
        with self._transferring() as state:
            for part in below:
                self.store.invalidate_cache()
                local, remote = set(self._local_files(part)), self.listing(part)
                folders = _artifact_folders(remote, part) | _artifact_folders(local, part)
                complete = {folder for folder in folders if find(self.folder, f"{folder}/{MANIFEST}")}
                incomplete = folders - complete
                unlisted = self._unlisted({*local, *remote})
                local -= unlisted
                changed = {name for name in local if not self._is_current(name, remote.get(name), state)}
                changed = {name for name in changed if _artifact_of(name, folders) not in incomplete}
                gone = {name for name in remote.keys() - local if delete or name in unlisted}
                gone = {name for name in gone if _artifact_of(name, folders) not in incomplete}
                # Files that others added to an artifact stay; a report is not an artifact, and is replaced as a whole.
                gone = {name for name in gone if name in {*state, *unlisted} or _artifact_of(name, folders) is None}
                touched = {folder for name in changed | gone if (folder := _artifact_of(name, folders)) is not None}
                with prevent_exchange(self.folder / folder for folder in touched):
                    send_all = commit if self.is_hub else put
                    send_all(self, changed, gone, touched, state)

    def listing(self, below: str) -> dict[str, str]:
        """Return the remote files below a path, each with the store's mark of its content."""
        return {name: mark_of(info) for name, info in self._remote_files(below).items()}

    def sizes(self) -> dict[str, int]:
        """Return the size of each remote file in bytes. Raises StorageError."""
        with _translate_errors(self.url):
            self.store.invalidate_cache()
            return {name: info["size"] for name, info in self._remote_files("").items()}

    def _remote_files(self, below: str) -> dict[str, dict[str, Any]]:
        """Return the store's information on each file below a path, without hidden files. Raises PathError."""
        not_found: tuple[type[Exception], ...] = (FileNotFoundError,)
        if self.is_hub:
            from huggingface_hub.errors import EntryNotFoundError  # noqa: PLC0415 -- slow

            not_found = (FileNotFoundError, EntryNotFoundError)
        try:
            entries = self.store.find(f"{self.root}/{below}".rstrip("/"), detail=True)
        except not_found:
            self._check_exists()
            return {}
        if not isinstance(entries, dict):  # adlfs lists the paths if it finds a single file
            entries = {path: self.store.info(path) for path in entries}
        names = {path.removeprefix(f"{self.root}/"): info for path, info in sorted(entries.items())}
        files = {safe_name(name): info for name, info in names.items() if name and not name.endswith("/")}
        return {name: info for name, info in files.items() if not _is_hidden(name)}

    def _check_exists(self) -> None:
        """Raise StorageError if there is no such bucket or repository, so that none is taken for an empty workspace."""
        if self.is_hub:
            from huggingface_hub import HfApi  # noqa: PLC0415 -- slow

            location = self.store.resolve_path(self.root)
            api = HfApi(endpoint=self.store.endpoint, token=self.store.token)
            exists, what = api.repo_exists(location.repo_id, repo_type=location.repo_type), "repository"
        else:
            exists, what = has_folders(self.store) or self.store.exists(self.root.partition("/")[0]), "bucket"
        if not exists:
            raise StorageError(f"{self.url}: no such {what}, or no access to it.", "Check the address and your token.")

    @property
    def is_hub(self) -> bool:
        """Return whether the store is the Hub, where files that belong together are sent in one commit."""
        return bool(self.store.protocol == "hf")

    def _local_files(self, below: str) -> list[str]:
        top = inside(self.folder, below.rstrip("/")) if below else self.folder
        files = [top] if top.is_file() else walk(top)
        names = [path.relative_to(self.folder).as_posix() for path in files]
        return [name for name in names if not _is_hidden(name)]

    def _is_current(self, name: str, mark: str | None, state: State) -> bool:
        """Return whether a file is unchanged, locally and on the store, since it was last fetched or sent."""
        file = find(self.folder, name)
        return mark is not None and file is not None and state.get(name) == [mark, *times_of(file)]

    @contextmanager
    def _transferring(self) -> Iterator[State]:
        """Lock the mirror during a transfer, and save what is known of each file even if the transfer fails."""
        with (
            wait_for_lock(self.folder / LOCK, f"{self.url}: another process is transferring its files"),
            _translate_errors(self.url),
        ):
            state = self._state()
            try:
                yield state
            finally:
                write_json(self.folder / STATE, sealed({"files": state}))

    def _state(self) -> State:
        try:
            files = (read_beside(self.folder, STATE) or {}).get("files", {})
        except DamagedError:
            return {}
        return {name: entry for name, entry in files.items() if is_safe(name)} if isinstance(files, dict) else {}


def _is_unfinished(name: str, below: str, listed: Mapping[str, Any]) -> bool:
    """Return whether a file is of an artifact without a manifest, given the files of the store below a path."""
    home = artifact_of(name)
    return (
        home is not None
        and f"{home}/".startswith(f"{below.rstrip('/')}/" if below else "")
        and (f"{home}/{MANIFEST}" not in listed)
    )


def _artifact_folders(names: Iterable[str], below: str) -> set[str]:
    """Return the folders of artifacts among files: those with a manifest, and `below` itself if it is one."""
    folders = {name.removesuffix(f"/{MANIFEST}") for name in names if name.endswith(f"/{MANIFEST}")}
    return folders | ({below} if below.count("/") > 1 and below.startswith(("datasets/", "adapters/")) else set())


def _artifact_of(name: str, folders: AbstractSet[str]) -> str | None:
    """Return the folder of the artifact that a file belongs to; None if it belongs to none."""
    parts = name.split("/")
    parents = ("/".join(parts[:length]) for length in range(len(parts) - 1, 0, -1))
    return next((folder for folder in parents if folder in folders), None)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


@contextmanager
def _translate_errors(workspace: str) -> Iterator[None]:
    """Translate the errors of a store, whichever library accesses it."""
    try:
        yield
    except (StorageError, UsageError) as error:
        if redact(error.message) != error.message:
            raise type(error)(redact(error.message), error.hint) from None
        raise
    except ImportError as error:
        message = one_line(error, _LONGEST_MESSAGE)
        hint = "In a checkout of lrl, use `pip install '.[s3]'`." if workspace.startswith(("s3:", "s3a:")) else ""
        raise UsageError(f"{redact(workspace)}: {redact(message)}.", hint) from error
    except ValueError as error:
        raise UsageError(
            f"{redact(workspace)}: {redact(str(error))}.", "Use a folder, or an address such as s3://BUCKET/FOLDER."
        ) from error
    except Exception as error:  # every store has errors of its own
        if is_full(error) or is_short_of_memory(error):
            raise
        message = one_line(error)
        raise StorageError(
            f"{redact(workspace)}: {redact(message) or type(error).__name__}.",
            "Check the address, the network and your permissions.",
        ) from error
