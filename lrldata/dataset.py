"""Dataset folders: Parquet shards named as the Hub names them, a card, and the manifest last. IO."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from lrldata.errors import StorageError
from lrldata.folder import replaced
from lrldata.manifest import DATASET, MANIFEST, damaged, file_entry, fingerprint, read_manifest, write_json
from lrldata.split import SPLITS

CARD, SAMPLES = "README.md", "samples.json"  # of what was dropped and kept, for the report: not for publication
ROWS_A_SHARD = 1_000_000
ROWS_A_GROUP = 100_000  # fixed, so that the bytes do not depend on the number of threads
FIRST_VERSION = "1.0.0"
_SHARD = re.compile(r"data/[a-z]+-\d+-of-\d+\.parquet")


def shard_names(manifest: Mapping[str, Any], split: str) -> list[str]:
    """Return the paths of the shards of a split, in their order; none for an empty split."""
    return sorted(entry["path"] for entry in manifest["outputs"] if entry["path"].startswith(f"data/{split}-"))


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
    if strangers := sorted(_strangers(folder)):
        raise StorageError(
            f"{folder}: holds what is not the dataset's: {', '.join(strangers[:5])}.",
            "Move that away, or name another --out.",
        )
    with replaced(folder) as partial:
        partial.joinpath("data").mkdir()
        columns: dict[str, str] = {}
        rows, num_bytes = dict.fromkeys(splits, 0), dict.fromkeys(splits, 0)
        for split, given in splits.items():
            written: list[Path] = []
            for shard in given.iter_slices(ROWS_A_SHARD) if isinstance(given, pl.DataFrame) else given:
                columns = {name: str(dtype) for name, dtype in shard.schema.items()}
                rows[split], num_bytes[split] = rows[split] + len(shard), num_bytes[split] + arrow_bytes(shard)
                if len(shard):
                    written.append(_write_shard(shard, partial / "data" / f"{split}-{len(written):05d}"))
            for number, path in enumerate(written):  # as the Hub names them
                path.rename(path.with_name(f"{split}-{number:05d}-of-{len(written):05d}.parquet"))
        shards = [file_entry(path, partial) for path in sorted(partial.joinpath("data").iterdir())]
        content = {"columns": columns, "shards": [[entry["path"], entry["sha256"]] for entry in shards]}
        version, history = _next_version(previous, fingerprint(content), columns)
        manifest: dict[str, Any] = {
            "kind": DATASET,
            "version": version,
            **provenance,
            "rows": rows,
            "num_bytes": num_bytes,
            "columns": columns,
            "outputs": shards,
            "history": history,
        }
        partial.joinpath(CARD).write_text(card(manifest), encoding="utf-8", newline="\n")
        manifest["outputs"] = [*shards, file_entry(partial / CARD, partial)]
        if samples is not None:
            partial.joinpath(SAMPLES).write_text(samples, encoding="utf-8", newline="\n")
        write_json(partial / MANIFEST, manifest)
    return manifest


def _write_shard(shard: pl.DataFrame, path: Path) -> Path:
    shard.rechunk().write_parquet(
        path, compression="zstd", compression_level=1, row_group_size=ROWS_A_GROUP, statistics=False
    )
    return path


def _strangers(folder: Path) -> Iterator[str]:
    """Yield the files in a dataset folder that this module has not written, which a rebuild must not delete."""
    for path in folder.rglob("*") if folder.is_dir() else ():
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in (CARD, MANIFEST, SAMPLES) and not _SHARD.fullmatch(name):
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
        for name in shard_names(manifest, split)
    ]
    return manifest, pl.concat(scans)
