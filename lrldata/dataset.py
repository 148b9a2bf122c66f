"""Dataset folders: Parquet shards named as on the Hub, a card, and the manifest, which is written last. IO."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any
from weakref import finalize

import polars as pl

from lrldata.errors import StorageError
from lrldata.folder import replaced
from lrldata.manifest import (
    DATASET,
    MANIFEST,
    DamagedError,
    artifacts_below,
    entries,
    fault_of,
    file_entry,
    fingerprint,
    manifest_in,
    read_consistently,
    read_manifest,
    write_manifest,
)
from lrldata.paths import OpenFolder
from lrldata.split import SPLITS

CARD, SAMPLES = "README.md", "samples.json"  # kept and dropped rows for the report; not published
ROWS_PER_SHARD = 1_000_000
ROWS_PER_GROUP = 100_000  # fixed, so that the bytes do not depend on the number of threads
FIRST_VERSION = "1.0.0"
VERDICTS = "verdicts"  # speakers' verdicts, and the lines that they were asked about; not published
_SHARD = re.compile(r"data/([a-z]+)-\d+-of-\d+\.parquet")
_VERDICT = re.compile(rf"{VERDICTS}/[^/]+\.jsonl?")


def write_dataset(
    folder: Path,
    splits: Mapping[str, pl.DataFrame | Iterable[pl.DataFrame]],
    card: Callable[[Mapping[str, Any]], str],
    provenance: Mapping[str, Any],
    samples: str | None = None,
) -> dict[str, Any]:
    """Write a dataset folder and return its manifest; call it under `lock(folder)`. A failure leaves the old folder.

    A split is a frame, or an iterable of its shards, of which only one is in memory at a time. `card` makes README.md
    from the manifest so far; `samples` is the text of samples.json. The version stays the same if the bytes of the data
    do. Otherwise its minor number goes up, or its major number if the columns have changed.
    """
    previous = read_manifest(folder, DATASET)
    with replaced(folder, _is_own, "the dataset", keeps=VERDICTS) as new:
        new.joinpath("data").mkdir()
        columns: dict[str, str] = {}
        rows, num_bytes = dict.fromkeys(splits, 0), dict.fromkeys(splits, 0)
        for split, frames in splits.items():
            paths: list[Path] = []
            for shard in frames.iter_slices(ROWS_PER_SHARD) if isinstance(frames, pl.DataFrame) else frames:
                columns = {name: str(dtype) for name, dtype in shard.schema.items()}
                rows[split], num_bytes[split] = rows[split] + len(shard), num_bytes[split] + arrow_bytes(shard)
                if len(shard):
                    paths.append(_write_shard(shard, new / "data" / f"{split}-{len(paths):05d}"))
            for position, path in enumerate(paths):  # the Hub's naming scheme
                path.rename(path.with_name(f"{split}-{position:05d}-of-{len(paths):05d}.parquet"))
        shards = [file_entry(path, new) for path in sorted(new.joinpath("data").iterdir())]
        content = {"columns": columns, "shards": [[entry["path"], entry["sha256"]] for entry in shards]}
        version, history = _next_version(previous, fingerprint(content), columns)
        manifest: dict[str, Any] = {
            "version": version,
            **provenance,
            "rows": rows,
            "num_bytes": num_bytes,
            "columns": columns,
            "outputs": shards,
            "history": history,
        }
        new.joinpath(CARD).write_text(card(manifest), encoding="utf-8", newline="\n")
        if samples is not None:
            new.joinpath(SAMPLES).write_text(samples, encoding="utf-8", newline="\n")
        extra_files = [name for name in (CARD, SAMPLES) if new.joinpath(name).is_file()]
        manifest["outputs"] = [*shards, *(file_entry(new / name, new) for name in extra_files)]
        return write_manifest(new / MANIFEST, DATASET, manifest)


def _write_shard(shard: pl.DataFrame, path: Path) -> Path:
    shard.rechunk().write_parquet(
        path, compression="zstd", compression_level=1, row_group_size=ROWS_PER_GROUP, statistics=False
    )
    return path


def _is_own(name: str) -> bool:
    """Return whether a path belongs to a dataset folder, so that a rebuild may replace or keep it."""
    return name in (CARD, MANIFEST, SAMPLES) or any(pattern.fullmatch(name) for pattern in (_SHARD, _VERDICT))


def unlisted_shards(folder: Path, names: Iterable[str]) -> set[str]:
    """Return which of these files of a dataset are shards that its manifest does not list, as those of other versions.

    Empty if the folder has no manifest. `load_dataset` reads all shards, whether or not a manifest lists them.
    """
    manifest = read_manifest(folder, DATASET)
    if manifest is None:
        return set()
    return set(filter(_SHARD.fullmatch, names)) - {entry["path"] for entry in manifest["outputs"]}


def arrow_bytes(frame: pl.DataFrame) -> int:
    """Return the size of a frame in Arrow's plain layout: text with four-byte offsets, eight bytes per number."""
    sizes = frame.select(pl.col(pl.String).str.len_bytes().sum())
    text_bytes = sum(map(int, sizes.row(0))) if sizes.width else 0
    return text_bytes + len(frame) * (4 * sizes.width + 8 * (frame.width - sizes.width))


