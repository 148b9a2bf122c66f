"""Documents from files of Parquet, JSON, CSV or plain text, a few megabytes at a time. IO.

The content of a file is not trusted: whatever it is, it is read or ends in an InputError. All functions but
`read_rows` use bounded memory.
"""

import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lrldata.errors import InputError, LrlError, first_line
from lrldata.network import network_errors
from lrldata.normalize import normalized
from lrldata.web import fields
from lrldata.web.decoded import LONGEST_LINE, blocks_of, lines_of
from lrldata.web.fields import SPLIT, TOO_LONG, as_number, as_texts, parse_line, text_of
from lrldata.web.inputs import OFFICE, TABLES, ending_of, type_of
from lrldata.web.marked import lines_of_marked
from lrldata.web.office import lines_of_archive
from lrldata.web.packed import unpacked
from lrldata.web.parquet import ColumnError, is_text, read_frames
from lrldata.web.plain import PART, ROWS, paragraphs
from lrldata.web.shards import Columns, Shard, find_shards
from lrldata.web.tables import Row, read_csv, read_json

__all__ = ["Columns", "Shard", "find_shards", "read_parts", "read_rows", "read_small"]

TEXT_COLUMNS = ("content", "text", "sentence")  # GlotCC's, the usual one, and Common Voice's
_SENTENCE = re.compile(r"^\d+$|\w\W+\w+\W+\w|[.!?।။።]$")  # a sentence, where a header should be
URL_COLUMNS = ("warc-target-uri", "url")
METADATA: Mapping[str, tuple[str, pl.DataType]] = {  # GlotCC's metadata of a document, and its name and type here
    "quality-warnings": ("warnings", pl.List(pl.String())),
    "categories": ("categories", pl.List(pl.String())),
    "identification-consistency": ("consistency", pl.Float64()),
    "script-percentage": ("script_share", pl.Float64()),
}
_NAMES, _NAME = 20, 50  # columns that an error lists, and characters of their names
_UNREADABLE = (
    pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, zlib.error, lzma.LZMAError, OSError,
    EOFError, ValueError, TypeError, OverflowError, RecursionError,
)  # fmt: skip


def read_parts(shard: Shard, columns: Columns) -> Iterator[pl.DataFrame]:
    """Yield the documents of a shard, a few megabytes of text at a time, cut at the same places each time.

    Columns: doc (a unique id), url and text (null if there is none), those of METADATA (null if the shard lacks them),
    and column, the name of the text's column (null if there is none). In a plain text file, a document is a paragraph
    (lines up to an empty one, at most LINES) or a line. Text is normalized. Raises InputError if the file cannot be
    read, or if no row has the column.
    """
    with _as_input_error(shard):
        yield from _numbered(shard, grouped(_rows(shard, columns)))


def read_small(
    shards: Iterable[Shard], columns: Columns, skip: Callable[[Shard, InputError], None]
) -> Iterator[pl.DataFrame]:
    """Yield the documents of small files, as `read_parts` does; a bad file is passed to `skip` and left out entirely.

    The texts of plain files come in one frame: one frame per file would take many times as long as reading it.
    """
    names: list[str] = []
    texts: list[str] = []
    for shard in shards:
        try:
            if type_of(shard.name) not in TABLES:
                with _as_input_error(shard):
                    file_texts = [text for batch in _texts(shard, columns) for text in batch]
                names += [f"{shard.name}#{number}" for number in range(len(file_texts))]
                texts += file_texts
                continue
            frames = list(read_parts(shard, columns))
        except InputError as error:
            skip(shard, error)
            continue
        yield _of_texts(texts).with_columns(doc=pl.Series(names, dtype=pl.String))
        names, texts = [], []
        yield from frames
    yield _of_texts(texts).with_columns(doc=pl.Series(names, dtype=pl.String))


def read_rows(shard: Shard) -> Iterator[Row]:
    """Yield the rows of a table with all their columns. Raises InputError if the file cannot be read."""
    with _as_input_error(shard), shard.open() as stream:
        if type_of(shard.name) == "parquet":
            for number, values in enumerate(pl.read_parquet(stream).iter_rows(named=True), start=1):
                yield Row(f"row {number:,}", 0, values)
        else:
            yield from _written_rows(shard, stream, None)


