"""The index: all edges of a dump in one Parquet file, made once and shared by all later builds.

It keeps the order of the dump, by relation and start language, so that queries can skip row groups by their statistics.
It is named after the hash of the dump, written under a lock, and renamed into place once it is complete.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lrldata.cached import is_cached, xxh3_of
from lrldata.conceptnet.read import (
    count_database,
    is_gzip,
    parse_columns,
    parse_head,
    parse_tail,
    scan_database,
    scan_dump,
    separate_bad_lines,
    sniff,
)
from lrldata.conceptnet.relations import EXTERNAL_URL
from lrldata.errors import InputError, is_full, one_line
from lrldata.fingerprints import fingerprint_file
from lrldata.locks import wait_for_lock
from lrldata.manifest import (
    INDEX,
    MANIFEST,
    DamagedError,
    load_manifest,
    write_manifest,
)
from lrldata.output import note
from lrldata.paths import find, remove_tree
from lrldata.progress import Progress

FORMAT = 1  # part of the folder's name, so that an index in another format is not used
EDGES = "edges.parquet"
ROW_GROUP = 50_000  # larger groups need more memory: all columns of a group are held while it is written
SQLITE_MAGIC = b"SQLite format 3\0"


@dataclass(frozen=True)
class Index:
    """A finished index with its manifest: the source's name, size and hash, and the counts of edges and rejects."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def edges(self) -> Path:
        """Return the path of the Parquet file."""
        return self.folder / EDGES

    @property
    def source(self) -> dict[str, Any]:
        """Return the name, size and hash of the indexed dump, and the number of its rejected lines."""
        return {**self.manifest["source"], "rejected_lines": self.manifest["rejected"]}

    def edges_of(self, language: str) -> int:
        """Return the number of edges with an end in the language (ConceptNet's code)."""
        return int(self.manifest["languages"].get(language, 0))


def open_index(folder: Path) -> Index:
    """Open an existing index. Raises InputError if the folder has no complete index."""
    index = existing_index(folder)
    if index is None:
        raise InputError(f"{folder}: no finished index in this folder.", "Make one with `lrldata index --dump FILE`.")
    return index


