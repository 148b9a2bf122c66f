"""Files that are written whole or not at all. IO.

A killed process leaves the old file or the new one. Nothing is flushed to the device: what a power cut may cost
is a rehearsal.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

_RESERVE = 256 << 20  # bytes that stay free: a full disk stops more than this server


def spare(folder: Path) -> int:
    """Return how many bytes may still be written to the disk of a folder."""
    return max(shutil.disk_usage(folder).free - _RESERVE, 0)


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """Yield a stream whose bytes become the file at `path` if the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # One name a writer: two uploads of the same content may overlap.
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
    """Write a file whole."""
    with written(path) as stream:
        stream.write(data)


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON, whole."""
    write_bytes(path, json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n")


def read_json(path: Path) -> Any:
    """Return the value of a JSON file, or None where there is no such file."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
