"""Read the edges of a dump or a conceptnet-lite database into columns. IO.

There are two ways to read a dump. The fast way is a single streaming pass in which everything that cannot be parsed
becomes null. Only if it finds a null, or a line that breaks the format, is the dump read again in the careful way:
line by line, recording each bad line and writing the good ones to a clean copy.
"""

import gzip
import json
import math
import re
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, cast

import polars as pl
from polars.io.plugins import register_io_source

from lrldata.conceptnet.relations import EXTERNAL_URL, relations
from lrldata.conceptnet.uri import edge_uri, language_of
from lrldata.errors import InputError

RAW_SCHEMA = dict.fromkeys(("uri", "relation", "start", "end", "metadata"), pl.String)
GZIP_MAGIC = b"\x1f\x8b"
LONGEST_LINE = 16 << 20  # bytes, without the line end
TAIL = 20  # characters: `"weight": `, a number of up to nine such as `2.828` or `12.345678`, and the brace
_TOO_LONG = f"longer than {LONGEST_LINE >> 20} MiB"
_REASON = 200  # characters: some reasons quote the text that they reject
_LONGEST_NAME = 1_000  # characters of dataset and licence together: escaping them must not make a line too long
_HEAD_END = '", "sources": ['
_TAIL = re.compile(r'"weight": (-?[0-9]+(?:\.[0-9]+)?)\}$')
_DATABASE_BATCH = 100_000


def scan_dump(path: Path) -> pl.LazyFrame:
    """Scan a dump (.csv or .csv.gz) as `RAW_SCHEMA`. It is not quoted CSV: fields may contain quote characters."""
    return pl.scan_csv(path, separator="\t", has_header=False, quote_char=None, schema=RAW_SCHEMA, glob=False)


def parse_columns(raw: pl.LazyFrame, *, origin: bool = True) -> pl.LazyFrame:
    """Turn raw columns into those of schema.INDEX. Values that cannot be parsed become null. Pure.

    Two parts of the JSON are kept as text: `head`, up to the licence (left out unless `origin`), and `tail`, the
    weight. Both have few distinct values, and each value is parsed once when a language is built: parsing 200 bytes of
    JSON per edge for three fields would take longer than all the rest. The node URIs contain terms and senses, and the
    edge URI can be rebuilt from them.
    """
    metadata = pl.col("metadata")
    size = pl.sum_horizontal(pl.col(RAW_SCHEMA.keys()).str.len_bytes().cast(pl.Int64)) + len(RAW_SCHEMA) - 1
    columns = {
        "start_lang": pl.when(~pl.col("uri").str.contains("\0", literal=True)).then(language_of(pl.col("start"))),
        "end_lang": language_of(pl.col("end")),
        "tail": pl.when(size <= LONGEST_LINE).then(metadata.str.tail(TAIL)),
    }
    if origin:
        columns["head"] = metadata.str.head(metadata.str.find(_HEAD_END, literal=True))
    return raw.select("relation", "start", "end", **columns)


def parse_head(text: str) -> tuple[str, str] | None:
    """Return the dataset and licence in the head of an edge's JSON, or None if they are missing."""
    try:
        return _origin(json.loads(text + '"}'))
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def _origin(fields: Any) -> tuple[str, str]:
    """Return the dataset and licence. Raises KeyError, TypeError or ValueError if they are not valid text."""
    dataset, licence = fields["dataset"], fields["license"]
    (dataset + licence).encode()  # lone surrogates are not text
    if len(dataset + licence) > _LONGEST_NAME:
        raise ValueError(f"longer than {_LONGEST_NAME} characters")
    return dataset, licence


def parse_tail(text: str) -> float | None:
    """Return the weight in the tail of an edge's JSON, or None if it is missing."""
    match = _TAIL.search(text)
    return float(match[1]) if match else None


