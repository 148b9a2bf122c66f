"""Provenance: what an artifact was made from, with which settings and libraries, and what came out. IO.

A folder without manifest.json is unfinished. A manifest contains a hash of its own content (`sha256`), as do other JSON
files that no manifest covers. Nothing in a manifest depends on time or machine, except the hash of run.json (`run`),
which the manifest's own hash leaves out.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from io import BufferedReader
from pathlib import Path
from secrets import randbits
from typing import Any, TypeVar

import polars as pl
from pydantic import ValidationError

from lrldata import __version__
from lrldata.errors import StorageError, one_line
from lrldata.folder import is_exchanged
from lrldata.manifest_schema import ADAPTER, DATASET, INDEX, SCHEMAS, SCORES
from lrldata.output import note, redacted
from lrldata.paths import OpenFolder, find, remove, state_of

__all__ = ["ADAPTER", "DATASET", "INDEX", "MANIFEST", "SCORES"]

MANIFEST, SEAL, RUN = "manifest.json", "sha256", "run"
LARGEST = 64_000_000  # bytes of JSON that are accepted
TRIES, PAUSE = 100, 0.02  # attempts to open a folder that is being exchanged, and seconds between them
Read = TypeVar("Read")


class DamagedError(StorageError):
    """An artifact, or another file of lrl's own, has invalid content."""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_in_run(path: Path) -> str:
    """Return the SHA-256 of a large file. A process reads it once, while its size and time stay the same."""
    return _sha256_in_run(*state_of(path))


@cache
def _sha256_in_run(path: Path, *_state: object) -> str:
    return sha256_of(path)


def file_entry(path: Path, root: Path) -> dict[str, Any]:
    """Describe an output file: its path below `root`, size in bytes and SHA-256."""
    return {"path": path.relative_to(root).as_posix(), "bytes": path.stat().st_size, "sha256": sha256_of(path)}


def fingerprint(value: object) -> str:
    """Return the SHA-256 of a JSON-like value in canonical form. File names in it may be invalid UTF-8."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def made_with(*libraries: str) -> dict[str, str]:
    """Return the versions of lrl and of the libraries that affect the output bytes."""
    return {name: _version(name) for name in ("lrl", *libraries)}


@cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        if name != "lrl":
            raise
        return __version__  # run from source, not installed


def write_text(path: Path, text: str) -> None:
    """Write a text so that `path` always holds either the old text or the whole new one."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that `path` always holds either the old content or the whole new one."""
    partial = path.with_name(f".{path.name}.{randbits(64)}.partial")  # two threads may write it at once
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:  # e.g. a full disk: the rest would be taken for a foreign file
        remove(path.parent, partial.name)
        raise


def write_json(path: Path, value: object) -> None:
    """Write JSON so that `path` always holds either the old text or the whole new one."""
    write_text(path, as_written(value))


def as_written(value: object) -> str:
    """Return the text that is written for a JSON value."""
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object as JSON restores it, without secrets in addresses, with its own hash as the last key."""
    content = json.loads(json.dumps({key: item for key, item in redacted(value).items() if key != SEAL}))
    return {**content, SEAL: _seal_of(content)}


def _seal_of(value: Mapping[str, Any]) -> str:
    """Return the hash of an object as JSON restores it. Raises UnicodeEncodeError for a lone surrogate."""
    content = {key: item for key, item in value.items() if key not in (SEAL, RUN)}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def read_sealed(data: bytes, where: Path) -> dict[str, Any]:
    """Read a JSON object and check its own hash; an older one without a hash is accepted, with a note.

    Raises DamagedError.
    """
    if len(data) > LARGEST:
        raise DamagedError(f"{where}: {len(data):,} bytes is more than lrl writes.")
    try:
        value = json.loads(data)
        seal = _seal_of(value) if isinstance(value, dict) else ""
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, a lone surrogate, or nested too deep
        raise DamagedError(f"{where}: not JSON ({str(error)[:100]}).") from error
    if not isinstance(value, dict):
        raise DamagedError(f"{where}: not a JSON object.")
    if SEAL not in value:
        _note_unsealed(where)
    elif value[SEAL] != seal:
        raise DamagedError(f"{where}: changed after it was written: its hash does not match its content.")
    return value


def read_beside(folder: Path, name: str) -> dict[str, Any] | None:
    """Return a sealed JSON object in a folder; None if there is none. Raises DamagedError, PathError."""
    try:
        return read_sealed(read_consistently(folder, lambda held: held.read(name)), folder / name)
    except (FileNotFoundError, NotADirectoryError):
        return None


_POINTER = b"version https://git-lfs"
_NOTED: list[Path] = []


def _note_unsealed(path: Path) -> None:
    if not _NOTED:
        _NOTED.append(path)
        note(f"{path}, and perhaps others, has no hash of its own content, because an older version wrote it.")


def write_manifest(path: Path, kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Write and return the sealed manifest of an artifact of a kind."""
    manifest = sealed({"kind": kind, **value})
    SCHEMAS[kind].model_validate(manifest)
    write_json(path, manifest)
    return manifest


def read_manifest(folder: Path, kind: str) -> dict[str, Any] | None:
    """Return the manifest of an artifact of this kind; None if the folder is unfinished or damaged."""
    try:
        return load_manifest(folder, kind)
    except (FileNotFoundError, NotADirectoryError, DamagedError):
        return None


