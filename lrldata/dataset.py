"""Dataset folders: Parquet shards named as the Hub names them, a card, and the manifest last. IO."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from lrldata.errors import StorageError
from lrldata.folder import replaced
from lrldata.manifest import DATASET, MANIFEST, damaged, file_entry, fingerprint, read_manifest, write_json
from lrldata.split import SPLITS

CARD = "README.md"
ROWS_A_SHARD = 1_000_000
ROWS_A_GROUP = 100_000  # fixed, so that the bytes do not depend on the number of threads
FIRST_VERSION = "1.0.0"
_SHARD = re.compile(r"data/[a-z]+-\d+-of-\d+\.parquet")


def shard_names(split: str, rows: int) -> list[str]:
    """Name the shards of a split as the Hub does: data/train-00000-of-00001.parquet; none for an empty split."""
    count = -(-rows // ROWS_A_SHARD)
    return [f"data/{split}-{number:05d}-of-{count:05d}.parquet" for number in range(count)]


def write_dataset(
    folder: Path,
    splits: Mapping[str, pl.DataFrame],
    card: Callable[[Mapping[str, Any]], str],
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """Write a dataset folder whole, or leave what was there; call it under `lock(folder)`. Returns the manifest.

    `card` makes README.md from the manifest so far. The version stays where the data's bytes stay, goes up by
    a minor number where they change, and by a major one where the columns do.
    """
    previous = read_manifest(folder, DATASET)
    if strangers := sorted(_strangers(folder)):
        raise StorageError(
            f"{folder}: holds what is not the dataset's: {', '.join(strangers[:5])}.",
            "Move that away, or name another --out.",
        )
    with replaced(folder) as partial:
        partial.joinpath("data").mkdir()
        for split, frame in splits.items():
            for number, name in enumerate(shard_names(split, len(frame))):
                shard = frame.slice(number * ROWS_A_SHARD, ROWS_A_SHARD).rechunk()
                shard.write_parquet(
                    partial / name,
                    compression="zstd",
                    compression_level=1,
                    row_group_size=ROWS_A_GROUP,
                    statistics=False,
                )
        shards = [file_entry(path, partial) for path in sorted(partial.joinpath("data").iterdir())]
        columns = {name: str(dtype) for name, dtype in next(iter(splits.values())).schema.items()}
        content = {"columns": columns, "shards": [[entry["path"], entry["sha256"]] for entry in shards]}
        version, history = _next_version(previous, fingerprint(content), columns)
        manifest: dict[str, Any] = {
            "kind": DATASET,
            "version": version,
            **provenance,
            "rows": {split: len(frame) for split, frame in splits.items()},
            "num_bytes": {split: arrow_bytes(frame) for split, frame in splits.items()},
            "columns": columns,
            "outputs": shards,
            "history": history,
        }
        partial.joinpath(CARD).write_text(card(manifest), encoding="utf-8", newline="\n")
        manifest["outputs"] = [*shards, file_entry(partial / CARD, partial)]
        write_json(partial / MANIFEST, manifest)
    return manifest


def _strangers(folder: Path) -> Iterator[str]:
    """Yield the files in a dataset folder that this module has not written, which a rebuild must not delete."""
    for path in folder.rglob("*") if folder.is_dir() else ():
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in (CARD, MANIFEST) and not _SHARD.fullmatch(name):
            yield name


def arrow_bytes(frame: pl.DataFrame) -> int:
    """Return the size of a frame in Arrow's plain layout: text with four-byte offsets, eight bytes a number."""
    text = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    held = sum(int(frame[name].str.len_bytes().sum()) for name in text)
    return held + len(frame) * (4 * len(text) + 8 * (frame.width - len(text)))


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


def open_dataset(folder: Path) -> tuple[dict[str, Any], pl.LazyFrame]:
    """Open a dataset folder: its manifest, and its rows with a column `split`.

    Raises StorageError when the folder is unfinished or its bytes are not those of the manifest.
    """
    manifest = read_manifest(folder, DATASET)
    if manifest is None:
        inside = ", ".join(sorted(str(path.parent) for path in folder.glob(f"**/{MANIFEST}"))[:3])
        hint = f"Datasets below it: {inside}." if inside else "Make one with `lrldata build`."
        raise StorageError(f"{folder}: no finished dataset in this folder ({MANIFEST} is missing).", hint)
    for fault in damaged(folder, manifest):
        raise StorageError(f"{folder}: {fault}.", "Run `lrldata build` again to mend it.")
    scans = [
        pl.scan_parquet(folder / name, glob=False).with_columns(split=pl.lit(split))
        for split in SPLITS
        for name in shard_names(split, manifest["rows"][split])
    ]
    return manifest, pl.concat(scans)
