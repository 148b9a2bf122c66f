"""Documents of a plain text file: paragraphs, or lines. Pure."""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from lrldata.errors import InputError
from lrldata.web.shapes import FEWEST, LOOKED_AT, ShapeError, cut, shape_of
from lrldata.web.shards import Columns, Shard

PART = 4_000_000  # bytes of text at which a part ends
LINES = 100  # of a plain-text paragraph: a longer one is a list of sentences, and continues in another document
ROWS = 500  # texts at a time
_LINE_END = re.compile(r"[\u2028\u2029]")  # in addition to those of LINE
LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")  # with its line end


def paragraphs(shard: Shard, lines: Iterable[str], columns: Columns) -> Iterator[list[str]]:
    """Yield the documents of a text file: its paragraphs, or with `columns.lines` its lines. Raises InputError.

    Numbers at the beginning of all lines are removed, and lines of a paragraph that were wrapped at a width are joined.
    """
    texts: list[str] = []
    paragraph: list[str] = []
    first, lines = _peeked(lines)
    _refuse_table(shard, first)
    try:
        shape = shape_of(first)
    except ShapeError as error:
        raise InputError(f"{shard.place}: {error}.", f"{error.hint} Or leave it out with --skip-bad.") from error
    longest = 1 if columns.lines else LINES
    size = paragraph_size = 0
    for line in _split_lines(lines):
        if line.strip():
            paragraph.append(shape.bare(line))
            paragraph_size += len(line)
        if paragraph and (not line.strip() or len(paragraph) == longest or paragraph_size >= PART):
            texts.append(shape.joined(paragraph))
            paragraph, size, paragraph_size = [], size + paragraph_size, 0
        if len(texts) == ROWS or size >= PART:
            yield texts
            texts, size = [], 0
    texts += [shape.joined(paragraph)] if paragraph else []
    if texts:
        yield texts


def _peeked(lines: Iterable[str]) -> tuple[list[str], Iterator[str]]:
    """Return the first lines, and an iterator over all lines."""
    rest = iter(lines)
    first = list(islice(rest, LOOKED_AT))
    return first, chain(first, rest)


def column_of_text(lines: Sequence[str]) -> int:
    """Return the number, from 1, of the longest column if all lines have the same number of tabs; 0 without tabs."""
    rows = [line.rstrip("\r\n").split("\t") for line in lines[:LOOKED_AT] if line.strip()]
    count = len(rows[0]) if rows else 1
    if count < 2 or len(rows) < FEWEST or any(len(row) != count for row in rows):
        return 0
    if sum(any(row[at].strip() for row in rows) for at in range(count)) < 2:
        return 0  # indented text, or text with a tab at the end of each line
    return max(range(count), key=lambda at: sum(len(row[at]) for row in rows)) + 1


def _refuse_table(shard: Shard, lines: Sequence[str]) -> None:
    """Raise InputError if lines have columns, such as a number and a sentence that would become one sentence."""
    column = column_of_text(lines)
    if not column:
        return
    tabs = next(line for line in lines if line.strip()).count("\t")
    name = shard.place.rsplit("/", maxsplit=1)[-1]
    raise InputError(
        f"{shard.place}: is a table: every line has {tabs:,} tab{'s' * (tabs > 1)}.",
        f"Keep only the text, e.g. with `cut -f{column} {shlex.quote(name)} > text.txt`, or rename the file to .tsv "
        f"and add a header line or use --text-column {column}.",
    )


def _split_lines(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines, split also at Unicode's own line ends; a line as long as a book is cut into parts."""
    for line in lines:
        if "\u2028" in line or "\u2029" in line:
            yield from LINE.findall(_LINE_END.sub("\n", line))
        else:
            yield from cut(line)