def sniff(path: Path) -> None:
    """Raise InputError if a file is clearly not a dump, with the file's name and what it is instead."""
    with _open(path) as stream:
        try:
            head = stream.read(1 << 16)
            if head and b"\n" not in head:  # Polars would hold the whole line in memory, however long it is
                head += stream.readline(LONGEST_LINE)
        except (EOFError, OSError, zlib.error) as error:
            raise InputError(f"{path}: damaged gzip file ({error}).", "Download it again.") from error
    if len(head) > LONGEST_LINE:
        raise InputError(f"{path}, line 1: {_TOO_LONG}.", "Is this a ConceptNet dump?")
    head = head[: 1 << 16].lstrip().lower()
    if not head:
        raise InputError(f"{path}: the file is empty.", "Give a ConceptNet dump with --dump, or try --sample.")
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise InputError(f"{path}: this is an HTML or XML page, not the dump.", "Open it to see what the server sent.")
    if b"\t" not in head and not head.startswith(b"/a/"):
        raise InputError(
            f"{path}, line 1: not in ConceptNet's assertions format (five tab-separated columns).",
            "Give conceptnet-assertions-5.7.0.csv.gz or a file in its format.",
        )


def is_gzip(path: Path) -> bool:
    """Return whether a file begins with gzip's magic number."""
    with path.open("rb") as stream:
        return stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC


def _open(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path, "rb")) if is_gzip(path) else path.open("rb")


