"""Provenance: what an artifact was made from, with which settings and libraries, and what came out.

A folder without its manifest.json is an unfinished one. Nothing in a manifest depends on time or machine.
"""

import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"


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


def made_with() -> dict[str, str]:
    """Name the versions of the code and of the libraries that shape the bytes."""
    return {name: version(name) for name in ("lrl", "polars", "xxhash")}


def write_json(path: Path, value: object) -> None:
    """Write JSON so that `path` holds either the old or the whole new text."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="\n") as stream:
        json.dump(value, stream, ensure_ascii=False, indent=2)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a folder, or None where the folder is unfinished or no artifact."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return manifest if isinstance(manifest, dict) else None
