"""SHA-256 of large input files, which are hashed once and not again while they stay the same. IO."""

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
        sha256 = sha256_of(path)
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        with wait_for_lock(cache_file.with_suffix(".lock"), f"{cache_file}: another process is writing it"):
            remove_unfinished(cache_file.parent)
            fingerprints = _read(cache_file) | {key: sha256}
            write_json(cache_file, sealed({"files": fingerprints}))
    return fingerprints[key]


def _read(cache_file: Path) -> dict[str, str]:
    try:
        fingerprints = (read_beside(cache_file.parent, cache_file.name) or {}).get("files", {})
    except DamagedError:
        return {}
    return fingerprints if isinstance(fingerprints, dict) else {}