@contextmanager
def _as_input_error(shard: Shard) -> Iterator[None]:
    """Turn whatever reading a shard raises into an InputError with the file's name and a hint."""
    try:
        with network_errors(f"{shard.place} cannot be read", "Try again: finished work is kept."):
            yield
    except LrlError:
        raise
    except ColumnError as error:
        raise InputError(
            f"{shard.place}: {error}.",
            "Name another column with --text-column or --url-column, or leave the file out with --skip-bad.",
        ) from error
    except _UNREADABLE as error:
        raise InputError(
            f"{shard.place}: cannot be read ({first_line(error, 150)}).",
            "Repair or remove it, or leave it out with --skip-bad.",
        ) from error


def _rows(shard: Shard, columns: Columns) -> Iterator[pl.DataFrame]:
    kind = type_of(shard.name)
    if kind not in TABLES:
        yield from map(_of_texts, _texts(shard, columns))
        return
    with shard.open() as stream:
        if kind == "parquet":
            yield from _parquet(shard, stream, columns)
            return
        yield from _tables(shard, _written_rows(shard, stream, columns.text), columns)


def _written_rows(shard: Shard, stream: BinaryIO, text_column: str | None) -> Iterator[Row]:
    """Yield the rows of a table that is written as text."""
    _refuse_empty(shard)
    kind = type_of(shard.name)
    if kind == "json":
        return read_json(blocks_of(unpacked(stream, shard.name)), fields.JSON, LONGEST_LINE)
    if kind == "jsonl":
        lines = enumerate(lines_of(shard, unpacked(stream, shard.name)), start=1)
        return (
            Row(f"line {number:,}", len(line), parse_line(shard, number, line))
            for number, line in lines
            if line.strip()
        )

    def reopen() -> Iterator[str]:
        stream.seek(0)
        return lines_of(shard, unpacked(stream, shard.name))

    return read_csv(reopen, LONGEST_LINE, tabs=kind == "tsv", text_column=text_column)


def _texts(shard: Shard, columns: Columns) -> Iterator[list[str]]:
    """Yield the texts of a file that is not a table, some at a time."""
    with shard.open() as stream:
        _refuse_empty(shard)
        yield from paragraphs(shard, _plain_lines(shard, stream), columns)


def _refuse_empty(shard: Shard) -> None:
    if (ending := ending_of(shard.name)) and not shard.size:
        raise EOFError(f"it is empty, which a {ending} file cannot be")


def _plain_lines(shard: Shard, stream: BinaryIO) -> Iterator[str]:
    """Yield the lines of text of a file that is not a table."""
    kind = str(type_of(shard.name))
    if kind in OFFICE:
        return lines_of_archive(kind, stream)
    lines = lines_of(shard, unpacked(stream, shard.name))
    return lines if kind == "text" else lines_of_marked(kind, lines)


def _parquet(shard: Shard, stream: BinaryIO, columns: Columns) -> Iterator[pl.DataFrame]:
    file = pq.ParquetFile(stream)
    schema: pa.Schema = file.schema_arrow
    text, url = _choose(shard, schema.names, columns)
    others = [] if columns.text else [name for name in TEXT_COLUMNS if name != text and schema.names.count(name) == 1]
    texts = [text, *(name for name in others if is_text(schema.field(name).type))]
    for frame in read_frames(file, stream, list(dict.fromkeys([*texts, *([url] if url else [])])), list(METADATA)):
        yield _shaped(frame, texts, url)


def _tables(shard: Shard, rows: Iterable[Row], columns: Columns) -> Iterator[pl.DataFrame]:
    """Yield the rows; each is read by the columns that it has itself, so that its result does not depend on others.

    Raises InputError at the end if no row has a column of text, or a column that was requested.
    """
    batch: list[Row] = []
    names: dict[str, None] = {}
    relevant = [name for name in (columns.text, columns.url, *TEXT_COLUMNS) if name]
    size = 0
    for row in rows:
        names |= dict.fromkeys(name for name in relevant if name in row.values)
        if len(names) < _NAMES:
            names |= dict.fromkeys(name[:_NAME] for name in islice(row.values, _NAMES) if name not in TEXT_COLUMNS)
        batch.append(row)
        size += row.size
        if size >= PART or len(batch) == ROWS:
            yield _from_rows(shard, batch, columns)
            batch, size = [], 0
    if batch:
        yield _from_rows(shard, batch, columns)
    if names:
        _choose(shard, list(names), columns)


