"""Documents, from files of Parquet, JSONL or plain text: a few megabytes at a time. IO.

What a file holds is not believed: whatever it is, it is read, or ends in an InputError, in bounded memory.
"""

import codecs
import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lrldata.errors import InputError, LrlError
from lrldata.glotcc.parquet import ColumnError, read_frames
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
LONGEST_LINE = 32 << 20  # bytes of a line of a file: JSON takes up to thirty times as many to be read
LONGEST_TEXT = 16 << 20  # bytes of a document: to clean it takes fifty times as many
_ROWS = 500
_NAMES, _NAME = 20, 50  # columns that an error lists, and their letters
_TOO_LONG, _SPLIT = f"longer than {LONGEST_TEXT >> 20} MiB", "Split it, or leave the file out with --skip-bad."
_JSON = json.JSONDecoder(parse_int=float)  # an integer may have a million digits, which Python refuses
_HINT = "Correct it, or leave the file out with --skip-bad."
_UNREADABLE = (
    pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, zlib.error, OSError, EOFError,
    ValueError, TypeError, OverflowError, RecursionError,
)  # fmt: skip


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
    except LrlError:
        raise
    except ColumnError as error:
        raise InputError(
            f"{shard.place}: {error}.",
            "Name another with --text-column or --url-column, or leave the file out with --skip-bad.",
        ) from error
    except _UNREADABLE as error:
        first = str(error).strip().split("\n")[0][:150] or type(error).__name__
        raise InputError(
            f"{shard.place}: cannot be read ({first}).", "Repair or remove it, or leave it out with --skip-bad."
        ) from error


def _rows(shard: Shard, columns: Columns) -> Iterator[pl.DataFrame]:
    with shard.open() as stream:
        if shard.name.endswith(".parquet"):
            yield from _parquet(shard, stream, columns)
            return
        plain: Any = gzip.GzipFile(fileobj=stream) if shard.name.endswith(".gz") else stream
        rows = _jsonl if ".jsonl" in shard.name else _paragraphs
        yield from rows(shard, _lines(shard, plain), columns)


def _lines(shard: Shard, stream: BinaryIO) -> Iterator[str]:
    """Yield the lines of a file with their ends. Raises InputError for one that is too long or not UTF-8."""
    number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise InputError(f"{shard.place}: line {number:,} is longer than {LONGEST_LINE >> 20} MiB.", _HINT)
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{shard.place}: cannot be read (line {number:,} is not UTF-8 at byte {error.start + 1}).", _HINT
            ) from error
        yield text


def _parquet(shard: Shard, stream: BinaryIO, columns: Columns) -> Iterator[pl.DataFrame]:
    file = pq.ParquetFile(stream)
    text, url = _choose(shard, file.schema_arrow.names, columns)
    for frame in read_frames(file, stream, list(dict.fromkeys([text, *([url] if url else [])])), list(METADATA)):
        yield _shaped(frame, text, url)


def _jsonl(shard: Shard, lines: Iterable[str], columns: Columns) -> Iterator[pl.DataFrame]:
    """Yield the rows; each is read by the columns that it has itself, so that no row's fate depends on others."""
    found: list[tuple[int, dict[str, Any]]] = []
    names: dict[str, None] = {}
    size = count = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = _parse(shard, number, line)
        if count < _ROWS:
            wanted = (name for name in (columns.text, columns.url, *TEXT_COLUMNS) if name in row)
            names |= dict.fromkeys([*wanted, *(name[:_NAME] for name in islice(row, _NAMES))])
        found.append((number, row))
        size, count = size + len(line), count + 1
        if count == _ROWS:
            _choose(shard, list(names), columns)
        if size >= PART or len(found) == _ROWS:
            yield _from_json(shard, found, columns)
            found, size = [], 0
    if 0 < count < _ROWS:
        _choose(shard, list(names), columns)
    if found:
        yield _from_json(shard, found, columns)


def _parse(shard: Shard, number: int, line: str) -> dict[str, Any]:
    try:
        row = _JSON.decode(line)
    except (ValueError, RecursionError) as error:
        why = "nested too deep" if isinstance(error, RecursionError) else error
        raise InputError(f"{shard.place}: line {number:,} is no JSON that can be read ({why}).", _HINT) from error
    if not isinstance(row, dict):
        raise InputError(f"{shard.place}: line {number:,} is no JSON object.", 'A line is a document: {"text": "..."}.')
    return row