def kind_of(folder: Path) -> str | None:
    """Return the kind that a manifest states, whether or not it is damaged; None if there is no manifest."""
    try:
        with OpenFolder(folder) as held:
            kind = json.loads(held.read(MANIFEST)).get("kind")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, AttributeError, RecursionError) as error:
        raise DamagedError(f"{folder / MANIFEST}: not a JSON object.", "Build the folder again.") from error
    return kind if isinstance(kind, str) else None


def artifacts_below(folder: Path, *kinds: str) -> str:
    """Return the paths of up to three artifacts of these kinds below a folder, for the hint of an error."""
    artifacts = []
    for pattern in ("*", "*/*", "*/*/*"):  # not all of what may be a home folder
        for path in folder.glob(f"{pattern}/{MANIFEST}"):
            with suppress(OSError, StorageError):  # another program's file may have this name
                artifacts += [str(path.parent)] if kind_of(path.parent) in kinds else []
    return ", ".join(sorted(artifacts)[:3])


def load_manifest(folder: Path, kind: str) -> dict[str, Any]:
    """Return the manifest of an artifact of this kind. Raises DamagedError, FileNotFoundError if there is none."""
    return read_consistently(folder, lambda held: manifest_in(held, kind))


def manifest_in(held: OpenFolder, kind: str) -> dict[str, Any]:
    """Return the manifest in an open folder. Raises FileNotFoundError, DamagedError."""
    path = held.folder / MANIFEST
    value = read_sealed(held.read(MANIFEST), path)
    if value.get("kind") != kind:
        raise DamagedError(f"{path}: not a manifest of kind {kind!r}.")
    try:
        SCHEMAS[kind].model_validate(value)
    except ValidationError as error:
        fault = error.errors()[0]
        location = ".".join(map(str, fault["loc"]))
        message = fault["msg"].removeprefix("Value error, ")
        raise DamagedError(f"{path}: {f'{location}: ' if location else ''}{message}.") from error
    return value


def read_consistently(folder: Path, read: Callable[[OpenFolder], Read]) -> Read:
    """Open a folder and read from it with `read`; if another folder takes its place meanwhile, read that one instead.

    All that is read comes from one build. Raises FileNotFoundError if there is no folder, and whatever `read` raises.
    """
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE)
        try:
            opened = OpenFolder(folder)
        except FileNotFoundError:
            if is_exchanged(folder) or folder.exists():  # in this order, because an exchange may end in between
                continue
            raise
        with opened as held:
            try:
                return read(held)
            except (OSError, StorageError):
                if held.is_current:
                    raise
    raise StorageError(f"{folder}: it keeps being replaced.", "Try again when no build is running there.")


def identity(folder: Path, manifest: Mapping[str, Any]) -> str:
    """Return the hash by which other artifacts refer to this one: that of its manifest's content.

    For an older manifest, which has no such hash, it is the hash of the file.
    """
    return str(manifest[SEAL]) if SEAL in manifest else sha256_of(folder / MANIFEST)


def is_unchanged(folder: Path, kind: str, recipe: str, optional: Collection[str] = ()) -> bool:
    """Return whether a folder holds the undamaged output of a recipe (a hash); `optional` files may be missing."""
    manifest = read_manifest(folder, kind)
    return manifest is not None and manifest["recipe"] == recipe and not list(damaged(folder, manifest, optional))


def entries(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the files whose hash a manifest has: the outputs, and run.json."""
    yield from manifest["outputs"]
    if manifest.get(RUN):
        yield manifest[RUN]


def damaged(folder: Path, manifest: Mapping[str, Any], optional: Collection[str] = ()) -> Iterator[str]:
    """Yield the files that are missing, unless they are `optional`, or that differ from the manifest.

    Raises PathError for links.
    """
    try:
        with OpenFolder(folder) as held:
            yield from faults_in(held, manifest, optional)
    except (FileNotFoundError, NotADirectoryError):
        yield "the folder is missing"


def faults_in(held: OpenFolder, manifest: Mapping[str, Any], optional: Collection[str] = ()) -> Iterator[str]:
    """Yield what is wrong with the files of an open folder; those that are `optional` may be missing."""
    for entry in entries(manifest):
        is_absent = entry["path"] in optional and find(held.folder, entry["path"]) is None
        if not is_absent and (fault := fault_in(held, entry)):
            yield fault


def fault_in(held: OpenFolder, entry: Mapping[str, Any]) -> str:
    """Return what is wrong with a file of a folder, compared with its manifest entry; empty if nothing is."""
    try:
        with held.open(entry["path"]) as stream:
            return fault_of(stream, entry)
    except FileNotFoundError:
        return f"{entry['path']} is missing"


def fault_of(stream: BufferedReader, entry: Mapping[str, Any]) -> str:
    """Return what is wrong with an open file, compared with its manifest entry; empty if nothing is."""
    same = os.fstat(stream.fileno()).st_size == entry["bytes"]
    if same and hashlib.file_digest(stream, "sha256").hexdigest() == entry["sha256"]:
        stream.seek(0)
        return ""
    stream.seek(0)
    if stream.read(len(_POINTER)) == _POINTER:
        return f"{entry['path']} is a Git LFS pointer instead of the file; fetch it with `git lfs pull`"
    return f"{entry['path']} does not match the manifest"


@contextmanager
def reporting_invalid_content(path: Path) -> Iterator[None]:
    """Report the folder whose content is invalid, e.g. after manual edits. Raises StorageError."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, pl.exceptions.PolarsError) as error:
        raise StorageError(
            f"{path}: its content is invalid ({type(error).__name__}: {one_line(error, 200)}).",
            "Undo any edits to it. If there were none, this is a bug: run with --debug and report it.",
        ) from error
