"""The index: all edges of a dump in one Parquet file, made once and shared by every later build.

It keeps the dump's own order, which is by relation and start language, so that row-group statistics prune.
It is named after the content of the dump, made under a lock and renamed into place when whole.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lrldata.conceptnet.read import (
    count_database,
    is_gzip,
    parse_head,
    parse_tail,
    scan_database,
    scan_dump,
    sift,
    sniff,
    understand,
)
from lrldata.conceptnet.relations import EXTERNAL_URL
from lrldata.errors import InputError, is_full, one_line
from lrldata.folder import remove_unfinished
from lrldata.locks import waited
from lrldata.manifest import (
    INDEX,
    MANIFEST,
    DamagedError,
    is_cached,
    load_manifest,
    read_beside,
    sealed,
    sha256_of,
    write_json,
    write_manifest,
    xxh3_of,
)
from lrldata.output import note
from lrldata.paths import find, remove_tree
from lrldata.progress import Progress

FORMAT = 1  # part of the folder's name: another format is another index
EDGES = "edges.parquet"
ROW_GROUP = 50_000  # larger groups cost memory: every column of one is held while it is written
SQLITE_MAGIC = b"SQLite format 3\0"


@dataclass(frozen=True)
class Index:
    """A finished index and what its manifest says: the source's name, size and hash, edges, rejects, counts."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def edges(self) -> Path:
        """Return the path of the Parquet file."""
        return self.folder / EDGES

    @property
    def source(self) -> dict[str, Any]:
        """Return name, size and hash of what the index was made from, and the number of rejected lines."""
        return {**self.manifest["source"], "rejected_lines": self.manifest["rejected"]}

    def edges_of(self, language: str) -> int:
        """Return how many edges have an end in the language (ConceptNet's code)."""
        return int(self.manifest["languages"].get(language, 0))


def open_index(folder: Path) -> Index:
    """Open an index made before. Raises InputError when the folder holds none that is whole."""
    index = find_made(folder)
    if index is None:
        raise InputError(f"{folder}: no finished index in this folder.", "Make one with `lrldata index --dump FILE`.")
    return index


def find_made(folder: Path) -> Index | None:
    """Return the index in a folder, or None where there is none that is whole and of this format."""
    try:
        manifest = load_manifest(folder, INDEX)
        edges = find(folder, EDGES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except DamagedError as error:
        note(f"note: {error.message} The index is made again where its dump is at hand.")
        return None
    if manifest["format"] != FORMAT or edges is None:
        return None
    digest = manifest.get("xxh3")  # older ones have none
    if edges.stat().st_size != manifest["bytes"] or (digest and not is_cached(edges, digest)):
        note(f"note: {edges}: has other bytes than were written. The index is made again where its dump is at hand.")
        return None
    return Index(folder, manifest)


def index_folder(cache: Path, sha256: str) -> Path:
    """Return where the index of a dump with this hash lives."""
    return cache / "conceptnet" / "index" / f"{sha256[:16]}-v{FORMAT}"


def fingerprint_file(path: Path, cache: Path) -> str:
    """Return the SHA-256 of a file; remembered in the cache as long as size, times and inode stay."""
    memory = cache / "conceptnet" / "fingerprints.json"
    status = path.stat()
    key = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}|{status.st_ctime_ns}|{status.st_ino}"
    known = _read_memory(memory)
    if key not in known:
        sha256 = sha256_of(path)
        memory.parent.mkdir(parents=True, exist_ok=True)
        with waited(memory.with_suffix(".lock"), f"{memory}: another process is writing it"):
            remove_unfinished(memory.parent)
            known = _read_memory(memory) | {key: sha256}
            write_json(memory, sealed({"files": known}))
    return known[key]


def _read_memory(memory: Path) -> dict[str, str]:
    try:
        known = (read_beside(memory.parent, memory.name) or {}).get("files", {})
    except DamagedError:
        return {}
    return known if isinstance(known, dict) else {}


def make_index(path: Path, cache: Path, *, max_rejected: float = 0.001, progress: Progress | None = None) -> Index:
    """Return the index of a dump or of a conceptnet-lite database, making it in one pass where there is none.

    Bad lines are listed in a rejects file beside the index; more than the share `max_rejected` of them is an error.
    Raises InputError for input that is damaged or is not ConceptNet's.
    """
    progress = progress or Progress(quiet=True)
    if not path.is_file():
        fault = "not a regular file" if path.exists() else "no such file"
        raise InputError(f"{path}: {fault}.", "Give the dump with --dump FILE, or try --sample.")
    with progress.waiting(f"Fingerprint of {path.name}"):
        sha256 = fingerprint_file(path, cache)
    folder = index_folder(cache, sha256)
    rejects = folder.with_suffix(".rejects.tsv")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with waited(folder.with_suffix(".lock"), f"{folder}: another process is making the index"):
        index = find_made(folder)  # perhaps by another build, while this one waited
        if index is None:
            partial = folder.with_suffix(".partial")
            remove_tree(partial)
            remove_tree(folder)
            partial.mkdir()
            rejected = _write_edges(path, partial, rejects, max_rejected, progress)
            source = {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256}
            manifest = {"format": FORMAT, "source": source, "rejected": rejected, **_survey(partial / EDGES)}
            written = {"bytes": (partial / EDGES).stat().st_size, "xxh3": xxh3_of(partial / EDGES)}
            write_manifest(partial / MANIFEST, INDEX, manifest | written)
            partial.rename(folder)
            return open_index(folder)
    # It may have been made with a more lenient limit.
    _check_rejected(path, index.manifest["edges"], index.manifest["rejected"], max_rejected, rejects)
    return index


