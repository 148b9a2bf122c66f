"""Documents, from files of Parquet, JSONL or plain text: a few megabytes at a time. IO."""

import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lrldata.errors import InputError
from lrldata.manifest import sha256_of
from lrldata.network import reached

ENDINGS = (".parquet", ".jsonl", ".jsonl.gz", ".txt", ".txt.gz")
TEXT_COLUMNS = ("content", "text")  # GlotCC's, and everybody's
URL_COLUMNS = ("warc-target-uri", "url")
METADATA: Mapping[str, tuple[str, pl.DataType]] = {  # what GlotCC knows of a document, and what it is here
    "quality-warnings": ("warnings", pl.List(pl.String())),
    "categories": ("categories", pl.List(pl.String())),
    "identification-consistency": ("consistency", pl.Float64()),
    "script-percentage": ("script_share", pl.Float64()),
}
PART = 4_000_000  # bytes of text, from which on a part ends
LINES = 100  # of a paragraph of plain text, from which on another document begins: it is a list of sentences
_ROWS = 500


@dataclass(frozen=True)
class Shard:
    """One file of documents: where it is, how it is opened, and what a manifest says of it."""

    name: str
    place: str
    size: int  # bytes
    sha256: str
    open: Callable[[], BinaryIO]

    def entry(self) -> dict[str, object]:
        """Describe it for a manifest."""
        return {"name": self.name, "bytes": self.size, "sha256": self.sha256, "rejected_lines": 0}


@dataclass(frozen=True)
class Columns:
    """The columns that are asked for; None means those that are usual."""

    text: str | None = None
    url: str | None = None


def find_shards(given: Path, configuration: str | None) -> list[Shard]:
    """Return the files of documents of a folder, by name; of a copy of GlotCC-V1 those of the language alone.

    `configuration` is GlotCC's name for the language, as mlt-Latn. Raises InputError where there is none.
    """
    if given.is_file():
        return [_local(given, given.name)]
    if not given.is_dir():
        raise InputError(f"{given}: no such file or folder.", f"Give --input a folder of {', '.join(ENDINGS)} files.")
    inside = [path for path in sorted(given.rglob("*")) if path.is_file() and path.name.endswith(ENDINGS)]
    own = [path for path in inside if configuration and configuration in path.relative_to(given).parts]
    if not inside:
        raise InputError(f"{given}: holds no document.", f"Files of these kinds are read: {', '.join(ENDINGS)}.")
    return [_local(path, path.relative_to(given).as_posix()) for path in own or inside]


def _local(path: Path, name: str) -> Shard:
    return Shard(name, str(path), path.stat().st_size, sha256_of(path), partial(_open, path))


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def read_parts(shard: Shard, columns: Columns) -> Iterator[pl.DataFrame]:
    """Yield the documents of a shard, some megabytes of text at a time, cut at the same places each time.

    Columns: doc (an id that is its own everywhere), url and text (null where there is none), and of METADATA what the
    shard has. A plain text file has a document a paragraph: lines up to an empty one, or LINES of them. Raises
    InputError for a file that cannot be read, or that lacks a column.
    """
    try:
        with reached(f"{shard.place} cannot be read", "Try again: what is done is kept."):
            yield from _numbered(shard, _grouped(_rows(shard, columns)))
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        first = str(error).strip().split("\n")[0][:150]
        raise InputError(
            f"{shard.place}: cannot be read ({first}).", "Mend or remove it, or leave it out with --skip-bad."
        ) from error


def _rows(shard: Shard, columns: Columns) -> Iterator[pl.DataFrame]:
    with shard.open() as stream:
        if shard.name.endswith(".parquet"):
            yield from _parquet(shard, stream, columns)
            return
        plain: Any = gzip.GzipFile(fileobj=stream) if shard.name.endswith(".gz") else stream
        rows = _jsonl if ".jsonl" in shard.name else _paragraphs
        with io.TextIOWrapper(plain, "utf-8-sig", newline="\n") as lines:
            yield from rows(shard, lines, columns)


def _parquet(shard: Shard, stream: BinaryIO, columns: Columns) -> Iterator[pl.DataFrame]:
    file = pq.ParquetFile(stream)
    text, url = _choose(shard, file.schema_arrow.names, columns)
    asked = [text, *([url] if url else []), *(name for name in METADATA if name in file.schema_arrow.names)]
    for batch in file.iter_batches(_ROWS, columns=asked, use_threads=False):
        frame = pl.from_arrow(pa.Table.from_batches([batch]))
        if isinstance(frame, pl.DataFrame):
            yield _shaped(shard, frame, text, url)