def _from_json(shard: Shard, found: list[tuple[int, dict[str, Any]]], columns: Columns) -> pl.DataFrame:
    texts = (columns.text,) if columns.text else TEXT_COLUMNS
    urls = (columns.url,) if columns.url else URL_COLUMNS
    taken = {
        "url": pl.Series([_text(shard, number, row, urls) for number, row in found], dtype=pl.String),
        "text": pl.Series([_text(shard, number, row, texts) for number, row in found], dtype=pl.String),
    }
    for name, (_, dtype) in METADATA.items():
        if any(name in row for _, row in found):
            plain = _as_number if dtype == pl.Float64 else _as_texts
            taken[name] = pl.Series([plain(row.get(name)) for _, row in found], dtype=dtype)
    return _shaped(pl.DataFrame(taken), "text", "url")


def _text(shard: Shard, number: int, row: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """Return the text of the first of these columns that a row has. Raises InputError where it is something else."""
    name = next((name for name in names if name in row), None)
    value = None if name is None else row[name]
    if value is None:
        return None
    if not isinstance(value, str):
        kind = {dict: "an object", list: "a list", bool: "a boolean"}.get(type(value), "a number")
        raise InputError(f"{shard.place}: line {number:,}: {name!r} is {kind}, not text.", _HINT)
    if len(value) > LONGEST_TEXT // 4 and len(value.encode("utf-8", "surrogatepass")) > LONGEST_TEXT:
        raise InputError(f"{shard.place}: line {number:,}: {name!r} is {_TOO_LONG}.", _SPLIT)
    return _whole(value)


def _whole(text: str) -> str:
    """Return a text in which half of a surrogate pair, which is not a character, is a replacement character."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _as_number(value: Any) -> float | None:
    return value if isinstance(value, float) else None


def _as_texts(value: Any) -> list[str] | None:
    is_list = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return [_whole(each) for each in value] if is_list else None


def _paragraphs(shard: Shard, lines: Iterable[str], columns: Columns) -> Iterator[pl.DataFrame]:
    if columns.text or columns.url:
        raise InputError(f"{shard.place}: a text file has no columns.", "Leave out --text-column and --url-column.")
    texts: list[str] = []
    paragraph: list[str] = []
    size = held = 0
    for line in lines:
        if line.strip():
            paragraph.append(line)
            held += len(line)
        if paragraph and (not line.strip() or len(paragraph) == LINES or held >= PART):
            texts.append("".join(paragraph))
            paragraph, size, held = [], size + held, 0
        if len(texts) == _ROWS or size >= PART:
            yield _of_texts(texts)
            texts, size = [], 0
    texts += ["".join(paragraph)] if paragraph else []
    if texts:
        yield _of_texts(texts)


def _of_texts(texts: list[str]) -> pl.DataFrame:
    return _shaped(pl.DataFrame({"text": texts}), "text", None)


def _choose(shard: Shard, names: list[str], columns: Columns) -> tuple[str, str | None]:
    """Return the columns of text and address. Raises InputError."""
    shown = ", ".join([name[:_NAME] for name in names[:_NAMES]] + ["..."] * (len(names) > _NAMES))
    for asked, flag in ((columns.text, "--text-column"), (columns.url, "--url-column")):
        if asked and asked not in names:
            raise InputError(f"{shard.place}: has no column {asked!r} ({flag}).", f"It has: {shown}.")
    text = columns.text or next((name for name in TEXT_COLUMNS if name in names), None)
    if text is None:
        raise InputError(
            f"{shard.place}: has no column {' or '.join(TEXT_COLUMNS)}.", f"It has {shown}: use --text-column."
        )
    return text, columns.url or next((name for name in URL_COLUMNS if name in names), None)


def _shaped(frame: pl.DataFrame, text: str, url: str | None) -> pl.DataFrame:
    return frame.select(
        (pl.col(url) if url else pl.lit(None, pl.String)).alias("url"),
        pl.col(text).alias("text"),
        *(_metadata(frame, name) for name in METADATA),
    )


def _metadata(frame: pl.DataFrame, name: str) -> pl.Expr:
    column, dtype = METADATA[name]
    known = name in frame.columns
    if known and dtype == pl.Float64 and frame.schema[name].is_numeric():
        value = pl.col(name).cast(pl.Float64)
        value = pl.when(value.is_finite()).then(value)
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
    """Name each document by its shard and its number in it. Raises InputError for one that is too long."""
    begin = 0
    for frame in frames:
        sizes = frame["text"].str.len_bytes().fill_null(0)
        if (sizes > LONGEST_TEXT).any():
            at = begin + int((sizes > LONGEST_TEXT).arg_max() or 0) + 1
            raise InputError(f"{shard.place}: document {at:,} is {_TOO_LONG}.", _SPLIT)
        number = pl.int_range(begin, begin + len(frame), dtype=pl.Int64, eager=True).cast(pl.String)
        yield frame.with_columns(doc=shard.name + "#" + number)
        begin += len(frame)
