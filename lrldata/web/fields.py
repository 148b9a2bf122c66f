"""Fields of documents that are stored in rows: parse lines of JSON, return texts and numbers. Pure."""

import json
from collections.abc import Iterable
from typing import Any

from lrldata.errors import InputError
from lrldata.web.shards import Shard
from lrldata.web.tables import Row

LONGEST_TEXT = 16 << 20  # bytes of a document: cleaning it takes fifty times as many
HINT = "Correct it, or leave the file out with --skip-bad."
TOO_LONG, SPLIT = f"longer than {LONGEST_TEXT >> 20} MiB", "Split it, or leave the file out with --skip-bad."
JSON = json.JSONDecoder(parse_int=float)  # Python refuses to parse an integer of a million digits


def parse_line(shard: Shard, number: int, line: str) -> dict[str, Any]:
    """Return the JSON object on a line. Raises InputError."""
    try:
        row = JSON.decode(line)
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(f"{shard.place}: line {number:,} is not valid JSON ({why}).", HINT) from error
    if not isinstance(row, dict):
        raise InputError(
            f"{shard.place}: line {number:,} is not a JSON object.", 'Each line must be a document: {"text": "..."}.'
        )
    return row


def text_of(shard: Shard, row: Row, names: Iterable[str]) -> tuple[str | None, str | None]:
    """Return the text of the first of these columns that has a value in a row, and the column's name.

    Raises InputError if the value is not text.
    """
    given = [name for name in names if row.values.get(name) is not None]
    if not given:
        return None, None
    name = next((name for name in given if not _is_blank(row.values[name])), given[0])
    value = row.values[name]
    if not isinstance(value, str):
        kind = {dict: "an object", list: "a list", bool: "a boolean"}.get(type(value), "a number")
        raise InputError(f"{shard.place}: {row.where}: {name!r} is {kind}, not text.", HINT)
    if len(value) > LONGEST_TEXT // 4 and len(value.encode("utf-8", "surrogatepass")) > LONGEST_TEXT:
        raise InputError(f"{shard.place}: {row.where}: {name!r} is {TOO_LONG}.", SPLIT)
    return _whole(value), name


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()


def _whole(text: str) -> str:
    """Return a text with lone surrogates, which are not characters, replaced by replacement characters."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def as_number(value: Any) -> float | None:
    """Return a value as a number, or None if it is not one."""
    if isinstance(value, str):  # from CSV, which has no numbers
        try:
            return float(value)
        except ValueError:
            return None
    return value if isinstance(value, float) else None


def as_texts(value: Any) -> list[str] | None:
    """Return a value as a list of texts, or None if it is not one."""
    is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return [_whole(item) for item in value] if is_list else None