def _from_rows(shard: Shard, rows: list[Row], columns: Columns) -> pl.DataFrame:
    texts = (columns.text,) if columns.text else TEXT_COLUMNS
    urls = (columns.url,) if columns.url else URL_COLUMNS
    texts_read = [text_of(shard, row, texts) for row in rows]
    data = {
        "url": pl.Series([text_of(shard, row, urls)[0] for row in rows], dtype=pl.String),
        "text": pl.Series([text for text, _ in texts_read], dtype=pl.String),
        "column": pl.Series([name for _, name in texts_read], dtype=pl.String),
    }
    for name, (_, dtype) in METADATA.items():
        if any(name in row.values for row in rows):
            convert = as_number if dtype == pl.Float64 else as_texts
            data[name] = pl.Series([convert(row.values.get(name)) for row in rows], dtype=dtype)
    frame = pl.DataFrame(data)
    return frame.select("url", normalized(pl.col("text")), "column", *(_metadata(frame, name) for name in METADATA))


def _of_texts(texts: list[str]) -> pl.DataFrame:
    return _shaped(pl.DataFrame({"text": texts}, {"text": pl.String}), ["text"], None).with_columns(
        column=pl.lit(None, pl.String)
    )


def _choose(shard: Shard, names: list[str], columns: Columns) -> tuple[str, str | None]:
    """Return the columns of the text and the address. Raises InputError."""
    shown = ", ".join([name[:_NAME] for name in names[:_NAMES]] + ["..."] * (len(names) > _NAMES))
    for requested, flag in ((columns.text, "--text-column"), (columns.url, "--url-column")):
        if requested and requested not in names:
            raise InputError(f"{shard.place}: has no column {requested!r} ({flag}).", f"It has: {shown}.")
    text = columns.text or next((name for name in TEXT_COLUMNS if name in names), None)
    if text is None:
        hint = f"It has {shown}: use --text-column."
        if type_of(shard.name) in ("csv", "tsv") and any(map(_SENTENCE.search, names)):
            hint = f"{hint} If this is a line of text and not a header, give the number of the column, from 1."
        raise InputError(f"{shard.place}: has no column {' or '.join(TEXT_COLUMNS)}.", hint)
    return text, columns.url or next((name for name in URL_COLUMNS if name in names), None)


def _shaped(frame: pl.DataFrame, texts: Sequence[str], url: str | None) -> pl.DataFrame:
    """Convert the columns of a file to those of documents; the text of a row is that of the first column with one."""
    # The first column that is not blank, or else the first that is not null.
    given = [(name, pl.col(name).str.contains(r"\S")) for name in texts] if len(texts) > 1 else []
    given += [(name, pl.col(name).is_not_null()) for name in texts]
    return frame.select(
        (pl.col(url) if url else pl.lit(None, pl.String)).alias("url"),
        normalized(pl.coalesce(pl.when(is_given).then(name) for name, is_given in given)).alias("text"),
        pl.coalesce(pl.when(is_given).then(pl.lit(name)) for name, is_given in given).alias("column"),
        *(_metadata(frame, name) for name in METADATA),
    )


def _metadata(frame: pl.DataFrame, name: str) -> pl.Expr:
    column, dtype = METADATA[name]
    available = name in frame.columns
    if available and dtype == pl.Float64 and frame.schema[name].is_numeric():
        value = pl.col(name).cast(pl.Float64)
        value = pl.when(value.is_finite()).then(value)
        return pl.when(value > 1).then(value / 100).otherwise(value).alias(column)  # a share, or a percentage
    if available and frame.schema[name] == dtype:
        return pl.col(name).alias(column)
    return pl.lit(None, dtype).alias(column)


def grouped(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Join or cut frames of documents, so that each reaches PART bytes of text with its last document."""
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
    """Name each document by its shard and its number there. Raises InputError if one is too long."""
    begin = 0
    for frame in frames:
        sizes = frame["text"].str.len_bytes().fill_null(0)
        if (sizes > fields.LONGEST_TEXT).any():
            at = begin + int((sizes > fields.LONGEST_TEXT).arg_max() or 0) + 1
            raise InputError(f"{shard.place}: document {at:,} is {TOO_LONG}.", SPLIT)
        number = pl.int_range(begin, begin + len(frame), dtype=pl.Int64, eager=True).cast(pl.String)
        yield frame.with_columns(doc=shard.name + "#" + number)
        begin += len(frame)
