"""Provenance: what an artifact was made from, with which settings and libraries, and what came out. IO.

A folder without its manifest.json is an unfinished one. A manifest has a hash of its own content (`sha256`), and so do
other files of JSON that nothing else vouches for. Nothing in a manifest depends on time or machine, but for the hash
of run.json (`run`), which is no part of the manifest's own.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from io import BufferedReader
from pathlib import Path
from secrets import randbits
from typing import Any, TypeVar

import polars as pl
from pydantic import ValidationError
from xxhash import xxh3_128

from lrldata import __version__
from lrldata.errors import StorageError, one_line
from lrldata.folder import is_exchanged
from lrldata.manifest_schema import ADAPTER, DATASET, INDEX, SCHEMAS, SCORES
from lrldata.output import note, redacted
from lrldata.paths import Held, find, remove, state_of

__all__ = ["ADAPTER", "DATASET", "INDEX", "MANIFEST", "SCORES"]

MANIFEST, SEAL, RUN = "manifest.json", "sha256", "run"
LARGEST = 64_000_000  # bytes of JSON that are read
BLOCK = 1 << 22  # bytes that are hashed at once
TRIES, PAUSE = 100, 0.02  # for a folder that is exchanged just now, and seconds between
Read = TypeVar("Read")


class DamagedError(StorageError):
    """An artifact, or another file of lrl's own, that does not hold what it should."""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_in_run(path: Path) -> str:
    """Return the SHA-256 of a large file, which is read once in a process, while its size and time stay."""
    return _sha256_in_run(*state_of(path))


@cache
def _sha256_in_run(path: Path, *_state: object) -> str:
    return sha256_of(path)


def file_entry(path: Path, root: Path) -> dict[str, Any]:
    """Describe an output file: its path below `root`, size in bytes and SHA-256."""
    return {"path": path.relative_to(root).as_posix(), "bytes": path.stat().st_size, "sha256": sha256_of(path)}


def fingerprint(value: object) -> str:
    """Return the SHA-256 of a JSON-like value in its canonical form. Names of files may be no UTF-8."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def made_with(*libraries: str) -> dict[str, str]:
    """Name the versions of the code and of the libraries that shape the bytes."""
    return {name: _version(name) for name in ("lrl", *libraries)}


@cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        if name != "lrl":
            raise
        return __version__  # run from its source, without being installed


def write_text(path: Path, text: str) -> None:
    """Write a text so that `path` holds either the old or the whole new one."""
    partial = path.with_name(f".{path.name}.{randbits(64)}.partial")  # two may write it at once, as two threads
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:  # the disk may be full: what is left would be taken for somebody else's file
        remove(path.parent, partial.name)
        raise


def write_json(path: Path, value: object) -> None:
    """Write JSON so that `path` holds either the old or the whole new text."""
    write_text(path, as_written(value))


def as_written(value: object) -> str:
    """Return JSON as it is written."""
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object as JSON gives it back, addresses in it without secrets, with its own hash as the last key."""
    content = json.loads(json.dumps({key: each for key, each in redacted(value).items() if key != SEAL}))
    return {**content, SEAL: _seal_of(content)}


def _seal_of(value: Mapping[str, Any]) -> str:
    """Return the hash of an object as JSON gives it back. Raises UnicodeEncodeError for half a letter."""
    content = {key: each for key, each in value.items() if key not in (SEAL, RUN)}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def read_sealed(data: bytes, where: Path) -> dict[str, Any]:
    """Read a JSON object and check it against its own hash; one of before there were such hashes is taken, with a note.

    Raises DamagedError.
    """
    if len(data) > LARGEST:
        raise DamagedError(f"{where}: {len(data):,} bytes are more than lrl writes.")
    try:
        value = json.loads(data)
        seal = _seal_of(value) if isinstance(value, dict) else ""
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, half a letter, or too deep
        raise DamagedError(f"{where}: not JSON ({str(error)[:100]}).") from error
    if not isinstance(value, dict):
        raise DamagedError(f"{where}: not a JSON object.")
    if SEAL not in value:
        _note_unsealed(where)
    elif value[SEAL] != seal:
        raise DamagedError(f"{where}: was changed after it was written: its hash is not that of its content.")
    return value


def read_beside(folder: Path, name: str) -> dict[str, Any] | None:
    """Return a sealed JSON object of a folder; None where there is none. Raises DamagedError, PathError."""
    try:
        return read_sealed(from_held(folder, lambda held: held.read(name)), folder / name)
    except (FileNotFoundError, NotADirectoryError):
        return None


_POINTER = b"version https://git-lfs"
_NOTED: list[Path] = []


def _note_unsealed(where: Path) -> None:
    if not _NOTED:
        _NOTED.append(where)
        note(f"note: {where}, and perhaps others, has no hash of its own content: an older version wrote it.")