def _next_version(
    previous: Mapping[str, Any] | None, content: str, columns: Mapping[str, str]
) -> tuple[str, list[dict[str, str]]]:
    history: list[dict[str, str]] = list(previous["history"]) if previous else []
    version_by_content = {entry["content"]: entry["version"] for entry in history}
    if content in version_by_content:
        return version_by_content[content], history
    version = FIRST_VERSION
    if previous and history:
        major, minor, _ = map(int, history[-1]["version"].split("."))
        version = f"{major}.{minor + 1}.0" if previous["columns"] == columns else f"{major + 1}.0.0"
    return version, [*history, {"version": version, "content": content}]


@dataclass(frozen=True)
class OpenDataset:
    """A dataset that has been checked: its manifest, its open shards by split, and the requested other files.

    All of them belong to one build, even if the folder is rebuilt meanwhile. The shards are closed when this object is
    garbage-collected.
    """

    manifest: dict[str, Any]
    shards: Mapping[str, Sequence[BufferedReader]]
    files: Mapping[str, bytes]

    def __post_init__(self) -> None:
        finalize(self, _close, [stream for shards in self.shards.values() for stream in shards])

    def rows(self) -> pl.LazyFrame:
        """Return all rows, with a column `split`."""
        return pl.concat(
            [
                pl.scan_parquet(shard).with_columns(split=pl.lit(split))
                for split, shards in self.shards.items()
                for shard in shards
            ]
        )


def content_of(manifest: Mapping[str, Any]) -> str:
    """Return the content hash of a dataset's current version, from its manifest."""
    return next(str(entry["content"]) for entry in manifest["history"] if entry["version"] == manifest["version"])


def open_dataset(folder: Path) -> tuple[dict[str, Any], pl.LazyFrame]:
    """Return a dataset's manifest and its rows, with a column `split`. Raises StorageError as `open_shards` does."""
    opened = open_shards(folder)
    return opened.manifest, opened.rows()


def open_shards(folder: Path, *names: str) -> OpenDataset:
    """Open and check a dataset folder; `names` are other files to read if the folder has them.

    Raises StorageError if the folder is unfinished, or if its bytes or rows differ from the manifest.
    """
    try:
        return read_consistently(folder, partial(_open, names=names))
    except (FileNotFoundError, NotADirectoryError) as error:
        datasets = artifacts_below(folder, DATASET)
        hint = f"Datasets below it: {datasets}." if datasets else "Make one with `lrldata build`."
        raise StorageError(f"{folder}: no finished dataset in this folder ({MANIFEST} is missing).", hint) from error
    except DamagedError as error:
        raise DamagedError(error.message, "Run `lrldata build` again to repair it.") from error


def _close(streams: Iterable[BufferedReader]) -> None:
    for stream in streams:
        stream.close()


def _open(held: OpenFolder, names: Sequence[str]) -> OpenDataset:
    with ExitStack() as opened:
        return _open_all(held, names, opened)


def _open_all(held: OpenFolder, names: Sequence[str], streams: ExitStack) -> OpenDataset:
    """Open and check all files of a folder; `streams` closes them unless every check passes."""
    manifest = manifest_in(held, DATASET)
    shards: dict[str, list[BufferedReader]] = {}
    row_counts: dict[str, int] = dict.fromkeys(manifest["rows"], 0)
    for entry in sorted(entries(manifest), key=lambda entry: str(entry["path"])):
        if entry["path"] == SAMPLES and _is_missing(held, SAMPLES):
            continue  # a dataset from the Hub has none
        stream = streams.enter_context(_open_checked(held, entry))
        if (match := _SHARD.fullmatch(entry["path"])) is None:
            stream.close()
            continue
        try:
            footer = pl.scan_parquet(stream)
            columns, rows = footer.collect_schema().names(), int(footer.select(pl.len()).collect().item())
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DamagedError(f"{held.folder}: {entry['path']} is not Parquet.") from error
        if match[1] not in row_counts or columns != list(manifest["columns"]):
            raise DamagedError(f"{held.folder}: {entry['path']} has a split or columns that {MANIFEST} does not list.")
        row_counts[match[1]] += rows
        stream.seek(0)
        shards.setdefault(match[1], []).append(stream)
    if row_counts != manifest["rows"]:
        raise DamagedError(f"{held.folder}: {MANIFEST} says {manifest['rows']} rows, but there are {row_counts}.")
    if not any(row_counts.values()):
        raise DamagedError(f"{held.folder}: the dataset has no rows.")
    files: dict[str, bytes] = {}
    for name in names:
        with suppress(FileNotFoundError):
            files[name] = held.read(name)
    streams.pop_all()
    return OpenDataset(manifest, {split: shards[split] for split in SPLITS if split in shards}, files)


def _is_missing(held: OpenFolder, name: str) -> bool:
    try:
        held.open(name).close()
    except FileNotFoundError:
        return True
    return False


def _open_checked(held: OpenFolder, entry: Mapping[str, Any]) -> BufferedReader:
    try:
        stream = held.open(entry["path"])
    except FileNotFoundError as error:
        raise DamagedError(f"{held.folder}: {entry['path']} is missing.") from error
    if fault := fault_of(stream, entry):
        stream.close()
        raise DamagedError(f"{held.folder}: {fault}.")
    return stream
