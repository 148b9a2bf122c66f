"""Atomic writes of files. IO.

A killed process leaves either the old file or the new one. Nothing is flushed to the device, because a power failure
would only cost a rehearsal.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

_RESERVE = 256 << 20  # bytes to keep free, as a full disk would affect other programs too


def spare(folder: Path) -> int:
    """Return how many more bytes may be written to the disk of a folder."""
    return max(shutil.disk_usage(folder).free - _RESERVE, 0)


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """Yield a stream whose bytes become the file at `path` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Each writer uses its own temporary name, as two uploads of the same content may overlap.
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".partial", delete=False) as new:
        partial = Path(new.name)
        try:
            yield new  # type: ignore[misc]
            new.flush()
            partial.chmod(0o644)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    with written(path) as stream:
        stream.write(data)


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON, atomically."""
    write_bytes(path, json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n")


def read_json(path: Path) -> Any:
    """Return the value in a JSON file, or None if the file does not exist."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
