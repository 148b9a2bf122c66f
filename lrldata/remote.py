"""Workspaces on object stores (s3://, gs://, hf://, any that fsspec knows): mirrored in a folder of this machine. IO.

What a command reads is fetched before it, and what it made is sent after it (see sending.py). Files that are there
already, unchanged, stay.
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

from lrldata.errors import StorageError, UsageError, one_line
from lrldata.folder import kept_in_place
from lrldata.locks import waited
from lrldata.manifest import MANIFEST, DamagedError, fingerprint, read_beside, sealed, write_json
from lrldata.output import keep_out_of, redact
from lrldata.paths import find, inside, is_safe, remove, safe_name, walk
from lrldata.sending import State, commit, mark_of, put, times_of

STATE = ".mirror.json"  # of each file what the store said of it, and size and time here
LOCK = ".mirror.lock"  # held while files are moved: jobs of one machine share a mirror
DEFAULT = "lrl-workspace"
_SAID = 300  # characters of what a library says: some list all the places where they looked for another
FILE = "file://"


def is_remote(workspace: str) -> bool:
    """Return whether a workspace is not a folder of this machine."""
    return "://" in workspace and not workspace.startswith(FILE)


def as_folder(workspace: str) -> Path:
    """Return the folder of a workspace that is not remote: a path, or an address as file:///home/me/workspace."""
    return Path(unquote(workspace.removeprefix(FILE)) if workspace.startswith(FILE) else workspace).expanduser()


@contextmanager
def opened(
    workspace: str | None,
    reads: Iterable[str],
    makes: Iterable[str],
    cache: Path | None = None,
    wanted: Callable[[str], bool] = lambda _: True,
) -> Iterator[Path]:
    """Yield a workspace's folder; where it is remote, its mirror, with the files below `reads` that are `wanted`.

    What is below `makes` is sent in the end; after an error what is finished of it, and then nothing is deleted.
    """
    if workspace is None or not is_remote(workspace):
        yield as_folder(workspace or DEFAULT)
        return
    mirror = mirror_of(workspace, cache)
    mirror.fetch(reads, wanted)
    try:
        yield mirror.folder
    except Exception:  # not an interrupt: who stops a command does not wait for it to send
        mirror.send(makes, delete=False)
        raise
    mirror.send(makes)


