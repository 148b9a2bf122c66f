"""Dataset folders: Parquet shards named as the Hub names them, a card, and the manifest last. IO."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from itertools import islice
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
    entries,
    fault_of,
    file_entry,
    fingerprint,
    from_held,
    kind_of,
    manifest_in,
    read_manifest,
    write_manifest,
)
from lrldata.paths import Held
from lrldata.split import SPLITS

CARD, SAMPLES = "README.md", "samples.json"  # of what was dropped and kept, for the report: not for publication
ROWS_A_SHARD = 1_000_000
ROWS_A_GROUP = 100_000  # fixed, so that the bytes do not depend on the number of threads
FIRST_VERSION = "1.0.0"
VERDICTS = "verdicts"  # what speakers said of the lines, and which they were asked about; not for publication either
_SHARD = re.compile(r"data/([a-z]+)-\d+-of-\d+\.parquet")
_VERDICT = re.compile(rf"{VERDICTS}/[^/]+\.jsonl?")


def write_dataset(
    folder: Path,
    splits: Mapping[str, pl.DataFrame | Iterable[pl.DataFrame]],
    card: Callable[[Mapping[str, Any]], str],
    provenance: Mapping[str, Any],
    samples: str | None = None,
) -> dict[str, Any]:
    """Write a dataset folder whole, or leave what was there; call it under `lock(folder)`. Returns the manifest.

    A split is a frame, or its shards one after the other, so that one is held at a time. `card` makes README.md
    from the manifest so far, `samples` is the text of samples.json. The version stays where the data's bytes stay,
    goes up by a minor number where they change, and by a major one where the columns do.
    """
    previous = read_manifest(folder, DATASET)
    with replaced(folder, _is_own, "the dataset", keeps=VERDICTS) as new:
        new.joinpath("data").mkdir()
        columns: dict[str, str] = {}
        rows, num_bytes = dict.fromkeys(splits, 0), dict.fromkeys(splits, 0)
        for split, given in splits.items():
            written: list[Path] = []
            for shard in given.iter_slices(ROWS_A_SHARD) if isinstance(given, pl.DataFrame) else given:
                columns = {name: str(dtype) for name, dtype in shard.schema.items()}
                rows[split], num_bytes[split] = rows[split] + len(shard), num_bytes[split] + arrow_bytes(shard)
                if len(shard):
                    written.append(_write_shard(shard, new / "data" / f"{split}-{len(written):05d}"))
            for number, path in enumerate(written):  # as the Hub names them
                path.rename(path.with_name(f"{split}-{number:05d}-of-{len(written):05d}.parquet"))
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
        beside = [name for name in (CARD, SAMPLES) if new.joinpath(name).is_file()]
        manifest["outputs"] = [*shards, *(file_entry(new / name, new) for name in beside)]
        return write_manifest(new / MANIFEST, DATASET, manifest)


def _write_shard(shard: pl.DataFrame, path: Path) -> Path:
    shard.rechunk().write_parquet(
        path, compression="zstd", compression_level=1, row_group_size=ROWS_A_GROUP, statistics=False
    )
    return path


def _is_own(name: str) -> bool:
    """Return whether a dataset's folder has a file of this path, which a rebuild may replace, or keeps."""
    return name in (CARD, MANIFEST, SAMPLES) or any(form.fullmatch(name) for form in (_SHARD, _VERDICT))


def arrow_bytes(frame: pl.DataFrame) -> int:
    """Return the size of a frame in Arrow's plain layout: text with four-byte offsets, eight bytes a number."""
    sizes = frame.select(pl.col(pl.String).str.len_bytes().sum())
    held = sum(map(int, sizes.row(0))) if sizes.width else 0
    return held + len(frame) * (4 * sizes.width + 8 * (frame.width - sizes.width))


def _next_version(
    previous: Mapping[str, Any] | None, content: str, columns: Mapping[str, str]
) -> tuple[str, list[dict[str, str]]]:
    history: list[dict[str, str]] = list(previous["history"]) if previous else []
    known = {entry["content"]: entry["version"] for entry in history}
    if content in known:
        return known[content], history
    version = FIRST_VERSION
    if previous and history:
        major, minor, _ = map(int, history[-1]["version"].split("."))
        version = f"{major}.{minor + 1}.0" if previous["columns"] == columns else f"{major + 1}.0.0"
    return version, [*history, {"version": version, "content": content}]