def _jsonl(shard: Shard, lines: Iterable[str], columns: Columns) -> Iterator[pl.DataFrame]:
    found: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(
                f"{shard.place}: line {number:,} is no JSON ({error}).",
                "Mend it, or leave the file out with --skip-bad.",
            ) from error
        if not isinstance(row, dict):
            raise InputError(
                f"{shard.place}: line {number:,} is no JSON object.", 'A line is a document: {{"text": ...}}.'
            )
        found.append(row)
        if len(found) == _ROWS:
            yield _from_json(shard, found, columns)
            found = []
    if found:
        yield _from_json(shard, found, columns)


def _from_json(shard: Shard, found: list[dict[str, Any]], columns: Columns) -> pl.DataFrame:
    text, url = _choose(shard, list(dict.fromkeys(key for row in found for key in row)), columns)
    taken: dict[str, list[Any]] = {text: [_as_text(row.get(text)) for row in found]}
    if url:
        taken[url] = [_as_text(row.get(url)) for row in found]
    taken |= {name: [row.get(name) for row in found] for name in METADATA if any(row.get(name) for row in found)}
    return _shaped(shard, pl.DataFrame(taken, strict=False), text, url)


def _as_text(value: Any) -> str | None:
    """Return a JSON value as text; half of a surrogate pair, which is no character, becomes its replacement."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _paragraphs(shard: Shard, lines: Iterable[str], columns: Columns) -> Iterator[pl.DataFrame]:
    if columns.text or columns.url:
        raise InputError(f"{shard.place}: a text file has no columns.", "Leave out --text-column and --url-column.")
    texts: list[str] = []
    paragraph: list[str] = []
    for line in lines:
        if line.strip():
            paragraph.append(line)
        if paragraph and (not line.strip() or len(paragraph) == LINES):
            texts.append("".join(paragraph))
            paragraph = []
        if len(texts) == _ROWS:
            yield _shaped(shard, pl.DataFrame({"text": texts}), "text", None)
            texts = []
    texts += ["".join(paragraph)] if paragraph else []
    if texts:
        yield _shaped(shard, pl.DataFrame({"text": texts}), "text", None)


def _choose(shard: Shard, names: list[str], columns: Columns) -> tuple[str, str | None]:
    """Return the columns of text and address. Raises InputError."""
    for asked, flag in ((columns.text, "--text-column"), (columns.url, "--url-column")):
        if asked and asked not in names:
            raise InputError(f"{shard.place}: has no column {asked!r} ({flag}).", f"It has: {', '.join(names)}.")
    text = columns.text or next((name for name in TEXT_COLUMNS if name in names), None)
    if text is None:
        raise InputError(
            f"{shard.place}: has no column {' or '.join(TEXT_COLUMNS)}.",
            f"It has {', '.join(names)}: use --text-column.",
        )
    return text, columns.url or next((name for name in URL_COLUMNS if name in names), None)


def _shaped(shard: Shard, frame: pl.DataFrame, text: str, url: str | None) -> pl.DataFrame:
    try:
        return frame.select(
            (pl.col(url).cast(pl.String) if url else pl.lit(None, pl.String)).alias("url"),
            pl.col(text).cast(pl.String).alias("text"),
            *(_metadata(frame, name) for name in METADATA),
        )
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{shard.place}: column {text!r} is no text.", "Name another with --text-column.") from error


def _metadata(frame: pl.DataFrame, name: str) -> pl.Expr:
    column, dtype = METADATA[name]
    known = name in frame.columns
    if known and dtype == pl.Float64 and frame.schema[name].is_numeric():
        value = pl.col(name).cast(pl.Float64)
        return pl.when(value > 1).then(value / 100).otherwise(value).alias(column)  # a share, or a percentage
    if known and frame.schema[name] == dtype:
        return pl.col(name).alias(column)
    return pl.lit(None, dtype).alias(column)


def _grouped(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Put frames together, or cut them, so that each has PART bytes of text, and its last document what is above."""
    held: list[pl.DataFrame] = []
    size = 0
    for frame in frames:
        rest = frame
        while len(rest):
            sizes = rest["text"].str.len_bytes().fill_null(0).cast(pl.Int64).cum_sum() + size
            take = int((sizes < PART).sum()) + 1
            held.append(rest[:take])
            size = int(sizes[min(take, len(rest)) - 1])
            rest = rest[take:]
            if size >= PART:
                yield pl.concat(held)
                held, size = [], 0
    if held:
        yield pl.concat(held)


def _numbered(shard: Shard, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Name each document by its shard and its number in it."""
    begin = 0
    for frame in frames:
        number = pl.int_range(begin, begin + len(frame), dtype=pl.Int64, eager=True).cast(pl.String)
        yield frame.with_columns(doc=shard.name + "#" + number)
        begin += len(frame)
