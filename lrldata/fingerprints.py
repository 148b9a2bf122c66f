"""SHA-256 of large input files, which are hashed once and not again while they stay the same. IO."""

from contextlib import suppress
from pathlib import Path

from lrldata.folder import remove_unfinished
from lrldata.locks import wait_for_lock
from lrldata.manifest import DamagedError, read_beside, sealed, sha256_of, write_json


def fingerprint_file(path: Path, cache: Path) -> str:
    """Return the SHA-256 of a file. It is cached until the file's size, times or inode change."""
    cache_file = cache / "fingerprints" / "sha256.json"
    status = path.stat()
    key = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}|{status.st_ctime_ns}|{status.st_ino}"
    fingerprints = _read(cache_file)
    if key not in fingerprints:
        fingerprints = {key: sha256_of(path)}
        with suppress(OSError):  # a cache that cannot be written is no fault of the file
            cache_file.parent.mkdir(parents=True, exist_ok=True)
            with wait_for_lock(cache_file.with_suffix(".lock"), f"{cache_file}: another process is writing it"):
                remove_unfinished(cache_file.parent)
                write_json(cache_file, sealed({"files": _read(cache_file) | fingerprints}))
    return fingerprints[key]


def _read(cache_file: Path) -> dict[str, str]:
    try:
        fingerprints = (read_beside(cache_file.parent, cache_file.name) or {}).get("files", {})
    except DamagedError:
        return {}
    return fingerprints if isinstance(fingerprints, dict) else {}