def write_manifest(path: Path, kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Write and return the manifest of an artifact of a kind, sealed."""
    manifest = sealed({"kind": kind, **value})
    SCHEMAS[kind].model_validate(manifest)
    write_json(path, manifest)
    return manifest


def read_manifest(folder: Path, kind: str) -> dict[str, Any] | None:
    """Return the manifest of an artifact of this kind, or None where the folder holds no finished one, or a damaged."""
    try:
        return load_manifest(folder, kind)
    except (FileNotFoundError, NotADirectoryError, DamagedError):
        return None


def kind_of(folder: Path) -> str | None:
    """Return the kind that a manifest says it is of, be it whole or damaged; None where there is none."""
    try:
        with Held(folder) as held:
            found = json.loads(held.read(MANIFEST)).get("kind")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, AttributeError, RecursionError) as error:
        raise DamagedError(f"{folder / MANIFEST}: not a JSON object.", "Make the folder again.") from error
    return found if isinstance(found, str) else None


def load_manifest(folder: Path, kind: str) -> dict[str, Any]:
    """Return the manifest of an artifact of this kind. Raises FileNotFoundError where there is none, DamagedError."""
    return from_held(folder, lambda held: manifest_in(held, kind))


def manifest_in(held: Held, kind: str) -> dict[str, Any]:
    """Return the manifest in a folder that is held. Raises FileNotFoundError, DamagedError."""
    where = held.folder / MANIFEST
    value = read_sealed(held.read(MANIFEST), where)
    if value.get("kind") != kind:
        raise DamagedError(f"{where}: not a manifest of the kind {kind!r}.")
    try:
        SCHEMAS[kind].model_validate(value)
    except ValidationError as error:
        fault = error.errors()[0]
        at = ".".join(map(str, fault["loc"]))
        told = fault["msg"].removeprefix("Value error, ")
        raise DamagedError(f"{where}: {f'{at}: ' if at else ''}{told}.") from error
    return value


def from_held(folder: Path, read: Callable[[Held], Read]) -> Read:
    """Read from a folder that is held open; where another takes its place meanwhile, read that instead.

    So what is read is of one build. Raises FileNotFoundError where there is no folder, and what `read` does.
    """
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE)
        try:
            opened = Held(folder)
        except FileNotFoundError:
            if is_exchanged(folder) or folder.exists():  # in this order
                continue
            raise
        with opened as held:
            try:
                return read(held)
            except (OSError, StorageError):
                if held.is_current:
                    raise
    raise StorageError(f"{folder}: is replaced again and again.", "Try again when nothing is built there.")


def identity(folder: Path, manifest: Mapping[str, Any]) -> str:
    """Return the hash by which other artifacts name this one: that of its manifest's content.

    Of an older manifest, which has none, it is the hash of the file.
    """
    return str(manifest[SEAL]) if SEAL in manifest else sha256_of(folder / MANIFEST)


def is_unchanged(folder: Path, kind: str, recipe: str, spared: Collection[str] = ()) -> bool:
    """Return whether the folder holds what a recipe (its hash) makes, undamaged; files that are `spared` may lack."""
    manifest = read_manifest(folder, kind)
    return manifest is not None and manifest["recipe"] == recipe and not list(damaged(folder, manifest, spared))


def entries(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the files for which a manifest has a hash: outputs, and run.json."""
    yield from manifest["outputs"]
    if manifest.get(RUN):
        yield manifest[RUN]


def damaged(folder: Path, manifest: Mapping[str, Any], spared: Collection[str] = ()) -> Iterator[str]:
    """Yield the files that are missing, but for those that are `spared`, or have other bytes than the manifest says.

    Raises PathError for links.
    """
    try:
        with Held(folder) as held:
            for entry in entries(manifest):
                left_out = entry["path"] in spared and find(folder, entry["path"]) is None
                if not left_out and (fault := fault_in(held, entry)):
                    yield fault
    except (FileNotFoundError, NotADirectoryError):
        yield "the folder is missing"


def fault_in(held: Held, entry: Mapping[str, Any]) -> str:
    """Return what is wrong with a file of a folder, by what a manifest says of it; empty where nothing is."""
    try:
        with held.open(entry["path"]) as stream:
            return fault_of(stream, entry)
    except FileNotFoundError:
        return f"{entry['path']} is missing"


def fault_of(stream: BufferedReader, entry: Mapping[str, Any]) -> str:
    """Return what is wrong with an open file, by what a manifest says of it; empty where nothing is."""
    same = os.fstat(stream.fileno()).st_size == entry["bytes"]
    if same and hashlib.file_digest(stream, "sha256").hexdigest() == entry["sha256"]:
        stream.seek(0)
        return ""
    stream.seek(0)
    if stream.read(len(_POINTER)) == _POINTER:
        return f"{entry['path']} is a pointer of Git LFS, not the file, which `git lfs pull` gets"
    return f"{entry['path']} has other bytes than the manifest says"


def xxh3_of(path: Path) -> str:
    """Return the XXH3 (128 bits) of a file, in hexadecimal: quick to compute, to find damage in caches."""
    digest = xxh3_128()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def is_cached(file: Path, digest: str) -> bool:
    """Return whether a file of a cache still has its XXH3. It is read once in a run, while its size and time stay."""
    return _xxh3_in_run(*state_of(file)) == digest


@cache
def _xxh3_in_run(file: Path, *_state: object) -> str:
    return xxh3_of(file)


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Say of which folder something cannot be understood, as after it was edited by hand. Raises StorageError."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, pl.exceptions.PolarsError) as error:
        raise StorageError(
            f"{path}: something in it cannot be understood ({type(error).__name__}: {one_line(error, 200)}).",
            "Undo what was edited in it. If nothing was, this is a bug: run with --debug and report it.",
        ) from error