def existing_index(folder: Path) -> Index | None:
    """Return the index in a folder, or None if there is no complete one in this format."""
    try:
        manifest = load_manifest(folder, INDEX)
        edges = find(folder, EDGES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except DamagedError as error:
        note(f"{error.message} The index will be made again if its dump is available.")
        return None
    if manifest["format"] != FORMAT or edges is None:
        return None
    digest = manifest.get("xxh3")  # older indexes have none
    if edges.stat().st_size != manifest["bytes"] or (digest and not is_cached(edges, digest)):
        note(f"{edges}: does not match the manifest. The index will be made again if its dump is available.")
        return None
    return Index(folder, manifest)


def index_folder(cache: Path, sha256: str) -> Path:
    """Return the folder of the index of a dump with this hash."""
    return cache / "conceptnet" / "index" / f"{sha256[:16]}-v{FORMAT}"


def make_index(path: Path, cache: Path, *, max_rejected: float = 0.001, progress: Progress | None = None) -> Index:
    """Return the index of a dump or a conceptnet-lite database. If there is none, make it in one pass.

    Bad lines are listed in a rejects file next to the index; more than the share `max_rejected` of them is an error.
    Raises InputError if the input is damaged or not from ConceptNet.
    """
    progress = progress or Progress(quiet=True)
    if not path.is_file():
        fault = "not a regular file" if path.exists() else "no such file"
        raise InputError(f"{path}: {fault}.", "Give the dump with --dump FILE, or try --sample.")
    with progress.waiting(f"Hashing {path.name}"):
        sha256 = fingerprint_file(path, cache)
    folder = index_folder(cache, sha256)
    rejects = folder.with_suffix(".rejects.tsv")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with wait_for_lock(folder.with_suffix(".lock"), f"{folder}: another process is making the index"):
        index = existing_index(folder)  # another build may have made it while this one waited
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
    # The index may have been made with a higher limit.
    _check_rejected(path, index.manifest["edges"], index.manifest["rejected"], max_rejected, rejects)
    return index


def _check_rejected(path: Path, good: int, bad: int, max_rejected: float, rejects: Path) -> None:
    if bad > max_rejected * (good + bad) or not good:
        raise InputError(
            f"{path}: {bad:,} of {good + bad:,} lines are bad ({bad / (good + bad or 1):.2%}, "
            f"limit {max_rejected:.2%}); the first is {_first_reject(rejects)}.",
            f"All of them are in {rejects}. Fix the file, or raise --max-rejected."
            if good
            else "Is this a ConceptNet dump?",
        )


def _write_edges(path: Path, partial: Path, rejects: Path, max_rejected: float, progress: Progress) -> int:
    """Write edges.parquet, in one pass if possible and line by line otherwise; return the number of rejected lines."""
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
        edges_read = pl.scan_parquet(partial / EDGES, glob=False).select(pl.len()).collect().item()
        faults = f"{lost:,} edges without both ends" if (lost := count_database(path) - edges_read) else ""
    if not faults:
        rejects.unlink(missing_ok=True)
        return 0
    if is_database:
        raise InputError(f"{path}: has unreadable edges ({faults}).", "Build the database again.")
    clean = partial / "clean.csv.gz"
    with progress.waiting(f"{faults}: reading line by line"), _gzip_faults(path):
        good, bad = separate_bad_lines(path, clean, rejects)
    _check_rejected(path, good, bad, max_rejected, rejects)
    write_index(scan_dump(clean), partial / EDGES, progress, about=good)
    if faults := _faults(partial / EDGES):
        raise AssertionError(f"the line-by-line reader wrote lines that cannot be read: {faults}")
    clean.unlink()
    return bad


def write_index(raw: pl.LazyFrame, out: Path, progress: Progress, *, about: int = 0, origin: bool = True) -> None:
    """Stream raw edges, `about` of them, into one Parquet file in order. Memory use does not grow with them."""
    with progress.rows("Indexing edges", about) as count:
        # LZ4 files are a third larger than Zstandard here, but every later build reads them a third faster.
        parse_columns(count(raw), origin=origin).sink_parquet(
            out, compression="lz4", row_group_size=ROW_GROUP, engine="streaming"
        )


def _guess_edges(path: Path, *, is_database: bool) -> int:
    """Estimate the number of edges from the size of the file and the bytes per edge in ConceptNet 5.7."""
    return path.stat().st_size // (15 if is_gzip(path) else 270 if is_database else 290)


@contextmanager
def _gzip_faults(path: Path) -> Iterator[None]:
    """Raise InputError for a damaged gzip stream; pass on all other errors."""
    try:
        yield
    except EOFError as error:
        raise _damaged(path, "it ends too early") from error
    except OSError as error:
        if error.errno is not None or "(os error " in str(error):  # an error of the disk, not of the file
            raise
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> InputError:
    return InputError(
        f"{path}: damaged gzip file of {path.stat().st_size:,} bytes ({why}).",
        "Delete it and download it again. `gzip -t FILE` tests a file.",
    )


def _faults(edges: Path) -> str:
    """Describe briefly what the fast way could not read; return an empty string if it read everything."""
    null_end = pl.col("end_lang").is_null() & (pl.col("relation") != EXTERNAL_URL)
    bad = pl.any_horizontal(pl.col("relation", "start_lang", "tail", "head").is_null(), null_end)
    fields = (
        pl.scan_parquet(edges, glob=False)
        .group_by("relation", "head", "tail")
        .agg(bad=bad.sum())
        .collect(engine="streaming")
    )
    nulls = int(fields["bad"].sum())
    if nulls:
        return f"{nulls:,} unusual lines"
    unreadable = [name for name in fields["relation"].unique() if not name.startswith("/r/") or name == "/r/"]
    unreadable += [text for text in fields["head"].unique() if parse_head(text) is None]
    unreadable += [text for text in fields["tail"].unique() if parse_tail(text) is None]
    return f"unusual field {unreadable[0]!r}" if unreadable else ""


def _survey(edges: Path) -> dict[str, Any]:
    """Count the edges in total, by the languages that they touch, and by relation."""
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