def _check_rejected(path: Path, good: int, bad: int, max_rejected: float, rejects: Path) -> None:
    if bad > max_rejected * (good + bad) or not good:
        raise InputError(
            f"{path}: {bad:,} of {good + bad:,} lines are bad ({bad / (good + bad or 1):.2%}, "
            f"limit {max_rejected:.2%}); the first is {_first_reject(rejects)}.",
            f"All are in {rejects}. Fix the file, or raise --max-rejected." if good else "Is this ConceptNet's dump?",
        )


def _write_edges(path: Path, partial: Path, rejects: Path, max_rejected: float, progress: Progress) -> int:
    """Write edges.parquet, by the fast way where it can and else by the careful one; return the rejected lines."""
    with path.open("rb") as stream:
        is_database = stream.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
    if not is_database:
        sniff(path)
    raw = scan_database(path) if is_database else scan_dump(path)
    try:
        with _gzip_faults(path):
            write_index(raw, partial / EDGES, progress, about=_guess_edges(path, is_database=is_database))
        faults = _faults(partial / EDGES)
    except (pl.exceptions.ComputeError, pl.exceptions.SchemaError) as error:
        if is_full(error):
            raise
        faults = one_line(error, 200)
    except sqlite3.Error as error:
        raise InputError(f"{path}: the database cannot be read ({error}).", "Build it again, or use --dump.") from error
    if is_database and not faults:
        read = pl.scan_parquet(partial / EDGES, glob=False).select(pl.len()).collect().item()
        faults = f"{lost:,} without their ends" if (lost := count_database(path) - read) else ""
    if not faults:
        rejects.unlink(missing_ok=True)
        return 0
    if is_database:
        raise InputError(f"{path}: edges that cannot be understood ({faults}).", "Build the database again.")
    clean = partial / "clean.csv.gz"
    with progress.waiting(f"{faults}: reading line by line"), _gzip_faults(path):
        good, bad = sift(path, clean, rejects)
    _check_rejected(path, good, bad, max_rejected, rejects)
    write_index(scan_dump(clean), partial / EDGES, progress, about=good)
    if faults := _faults(partial / EDGES):
        raise AssertionError(f"what the careful way writes must be understood: {faults}")
    clean.unlink()
    return bad


def write_index(raw: pl.LazyFrame, out: Path, progress: Progress, *, about: int = 0, origin: bool = True) -> None:
    """Stream raw edges, `about` so many, into one Parquet file, in their order. Memory does not grow with them."""
    with progress.rows("Indexing edges", about) as count:
        # LZ4 is a third larger than Zstandard here, and every later build reads it a third faster.
        understand(count(raw), origin=origin).sink_parquet(
            out, compression="lz4", row_group_size=ROW_GROUP, engine="streaming"
        )


def _guess_edges(path: Path, *, is_database: bool) -> int:
    """Guess the number of edges from the size of the file, by that of ConceptNet 5.7 in the same form."""
    return path.stat().st_size // (15 if is_gzip(path) else 270 if is_database else 290)


@contextmanager
def _gzip_faults(path: Path) -> Iterator[None]:
    """Say of a damaged gzip stream that it is one; pass on every other error."""
    try:
        yield
    except EOFError as error:
        raise _damaged(path, "it ends too early") from error
    except OSError as error:
        if error.errno is not None:  # the disk's fault, not the file's
            raise
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> InputError:
    return InputError(
        f"{path}: damaged gzip file after {path.stat().st_size:,} bytes on disk ({why}).",
        "Delete it and download it again; `gzip -t` tests a file.",
    )


def _faults(edges: Path) -> str:
    """Return what the fast way could not understand, in a few words; empty when it understood everything."""
    null_end = pl.col("end_lang").is_null() & (pl.col("relation") != EXTERNAL_URL)
    bad = pl.any_horizontal(pl.col("relation", "start_lang", "tail", "head").is_null(), null_end)
    found = (
        pl.scan_parquet(edges, glob=False)
        .group_by("relation", "head", "tail")
        .agg(bad=bad.sum())
        .collect(engine="streaming")
    )
    nulls = int(found["bad"].sum())
    if nulls:
        return f"{nulls:,} unusual lines"
    odd = [name for name in found["relation"].unique() if not name.startswith("/r/") or name == "/r/"]
    odd += [text for text in found["head"].unique() if parse_head(text) is None]
    odd += [text for text in found["tail"].unique() if parse_tail(text) is None]
    return f"unusual field {odd[0]!r}" if odd else ""


def _survey(edges: Path) -> dict[str, Any]:
    """Count edges: in all, those that touch each language, and by relation."""
    scan = pl.scan_parquet(edges, glob=False)
    pairs = scan.group_by("start_lang", "end_lang").len().collect(engine="streaming")
    ends = pairs.filter(pl.col("end_lang").is_not_null() & (pl.col("end_lang") != pl.col("start_lang")))
    touching = pl.concat(
        [pairs.select("start_lang", "len"), ends.select(pl.col("end_lang").alias("start_lang"), "len")]
    )
    languages = touching.group_by("start_lang").agg(pl.col("len").sum()).sort("start_lang")
    relations = scan.group_by("relation").len().sort("relation").collect(engine="streaming")
    return {
        "edges": int(pairs["len"].sum()),
        "languages": dict(languages.iter_rows()),
        "relations": dict(relations.iter_rows()),
    }


def _first_reject(rejects: Path) -> str:
    try:
        number, reason, _ = rejects.read_text("utf-8").splitlines()[1].split("\t", 2)
    except (FileNotFoundError, IndexError):
        return "unknown"
    return f"line {number}: {reason}"
