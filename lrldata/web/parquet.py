"""Columns of a Parquet file as Polars frames, checked on the way: a file may claim anything. IO.

Polars trusts what Arrow hands it: text that is not UTF-8 corrupts it, and types that it lacks cause a panic. Also, a
few kilobytes of Parquet can stand for gigabytes, as a dictionary or a compressed page stores a value once for many
rows.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 500
AT_ONCE = 128_000_000  # bytes that a batch may take
_RATIO = 100  # expansion from which on more than AT_ONCE is not text, but an attempt to fill the memory
_PROBE = 1 << 16  # bytes to read at a time if only the beginning is needed


class ColumnError(ValueError):
    """A column that cannot be read; the message names it."""


def read_frames(
    file: pq.ParquetFile, stream: BinaryIO, texts: Sequence[str], others: Sequence[str]
) -> Iterator[pl.DataFrame]:
    """Yield the rows in batches: the columns `texts` as text, and those of `others` that are numbers or lists of text.

    Raises ColumnError for a column that is not text or cannot be read, ValueError for a file made to fill the memory,
    and whatever Arrow raises.
    """
    schema: pa.Schema = file.schema_arrow
    for name in texts:
        if schema.names.count(name) > 1:
            raise ColumnError(f"column {name!r} occurs {schema.names.count(name)} times")
        if not is_text(schema.field(name).type):
            raise ColumnError(f"column {name!r} is {schema.field(name).type}, not text")
    available = [name for name in others if name not in texts and schema.names.count(name) == 1]
    selected = [*texts, *(name for name in available if _is_plain(schema.field(name).type))]
    for group in range(file.num_row_groups):
        rows = _rows_at_once(file, stream, group, texts)
        for batch in file.iter_batches(rows, row_groups=[group], columns=selected, use_threads=False):
            columns = [_series(name, batch.column(name), pl.String if name in texts else None) for name in selected]
            yield pl.DataFrame(columns)


def _series(name: str, column: pa.Array, dtype: type[pl.String] | None) -> pl.Series:
    try:
        column.validate(full=True)  # Polars does not do this itself
        series = pl.Series(name, pl.from_arrow(column))
        return series if dtype is None else series.cast(dtype)
    except (Exception, pl.exceptions.PanicException) as error:
        raise ColumnError(f"column {name!r} cannot be read ({str(error)[:100]})") from error


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type is text, bytes that may be text, or null."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests: list[Callable[[Any], bool]] = [
        pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
        pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_null,
    ]  # fmt: skip
    return any(test(kind) for test in tests)


def _is_plain(kind: pa.DataType) -> bool:
    """Return whether a type is a number or a list of text: metadata of documents is one or the other."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return bool(pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type))
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _rows_at_once(file: pq.ParquetFile, stream: BinaryIO, group: int, texts: Sequence[str]) -> int:
    """Return how many rows a batch may have, given the longest value that its rows can repeat.

    This only uses calls that raise on a damaged file: asking Arrow to describe a damaged column ends the process.
    """
    import pyarrow.compute as pc  # noqa: PLC0415 -- slow, and only for Parquet

    claimed, size = file.metadata.row_group(group).total_byte_size, stream.seek(0, io.SEEK_END)
    if claimed > max(AT_ONCE, _RATIO * size):
        raise ValueError(f"its {size:,} bytes would expand to {claimed:,}")
    probe = pq.ParquetFile(stream, metadata=file.metadata, read_dictionary=list(texts), buffer_size=_PROBE)
    longest = 1
    for batch in probe.iter_batches(1, row_groups=[group], columns=list(texts), use_threads=False):
        dictionaries = [column.dictionary for column in batch.columns if isinstance(column, pa.DictionaryArray)]
        longest = max([longest, *(pc.max(pc.binary_length(values)).as_py() or 0 for values in dictionaries)])
        break
    return max(1, min(ROWS, AT_ONCE // longest))
