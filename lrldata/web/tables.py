"""Rows of files that need not have one row per line: CSV, TSV and JSON arrays; one row at a time. Pure.

A row comes with its position, for messages, and its size in characters. Raises ValueError for a malformed file; the
message says where.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

_DELIMITERS = ",;\t"  # of CSV, as programs in different countries write it
_SEPARATOR = re.compile(r'\ufeff?"?sep=([,;\t|])"?\s*', re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*"')
# Column names that identify a first line as a header.
_USUAL = frozenset("id text sentence content url path title lang language label client_id translation".split())
_SPACE = re.compile(r"[\s\ufeff]*")
_BLOCK = 1 << 16  # characters that are decoded at a time


class Row(NamedTuple):
    """A row by column name, its position in the file, and its size in characters."""

    where: str
    size: int
    values: dict[str, Any]


def read_csv(
    lines: Callable[[], Iterable[str]], longest: int, *, tabs: bool, text_column: str | None = None
) -> Iterator[Row]:
    """Yield the rows of a CSV file; each call of `lines` returns its lines from the beginning.

    In a file with `tabs` (TSV), quotation marks may enclose fields, as in CSV, or be plain text. They are text, except
    around a whole field, if every line has all columns or if they do not pair up in the whole file. If `text_column` is
    a number that is not a name in the first line, columns are named by their numbers, from 1.

    Excel's first line `sep=;` names the delimiter.
    """
    if not tabs:
        yield from _rows(lines(), longest, None, csv.QUOTE_MINIMAL, text_column)
        return
    if _fits_lines(lines()):
        for row in _rows(lines(), longest, "\t", csv.QUOTE_NONE, text_column):
            yield row._replace(values={name: unquoted(field) for name, field in row.values.items()})
        return
    try:
        for row in _rows(lines(), longest, "\t", csv.QUOTE_MINIMAL, text_column):
            if any("\t" in field and "\n" in field for field in row.values.values()):
                raise ValueError(f"{row.where}: quotation marks of several rows")  # noqa: TRY301 -- caught below
    except ValueError:
        yield from _rows(lines(), longest, "\t", csv.QUOTE_NONE, text_column)
    else:
        yield from _rows(lines(), longest, "\t", csv.QUOTE_MINIMAL, text_column)


def _fits_lines(lines: Iterable[str]) -> bool:
    """Return whether all lines have the same number of tabs, at least one: then no field spans several lines."""
    counts = (line.count("\t") for line in lines if line.strip())
    first = next(counts, 0)
    return first > 0 and all(count == first for count in counts)


def unquoted(field: str) -> str:
    """Return a field without the quotation marks around it, and with doubled ones inside made single."""
    inner = field[1:-1]
    around = len(field) > 1 and field[0] == field[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if around else field


def unquoted_column(fields: Sequence[str]) -> list[str]:
    """Return fields without their quotation marks if every field that contains one is quoted; else unchanged.

    Programs that quote a field that contains a quotation mark do so throughout; in a file without quoting, a field may
    begin and end with one by chance.
    """
    plain = [unquoted(field) or field for field in fields]
    is_quoted = all(inner != field for inner, field in zip(plain, fields, strict=True) if '"' in field)
    return plain if is_quoted else list(fields)


def _rows(
    lines: Iterable[str], longest: int, delimiter: str | None, quoting: Any, text_column: str | None
) -> Iterator[Row]:
    csv.field_size_limit(longest)
    feed = _Feed(lines, longest)
    filled = (line for line in feed if line.strip())
    first = next(filled, "")
    if named := _SEPARATOR.fullmatch(first):
        first = next(filled, "")
    if not first:
        return
    feed.back(first)
    chosen = delimiter or (named[1] if named else _delimiter(first))
    reader = csv.reader(feed, delimiter=chosen, strict=True, quoting=quoting)
    header: list[str] | None = None
    is_row = False  # whether the first line is a row, not a header
    try:
        for fields in reader:
            size, feed.held = feed.held, 0
            if header is None:
                header, is_row = _header(fields, text_column)
                if not is_row:
                    continue
            if len(fields) > len(header):
                first = "the first line" if is_row else "the header"
                raise ValueError(f"line {feed.number:,} has {len(fields):,} fields, but {first} has {len(header):,}")
            if fields:
                yield Row(f"line {feed.number:,}", size, dict(zip(header, fields, strict=False)))
    except csv.Error as error:
        raise ValueError(f"line {feed.number:,}: {error}") from error


def _header(fields: list[str], text_column: str | None) -> tuple[list[str], bool]:
    """Return the column names, given the first line, and whether that line is a row itself."""
    names = [unquoted(name.strip()) for name in fields]
    if text_column and text_column.isdecimal() and text_column not in names:
        return list(map(str, range(1, len(fields) + 1))), _USUAL.isdisjoint(map(str.lower, names))
    duplicates = sorted({name for name in names if name and names.count(name) > 1}) if len(names) < 10_000 else []
    if duplicates:
        raise ValueError(f"column {duplicates[0]!r} occurs {names.count(duplicates[0])} times")
    return names, False


def _delimiter(header: str) -> str:
    bare = _QUOTED.sub("", header)
    return max(_DELIMITERS, key=bare.count)


class _Feed(Iterator[str]):
    """An iterator over lines that counts them, and limits the number of characters since the last row ended."""

    def __init__(self, lines: Iterable[str], longest: int) -> None:
        self._lines, self._longest = iter(lines), longest
        self._again: list[str] = []
        self.number = self.held = 0

    def back(self, line: str) -> None:
        """Put a line back, to be returned next."""
        self._again.append(line)

    def __next__(self) -> str:
        if self._again:
            return self._again.pop()
        line = next(self._lines)
        self.number += 1
        self.held += len(line)
        if self.held > self._longest:
            raise ValueError(
                f"the row that ends in line {self.number:,} or later is longer than {self._longest:,} characters"
            )
        return line


def read_json(texts: Iterable[str], decoder: json.JSONDecoder, longest: int) -> Iterator[Row]:
    """Yield the objects of a JSON array, or of a file with one object after another.

    In an array of texts, each text is the `text` of a row.
    """
    buffer = _Buffer(iter(texts), longest)
    opening = buffer.next()
    is_array = opening == "["
    if opening not in ("", "[", "{"):
        raise ValueError('not a JSON array of objects: [{"text": "..."}, ...]')
    buffer.take(int(is_array))
    number = 0
    while (mark := buffer.next()) not in ("", "]"):
        number += 1
        if number > 1 and is_array:
            if mark != ",":
                raise ValueError(f"item {number:,}: a comma is missing before it")
            buffer.take(1)
            mark = buffer.next()
        if mark not in ("{", '"' if is_array else "{"):
            raise ValueError(f"item {number:,} is not an object" if mark else "ends within an array")
        value, size = buffer.value(decoder, f"item {number:,}")
        yield Row(f"item {number:,}", size, {"text": value} if isinstance(value, str) else value)
    if is_array:
        buffer.take(1)
        if mark != "]":
            raise ValueError("ends within an array")
    if buffer.next():
        raise ValueError(f"unexpected content after item {number:,}, where the file should end")


class _Buffer:
    """The part of a JSON file that has been read but not yet decoded."""

    def __init__(self, texts: Iterator[str], longest: int) -> None:
        self._texts, self._longest = texts, longest
        self._text, self._at = "", 0

    def _more(self, least: int) -> bool:
        """Read at least `least` more characters; return whether there were any."""
        parts, count = [], 0
        while count < least and (part := next(self._texts, "")):
            parts.append(part)
            count += len(part)
        self._text, self._at = self._text[self._at :] + "".join(parts), 0
        return count > 0

    def next(self) -> str:
        """Return the next character that is not whitespace, without consuming it; empty at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(_BLOCK):
                return ""

    def take(self, count: int) -> None:
        """Skip `count` characters."""
        self._at += count

    def value(self, decoder: json.JSONDecoder, where: str) -> tuple[Any, int]:
        """Return the value that begins here, and its size; read on until it is complete."""
        while True:
            try:
                value, end = decoder.raw_decode(self._text, self._at)
            except ValueError as error:
                rest = len(self._text) - self._at
                if rest > self._longest:
                    raise ValueError(f"{where} is longer than {self._longest:,} characters") from error
                if not self._more(max(rest, _BLOCK)):
                    raise ValueError(f"{where} is not valid JSON ({error})") from error
            except RecursionError as error:
                raise ValueError(f"{where} is nested too deeply") from error
            else:
                size, self._at = end - self._at, end
                return value, size