def mirror_of(workspace: str, cache: Path | None = None) -> "Mirror":
    """Return the mirror of a remote workspace, below the cache. Raises UsageError, StorageError."""
    keep_out_of(workspace)
    home = (cache or user_cache_path("lrl")) / "workspaces" / fingerprint(workspace.rstrip("/"))[:16]
    home.mkdir(parents=True, exist_ok=True)
    with _translate_errors(workspace):
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
                there = self._found(part)
                unsent = self._unsent(part, {name: mark_of(info) for name, info in there.items()}, state)
                for name, info in there.items():
                    is_kept = name in state and _home_of(name, unsent) is not None
                    is_wanted = wanted(name) and not is_kept
                    if is_wanted and not self._is_current(name, mark_of(info), state):
                        state[name] = [mark_of(info), *times_of(self._get(name, info))]
                for name in self._here(part):
                    if name not in there and name in state and _home_of(name, unsent) is None:
                        remove(self.folder, name)
                        del state[name]

    def _unsent(self, below: str, there: Mapping[str, str], state: State) -> set[str]:
        """Return the artifacts that were made here since they were last moved, and that nobody has written there."""
        found = set()
        for home in _homes(self._here(below), below):
            name = f"{home}/{MANIFEST}"
            file, known = find(self.folder, name), state.get(name)
            if file is None or known is None or known[1:] == [*times_of(file)]:
                continue
            mark = there.get(name)
            if mark == known[0] and self.store.cat_file(f"{self.root}/{name}") == file.read_bytes():
                continue  # its time alone is another, as after a copy of the cache
            if mark in (None, known[0]):
                found.add(home)
        return found

    def _get(self, name: str, info: dict[str, Any]) -> Path:
        target = inside(self.folder, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = inside(
            self.folder, name.rpartition("/")[0] + f"/.{target.name}.partial" if "/" in name else f".{name}"
        )
        self.store.get_file(f"{self.root}/{name}", str(partial))
        if partial.stat().st_size != info["size"]:
            raise StorageError(
                f"{self.url}/{name}: {partial.stat().st_size:,} bytes came of {info['size']:,}.", "Try again."
            )
        partial.replace(target)
        return target

    def send(self, below: Iterable[str], *, delete: bool = True) -> None:
        """Send the files below these paths that are new or changed; then remove there what is gone here, with `delete`.

        Of an artifact that is not whole here, nothing is sent and nothing removed. Raises StorageError where another
        writer is at one of them, or has changed it since it was fetched.
        """
        with self._moving() as state:
            for part in below:
                self.store.invalidate_cache()
                here, there = set(self._here(part)), self.listing(part)
                homes = _homes(there, part) | _homes(here, part)
                whole = {home for home in homes if find(self.folder, f"{home}/{MANIFEST}")}
                lacking = homes - whole
                changed = {name for name in here if not self._is_current(name, there.get(name), state)}
                changed = {name for name in changed if _home_of(name, homes) not in lacking}
                gone = {name for name in there.keys() - here if delete and _home_of(name, homes) not in lacking}
                # Of an artifact, not what others have added; a report, which is of none, is replaced as a whole.
                gone = {name for name in gone if name in state or _home_of(name, homes) is None}
                touched = {home for name in changed | gone if (home := _home_of(name, homes)) is not None}
                with kept_in_place(self.folder / home for home in touched):
                    send_all = commit if self.is_hub else put
                    send_all(self, changed, gone, touched, state)

    def listing(self, below: str) -> dict[str, str]:
        """Return the files there below a path, each with what the store says of its content."""
        return {name: mark_of(info) for name, info in self._found(below).items()}

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file there. Raises StorageError."""
        with _translate_errors(self.url):
            self.store.invalidate_cache()
            return {name: info["size"] for name, info in self._found("").items()}

    def _found(self, below: str) -> dict[str, dict[str, Any]]:
        """Return what the store says of each file below a path; hidden ones are nobody's. Raises PathError."""
        absent: tuple[type[Exception], ...] = (FileNotFoundError,)
        if self.is_hub:
            from huggingface_hub.errors import EntryNotFoundError  # noqa: PLC0415 -- slow

            absent = (FileNotFoundError, EntryNotFoundError)
        try:
            found = self.store.find(f"{self.root}/{below}".rstrip("/"), detail=True)
        except absent:
            return {}
        names = {path.removeprefix(f"{self.root}/"): info for path, info in sorted(found.items())}
        files = {safe_name(name): info for name, info in names.items() if name and not name.endswith("/")}
        return {name: info for name, info in files.items() if not _is_hidden(name)}

    @property
    def is_hub(self) -> bool:
        """Return whether the store is the Hub, where what belongs together is a commit."""
        return bool(self.store.protocol == "hf")

    def _here(self, below: str) -> list[str]:
        top = inside(self.folder, below.rstrip("/")) if below else self.folder
        files = [top] if top.is_file() else walk(top)
        names = [path.relative_to(self.folder).as_posix() for path in files]
        return [name for name in names if not _is_hidden(name)]

    def _is_current(self, name: str, mark: str | None, state: State) -> bool:
        """Return whether a file is the same here and there, as it was when it was last fetched or sent."""
        file = find(self.folder, name)
        return mark is not None and file is not None and state.get(name) == [mark, *times_of(file)]

    @contextmanager
    def _moving(self) -> Iterator[State]:
        """Hold the mirror while files are moved, and keep what is known of each, also if not all could be."""
        with waited(self.folder / LOCK, f"{self.url}: another process moves files of it"), _translate_errors(self.url):
            state = self._state()
            try:
                yield state
            finally:
                write_json(self.folder / STATE, sealed({"files": state}))

    def _state(self) -> State:
        try:
            found = (read_beside(self.folder, STATE) or {}).get("files", {})
        except DamagedError:
            return {}
        return {name: known for name, known in found.items() if is_safe(name)} if isinstance(found, dict) else {}


def _homes(names: Iterable[str], below: str) -> set[str]:
    """Return the folders of artifacts among files: those with a manifest, and of a path that is one's, itself."""
    found = {name.removesuffix(f"/{MANIFEST}") for name in names if name.endswith(f"/{MANIFEST}")}
    return found | ({below} if below.count("/") > 1 and below.startswith(("datasets/", "adapters/")) else set())


def _home_of(name: str, homes: AbstractSet[str]) -> str | None:
    """Return the folder of the artifact that a file is of; None where it is of none."""
    parts = name.split("/")
    above = ("/".join(parts[:length]) for length in range(len(parts) - 1, 0, -1))
    return next((each for each in above if each in homes), None)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


@contextmanager
def _translate_errors(workspace: str) -> Iterator[None]:
    """Say what went wrong with a store, whichever library speaks to it."""
    try:
        yield
    except (StorageError, UsageError):
        raise
    except ImportError as error:
        told = one_line(error, _SAID)
        hint = "In a checkout of lrl, use `pip install '.[s3]'`." if workspace.startswith(("s3:", "s3a:")) else ""
        raise UsageError(f"{redact(workspace)}: {redact(told)}.", hint) from error
    except ValueError as error:
        raise UsageError(
            f"{redact(workspace)}: {redact(str(error))}.", "Use a folder, or an address as s3://BUCKET/FOLDER."
        ) from error
    except Exception as error:  # every store has errors of its own
        told = one_line(error)
        raise StorageError(
            f"{redact(workspace)}: {redact(told) or type(error).__name__}.",
            "Check the address, the network and your rights to it.",
        ) from error