def _lines(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines with their line ends. A line that is too long is cut off just beyond the limit."""
    try:
        while line := stream.readline(LONGEST_LINE + len(b"\r\n")):
            yield line
            while line and not line.endswith(b"\n"):
                line = stream.readline(LONGEST_LINE)
    except zlib.error as error:
        raise InputError(f"{path}: damaged gzip file ({error}).", "Download it again.") from error


class BadLineError(ValueError):
    """A line is not an edge; the message is the reason."""


_NODE = re.compile(r"/c/[^/]+/")


def check_line(line: bytes) -> tuple[str, str, str, str, str]:
    """Split a line (without its line end) into its columns. Raises BadLineError with the reason.

    Returns uri, relation, start, end and metadata, with the metadata in the order that `parse_columns` expects.
    """
    if len(line) > LONGEST_LINE:
        raise BadLineError(_TOO_LONG)
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadLineError(f"invalid UTF-8 at byte {error.start + 1}") from error
    columns = text.split("\t")
    if len(columns) != len(RAW_SCHEMA):
        raise BadLineError(f"{len(columns)} columns instead of {len(RAW_SCHEMA)}")
    uri, relation, start, end, metadata = columns
    if not uri:
        raise BadLineError("no edge URI in the first column")
    if "\0" in uri:
        raise BadLineError("NUL byte")
    if not relation.startswith("/r/") or len(relation) <= len("/r/"):
        raise BadLineError("the second column is not a relation (/r/...)")
    if not _NODE.match(start):
        raise BadLineError("the start is not a node (/c/LANG/TERM)")
    if relation != EXTERNAL_URL and not _NODE.match(end):
        raise BadLineError("the end is not a node (/c/LANG/TERM)")
    return uri, relation, start, end, _readable(metadata)


def _readable(metadata: str) -> str:
    """Return the metadata in the form that `parse_columns` reads, rewritten only if it has another form.

    Everything that the fast way accepts is accepted here too, so that bad lines never cause others to be rejected.
    """
    cut = metadata.find(_HEAD_END)
    if (
        cut >= 0
        and metadata[:cut].isascii()
        and parse_head(metadata[:cut])
        and parse_tail(metadata[-TAIL:]) is not None
    ):
        return metadata
    try:
        fields = json.loads(metadata)
        dataset, licence = _origin(fields)
        weight = float(fields["weight"])
    except json.JSONDecodeError as error:
        raise BadLineError(f"invalid JSON at character {error.pos + 1}") from error
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadLineError(f"the JSON lacks dataset, license or weight ({type(error).__name__}: {error})") from error
    if not math.isfinite(weight):
        raise BadLineError(f"the weight is {weight}")
    if not _fits(weight):
        weight = round(weight, 3)  # the precision of ConceptNet 5.7
    if not _fits(weight):
        raise BadLineError(f"the weight is {weight}")
    return json.dumps({"dataset": dataset, "license": licence, "sources": [], "weight": weight})


def _fits(weight: float) -> bool:
    return "e" not in repr(weight) and len(f'"weight": {weight!r}}}') <= TAIL


def separate_bad_lines(path: Path, clean: Path, rejects: Path) -> tuple[int, int]:
    """Read a dump line by line: write good lines to `clean` (gzip) and bad ones to `rejects` as number, reason, text.

    Returns the numbers of good and bad lines. Blank lines count as neither.
    """
    good = bad = 0
    with (
        _open(path) as lines,
        gzip.open(clean, "wt", compresslevel=1, encoding="utf-8", newline="\n") as accepted,
        rejects.open("w", encoding="utf-8", newline="\n") as rejected,
    ):
        rejected.write("line\treason\ttext\n")
        for number, line in enumerate(_lines(path, lines), start=1):
            stripped = line.rstrip(b"\r\n")
            if not stripped:
                continue
            try:
                accepted.write("\t".join(check_line(stripped)) + "\n")
                good += 1
            except BadLineError as reason:
                bad += 1
                excerpt = stripped[:500].decode("utf-8", "backslashreplace").replace("\t", "\\t").replace("\0", "\\0")
                rejected.write(f"{number}\t{str(reason)[:_REASON]}\t{excerpt}\n")
    return good, bad


def snake_case(relation: str) -> str:
    """Return a relation's name as conceptnet-lite stores it: `HasA` -> `has_a`, `ExternalURL` -> `external_url`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", relation).lower()


_DATABASE_QUERY = """
SELECT relation.name, '/c/' || sl.name || '/' || sb.text || CASE sc.sense_label WHEN '' THEN '' ELSE '/' || sc.sense_label END,
       CASE WHEN el.name IS NULL THEN eb.text
            ELSE '/c/' || el.name || '/' || eb.text || CASE ec.sense_label WHEN '' THEN '' ELSE '/' || ec.sense_label END END,
       edge.etc
FROM edge JOIN relation ON relation.id = edge.relation_id
JOIN concept sc ON sc.id = edge.start_id JOIN label sb ON sb.id = sc.label_id JOIN language sl ON sl.id = sb.language_id
JOIN concept ec ON ec.id = edge.end_id JOIN label eb ON eb.id = ec.label_id LEFT JOIN language el ON el.id = eb.language_id
ORDER BY edge.id
"""  # noqa: E501 - a query reads best with one join per line


def count_database(path: Path) -> int:
    """Count the edges of a conceptnet-lite database, including those without ends, which `scan_database` skips."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        return int(database.execute("SELECT count(*) FROM edge").fetchone()[0])


def scan_database(path: Path) -> pl.LazyFrame:
    """Scan a conceptnet-lite SQLite database as `RAW_SCHEMA`, in the order of its edges.

    The tables relation(id, name), language(id, name), label(id, text, language_id), concept(id, label_id,
    sense_label) and edge(id, relation_id, start_id, end_id, etc) are those of conceptnet-lite 0.2.
    Raises InputError if the file is not such a database.
    """
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.execute(f"EXPLAIN {_DATABASE_QUERY}")
    except sqlite3.Error as error:
        raise InputError(
            f"{path}: not a conceptnet-lite database ({error}).", "Give the dump itself with --dump instead."
        ) from error
    relation_uris = {snake_case(name): f"/r/{name}" for name in [*relations(), EXTERNAL_URL.removeprefix("/r/")]}

    def batches(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        # Polars may continue the scan on another of its threads, but uses only one at a time.
        with closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        ) as database:
            cursor = database.execute(_DATABASE_QUERY + ("" if n_rows is None else f" LIMIT {n_rows:d}"))
            while rows := cursor.fetchmany(batch_size or _DATABASE_BATCH):
                edges = [
                    (relation_uris.get(name, f"/r/{name}"), start, end, metadata) for name, start, end, metadata in rows
                ]
                lines = [(edge_uri(*edge[:3]), *edge) for edge in edges]
                frame = pl.DataFrame(lines, schema=RAW_SCHEMA, orient="row")
                if predicate is not None:
                    frame = frame.filter(predicate)
                yield frame.select(with_columns) if with_columns else frame

    return register_io_source(batches, schema=RAW_SCHEMA, is_pure=True)
