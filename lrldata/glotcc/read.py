"""Documents from a folder or a file: Parquet, JSONL or plain text, shard by shard. IO."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lrldata.errors import InputError
from lrldata.manifest import file_entry

ENDINGS = (".parquet", ".jsonl", ".jsonl.gz", ".txt", ".txt.gz")
TEXT_COLUMNS = ("content", "text")  # GlotCC's, and everybody's
URL_COLUMNS = ("warc-target-uri", "url")


@dataclass(frozen=True)
class Shard:
    """One file of documents."""

    path: Path
    name: str

    def entry(self) -> dict[str, object]:
        """Describe it for a manifest."""
        described = file_entry(self.path, self.path.parent)
        return {"name": self.name, "bytes": described["bytes"], "sha256": described["sha256"], "rejected_lines": 0}


def find_shards(given: Path, configuration: str | None) -> list[Shard]:
    """Return the files of documents of a folder, by name; of a copy of GlotCC-V1 those of the language alone.

    `configuration` is GlotCC's name for the language, as mlt-Latn. Raises InputError where there is none.
    """
    if given.is_file():
        return [Shard(given, given.name)]
    if not given.is_dir():
        raise InputError(f"{given}: no such file or folder.", f"Give --input a folder of {', '.join(ENDINGS)} files.")
    inside = [path for path in sorted(given.rglob("*")) if path.is_file() and path.name.endswith(ENDINGS)]
    own = [path for path in inside if configuration and configuration in path.relative_to(given).as_posix()]
    if not inside:
        raise InputError(f"{given}: holds no document.", f"Files of these kinds are read: {', '.join(ENDINGS)}.")
    return [Shard(path, path.relative_to(given).as_posix()) for path in own or inside]


def read_shard(shard: Shard, text_column: str | None, url_column: str | None) -> pl.DataFrame:
    """Return the documents of a shard: columns doc (an id that is its own everywhere), url (or null) and text.

    A plain text file is one document a paragraph: lines up to an empty one. Those without text are left out. Raises
    InputError for a file that cannot be read, or that lacks the column.
    """
    try:
        frame = _as_frame(shard.path)
    except (pl.exceptions.PolarsError, OSError, EOFError, UnicodeDecodeError) as error:
        first = str(error).strip().split("\n")[0][:150]
        raise InputError(f"{shard.path}: cannot be read ({first}).", "Mend or remove that file.") from error
    text = _column(frame, text_column, TEXT_COLUMNS, "--text-column", shard)
    url = _column(frame, url_column, URL_COLUMNS, "--url-column", shard)
    if text is None:
        raise InputError(
            f"{shard.path}: has no column {' or '.join(TEXT_COLUMNS)}.",
            f"It has {', '.join(frame.columns)}: use --text-column.",
        )
    address = pl.col(url).cast(pl.String) if url else pl.lit(None, pl.String)
    number = pl.int_range(pl.len(), dtype=pl.Int64).cast(pl.String)
    return frame.select(
        doc=pl.concat_str([pl.lit(shard.name), number], separator="#"), url=address, text=pl.col(text).cast(pl.String)
    ).filter(pl.col("text").str.strip_chars() != "")


def _as_frame(path: Path) -> pl.DataFrame:
    if path.name.endswith(".parquet"):
        return pl.read_parquet(path, glob=False)
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        return pl.read_ndjson(path, infer_schema_length=None)
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.name.endswith(".gz") else data).decode("utf-8-sig")
    lines = pl.DataFrame({"text": text.split("\n")})
    paragraph = (lines["text"].str.strip_chars() == "").cum_sum()
    return (
        lines.group_by(paragraph.alias("paragraph"), maintain_order=True)
        .agg(pl.col("text").str.join("\n"))
        .select("text")
    )


def _column(frame: pl.DataFrame, asked: str | None, usual: tuple[str, ...], flag: str, shard: Shard) -> str | None:
    if asked and asked not in frame.columns:
        raise InputError(f"{shard.path}: has no column {asked!r} ({flag}).", f"It has: {', '.join(frame.columns)}.")
    return asked or next((name for name in usual if name in frame.columns), None)
