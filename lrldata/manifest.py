"""Provenance: what an artifact was made from, with which settings and libraries, and what came out.

A folder without its manifest.json is an unfinished one. Nothing in a manifest depends on time or machine.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
INDEX, DATASET, ADAPTER, SCORES = "conceptnet-index", "dataset", "adapter", "scores"
KEYS = {  # what the manifest of each kind of artifact has at least
    INDEX: {"format", "source", "rejected", "edges", "languages", "relations", "bytes"},
    DATASET: {"version", "recipe", "language", "inputs", "ledger", "rows", "columns", "outputs", "history"},
    ADAPTER: {"recipe", "language", "method", "base", "inputs", "settings", "trained", "outputs"},
    SCORES: {"recipe", "task", "data", "base", "adapter", "settings", "outputs"},
}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_entry(path: Path, root: Path) -> dict[str, Any]:
    """Describe an output file: its path below `root`, size in bytes and SHA-256."""
    return {"path": path.relative_to(root).as_posix(), "bytes": path.stat().st_size, "sha256": sha256_of(path)}


def fingerprint(value: object) -> str:
    """Return the SHA-256 of a JSON-like value in its canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def made_with(*libraries: str) -> dict[str, str]:
    """Name the versions of the code and of the libraries that shape the bytes."""
    return {name: version(name) for name in ("lrl", *libraries)}


def write_text(path: Path, text: str) -> None:
    """Write a text so that `path` holds either the old or the whole new one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")  # two may write it at once
    with partial.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def write_json(path: Path, value: object) -> None:
    """Write JSON so that `path` holds either the old or the whole new text."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_manifest(folder: Path, kind: str) -> dict[str, Any] | None:
    """Return the manifest of an artifact of this kind, or None where the folder holds no finished one."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: no JSON, or no UTF-8
        return None
    if not isinstance(manifest, dict) or manifest.get("kind") != kind or not KEYS[kind] <= manifest.keys():
        return None
    return manifest


def is_unchanged(folder: Path, kind: str, recipe: str) -> bool:
    """Return whether the folder holds, unharmed, what this recipe (a fingerprint) makes."""
    manifest = read_manifest(folder, kind)
    return manifest is not None and manifest["recipe"] == recipe and not list(damaged(folder, manifest))


def damaged(folder: Path, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield the outputs that are missing or have other bytes than the manifest says."""
    for entry in manifest["outputs"]:
        path = folder / entry["path"]
        if not path.is_file():
            yield f"{entry['path']} is missing"
        elif path.stat().st_size != entry["bytes"] or sha256_of(path) != entry["sha256"]:
            yield f"{entry['path']} has other bytes than the manifest says"