@dataclass(frozen=True)
class Opened:
    """A dataset that was checked: its manifest, its shards, open, by split, and other files that were asked for.

    They stay those of one build, though the folder is built again meanwhile, and are closed when nobody has this.
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
    """Return the hash of a dataset's rows, from its manifest: that of its version."""
    return next(str(each["content"]) for each in manifest["history"] if each["version"] == manifest["version"])


def open_dataset(folder: Path) -> tuple[dict[str, Any], pl.LazyFrame]:
    """Open a dataset folder: its manifest, and its rows with a column `split`. Raises StorageError as `open_shards`."""
    opened = open_shards(folder)
    return opened.manifest, opened.rows()


def open_shards(folder: Path, *names: str) -> Opened:
    """Open a dataset folder, and read of the other files that it has these.

    Raises StorageError when the folder is unfinished, or its bytes or rows are not those of the manifest.
    """
    try:
        return from_held(folder, partial(_open, names=names))
    except (FileNotFoundError, NotADirectoryError) as error:
        below = sorted(path.parent for path in folder.glob(f"**/{MANIFEST}"))
        inside = ", ".join(islice((str(each) for each in below if kind_of(each) == DATASET), 3))
        hint = f"Datasets below it: {inside}." if inside else "Make one with `lrldata build`."
        raise StorageError(f"{folder}: no finished dataset in this folder ({MANIFEST} is missing).", hint) from error
    except DamagedError as error:
        raise DamagedError(error.message, "Run `lrldata build` again to repair it.") from error


def _close(streams: Iterable[BufferedReader]) -> None:
    for stream in streams:
        stream.close()


def _open(held: Held, names: Sequence[str]) -> Opened:
    with ExitStack() as opened:
        return _opened(held, names, opened)


def _opened(held: Held, names: Sequence[str], streams: ExitStack) -> Opened:
    """Open what a folder has; the streams are closed with `streams`, unless all is well."""
    manifest = manifest_in(held, DATASET)
    shards: dict[str, list[BufferedReader]] = {}
    counted: dict[str, int] = dict.fromkeys(manifest["rows"], 0)
    for entry in sorted(entries(manifest), key=lambda entry: str(entry["path"])):
        if entry["path"] == SAMPLES and _is_missing(held, SAMPLES):
            continue  # as of a dataset that came from the Hub
        stream = streams.enter_context(_checked(held, entry))
        if (found := _SHARD.fullmatch(entry["path"])) is None:
            stream.close()
            continue
        try:
            footer = pl.scan_parquet(stream)
            columns, rows = footer.collect_schema().names(), int(footer.select(pl.len()).collect().item())
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DamagedError(f"{held.folder}: {entry['path']} is not Parquet.") from error
        if found[1] not in counted or columns != list(manifest["columns"]):
            raise DamagedError(f"{held.folder}: {entry['path']} is not of the splits and columns of {MANIFEST}.")
        counted[found[1]] += rows
        stream.seek(0)
        shards.setdefault(found[1], []).append(stream)
    if counted != manifest["rows"]:
        raise DamagedError(f"{held.folder}: {MANIFEST} says {manifest['rows']} rows, and there are {counted}.")
    if not any(counted.values()):
        raise DamagedError(f"{held.folder}: has no rows.")
    files: dict[str, bytes] = {}
    for name in names:
        with suppress(FileNotFoundError):
            files[name] = held.read(name)
    streams.pop_all()
    return Opened(manifest, {split: shards[split] for split in SPLITS if split in shards}, files)


def _is_missing(held: Held, name: str) -> bool:
    try:
        held.open(name).close()
    except FileNotFoundError:
        return True
    return False


def _checked(held: Held, entry: Mapping[str, Any]) -> BufferedReader:
    try:
        stream = held.open(entry["path"])
    except FileNotFoundError as error:
        raise DamagedError(f"{held.folder}: {entry['path']} is missing.") from error
    if fault := fault_of(stream, entry):
        stream.close()
        raise DamagedError(f"{held.folder}: {fault}.")
    return stream
