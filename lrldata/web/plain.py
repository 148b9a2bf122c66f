"""Documents of a plain text file: paragraphs, or lines. Pure."""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from lrldata.errors import InputError
from lrldata.web.shapes import FEWEST, LOOKED_AT, ShapeError, cut, shape_of
from lrldata.web.shards import Columns, Shard

PART = 4_000_000  # bytes of text, from which on a part ends
LINES = 100  # of a paragraph of plain text, from which on another document begins: it is a list of sentences
ROWS = 500  # texts at once
_LINE_END = re.compile(r"[\u2028\u2029]")  # beside those of LINE
LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")  # with its end


def paragraphs(shard: Shard, lines: Iterable[str], columns: Columns) -> Iterator[list[str]]:
    """Yield the documents of a text file: its paragraphs, or with `columns.lines` its lines. Raises InputError.

    Numbers that begin all lines are left out, and lines of a paragraph that were broken at a width are joined.
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
    size = held = 0
    for line in _parted(lines):
        if line.strip():
            paragraph.append(shape.bare(line))
            held += len(line)
        if paragraph and (not line.strip() or len(paragraph) == longest or held >= PART):
            texts.append(shape.joined(paragraph))
            paragraph, size, held = [], size + held, 0
        if len(texts) == ROWS or size >= PART:
            yield texts
            texts, size = [], 0
    texts += [shape.joined(paragraph)] if paragraph else []
    if texts:
        yield texts


def _peeked(lines: Iterable[str]) -> tuple[list[str], Iterator[str]]:
    """Return the first lines, and all of them."""
    rest = iter(lines)
    first = list(islice(rest, LOOKED_AT))
    return first, chain(first, rest)


def column_of_text(lines: Sequence[str]) -> int:
    """Return the number of the longest column, from 1, of lines that all have as many tabs; 0 where they have none."""
    rows = [line.rstrip("\r\n").split("\t") for line in lines[:LOOKED_AT] if line.strip()]
    count = len(rows[0]) if rows else 1
    if count < 2 or len(rows) < FEWEST or any(len(row) != count for row in rows):
        return 0
    if sum(any(row[at].strip() for row in rows) for at in range(count)) < 2:
        return 0  # text that is indented, or has a tab at the end of each line
    return max(range(count), key=lambda at: sum(len(row[at]) for row in rows)) + 1


def _refuse_table(shard: Shard, lines: Sequence[str]) -> None:
    """Raise InputError for a text whose lines have columns, as a number and a sentence: they would be one sentence."""
    column = column_of_text(lines)
    if not column:
        return
    tabs = next(line for line in lines if line.strip()).count("\t")
    name = shard.place.rsplit("/", maxsplit=1)[-1]
    raise InputError(
        f"{shard.place}: is a table: every line has {tabs:,} tab{'s' * (tabs > 1)}.",
        f"Keep the text alone, as with `cut -f{column} {shlex.quote(name)} > text.txt`, or call it .tsv: with a line "
        f"of names, or --text-column {column}.",
    )


def _parted(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines, those within a line that ends of Unicode's own set apart, and parts of one as long as a book."""
    for line in lines:
        if "\u2028" in line or "\u2029" in line:
            yield from LINE.findall(_LINE_END.sub("\n", line))
        else:
            yield from cut(line)
