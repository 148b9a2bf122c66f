"""Read the items of a task from one file: the formats that the sets are published in, and tables. IO.

Files are UTF-8; the extension determines the format:

    .tsv .txt .conll   topic: a header index_id, category, text, then a row per item; quoted as in CSV
                       sentiment: text TAB label
                       ner: token TAB tag, with an empty line between sentences
    TABLES             a row per item, with a column of texts and one of labels; for ner, lists of tokens and of tags
"""

import csv
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lrldata.encoding import undecodable
from lrldata.errors import InputError
from lrldata.normalize import normalize
from lrldata.web.read import find_shards, read_rows
from lrldata.web.tables import unquoted_column
from lrltrain.evaluation.columns import Table, class_names, items_of
from lrltrain.evaluation.items import LABELS, Items, Task
from lrltrain.evaluation.own_labels import names_of, read_names, read_texts

LINES = (".tsv", ".txt", ".conll")
TABLES = (".csv", ".jsonl", ".json", ".parquet")
LONGEST_FIELD = 1 << 30  # characters; by default, the CSV reader stops at 131,072
HEADER = ["index_id", "category", "text"]
HINTS = {
    "topic": "A topic file has the header index_id, category, text (as in SIB-200), and one row per item. A file in "
    "the format of MasakhaNEWS needs --labels data.",
    "sentiment": "A sentiment file has text TAB positive or negative on each line; tables have columns text and label.",
    "ner": "A file for ner has token TAB tag on each line, and an empty line between sentences. A file in the "
    "format of CoNLL needs --labels data.",
}


def read_items(task: Task, file: Path, *, own_labels: bool = False) -> Items:
    """Read the items of a file. Raises InputError.

    With `own_labels`, all labels are accepted, in any format of own_labels.py.
    """
    if file.suffix in TABLES:
        return _table(task, file, own_labels=own_labels)
    if own_labels:
        return read_names(file, _rows(file)) if task == "ner" else read_texts(task, file, _rows(file))
    return {"topic": _topic, "sentiment": _sentiment, "ner": _ner}[task](file)


def _table(task: Task, file: Path, *, own_labels: bool) -> Items:
    """Read a table; an empty field is null."""
    (shard,) = find_shards(file, None)
    try:
        rows = list(read_rows(shard))
    except InputError as error:
        raise InputError(error.message, "Repair it, or save it in another format.") from error
    if not rows:
        raise InputError(f"{file}: contains no items.", HINTS[task])
    names = list(dict.fromkeys(name for row in rows for name in row.values))

    def column(name: str) -> list[Any]:
        values = (row.values.get(name) for row in rows)
        return [None if value == "" else value for value in values]

    def names_of(name: str) -> list[str] | None:
        return class_names(_features(file).get(name)) if file.suffix == ".parquet" else None

    table = Table(str(file), names, column, lambda number: rows[number].where, names_of)
    return items_of(task, table, own_labels=own_labels)


def _features(file: Path) -> Any:
    """Return the types of the columns of a Parquet file, as `datasets` stores them there."""
    from datasets import Features  # noqa: PLC0415 -- takes half a second; other files do not need it

    return Features.from_arrow_schema(pq.read_schema(file))


def _topic(file: Path) -> Items:
    rows = list(_unquoted(file))
    if not rows or rows[0][1] != HEADER:
        header = ", ".join(rows[0][1]) if rows else "nothing"
        raise InputError(f"{file}: line 1 has {header}, not {', '.join(HEADER)}.", HINTS["topic"])
    pairs = [(text, label) for _, (_, label, text) in _checked(file, rows[1:], "topic", 3, 1)]
    return _sentences(file, pairs, "topic")


def _sentiment(file: Path) -> Items:
    pairs = [(text, label) for _, (text, label) in _checked(file, _rows(file), "sentiment", 2, 1)]
    texts = unquoted_column([text for text, _ in pairs])
    return _sentences(file, list(zip(texts, (label for _, label in pairs), strict=True)), "sentiment")


def _sentences(file: Path, pairs: list[tuple[str, str]], task: Task) -> Items:
    if not pairs:
        raise InputError(f"{file}: contains no items.", HINTS[task])
    return Items(tuple(text for text, _ in pairs), tuple(label for _, label in pairs))


def _ner(file: Path) -> Items:
    sentences: list[list[list[str]]] = [[]]
    for _, row in chain(_checked(file, _rows(file), "ner", 2, 1, gaps=True), [(0, [""])]):
        if row == [""]:
            sentences.append([])
        else:
            sentences[-1].append(row)
    return names_of(file, [[(word, tag) for word, tag in sentence] for sentence in sentences])


def _checked(
    file: Path, rows: Iterable[tuple[int, list[str]]], task: Task, columns: int, label: int, *, gaps: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows with the right columns and a known label; empty ones are skipped, or kept with `gaps`."""
    for number, row in rows:
        if row == [""]:
            if gaps:
                yield number, row
            continue
        if len(row) != columns:
            raise InputError(f"{file}: line {number} has {len(row)} columns, not {columns}.", HINTS[task])
        if row[label] not in LABELS[task]:
            accepted = ", ".join(LABELS[task])
            hint = f"Known labels: {accepted}. Use --labels data to accept the labels of the data."
            raise InputError(f"{file}: line {number} has the unknown label {row[label]!r}.", hint)
        if not all(row):
            raise InputError(f"{file}: line {number} has an empty column.", HINTS[task])
        yield number, row


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the columns of each line, normalized; a blank line is one empty column."""
    try:
        lines = file.read_text("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        with file.open("rb") as raw:
            raise undecodable(file, raw) from error
    for number, line in enumerate(lines, 1):
        columns = [normalize(column).replace("\n", " ").strip() for column in line.split("\t")]
        yield number, columns if any(columns) else [""]


def _unquoted(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows as SIB-200 writes them: a text that contains a quote is quoted, and its own quotes are doubled."""
    csv.field_size_limit(LONGEST_FIELD)
    for number, row in _rows(file):
        yield number, next(csv.reader(["\t".join(row)], delimiter="\t")) if row != [""] else row
