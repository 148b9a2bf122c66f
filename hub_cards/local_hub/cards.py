"""The metadata at the head of a README: read, and checked as far as the Hub refuses commits for it. Pure."""

import datetime as dt
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

import yaml

_LENGTH = 64 << 10  # characters of a README in which its metadata must end; they take a second to read
_VALUES, _DEPTH, _ERRORS = 20_000, 50, 20  # values in the metadata, levels of them, errors that are told
_HEAD = re.compile(r"\s*---[ \t]*\r?\n(.*?)(?:^|\r?\n)---[ \t]*(?:\r?\n|$)", re.DOTALL | re.MULTILINE)
_LANGUAGE = re.compile(r"[a-z]{2,3}|code|multilingual")
_LISTS_OF_TEXT = ("tags", "datasets", "metrics", "task_categories", "task_ids", "source_datasets", "size_categories")


def metadata(readme: str) -> dict[str, Any]:
    """Return the metadata, empty where there is none that can be read."""
    return _metadata(readme[:_LENGTH])


@lru_cache(maxsize=64)
def _metadata(head: str) -> dict[str, Any]:
    try:
        value = _as_json(_read(match[1])) if (match := _HEAD.match(head)) else None
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def check(readme: str) -> tuple[list[str], list[str]]:
    """Return the errors and the warnings of a README's metadata.

    This is a part of what the Hub checks: that it is YAML with text where text belongs, and language codes.
    """
    if not (match := _HEAD.match(readme[:_LENGTH])):
        if readme[:_LENGTH].lstrip().startswith("---") and len(readme) > _LENGTH:
            return [f"The metadata does not end within {_LENGTH} characters"], []
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        value = _read(match[1])
        errors = list(islice(_errors(value), _ERRORS)) if isinstance(value, dict) else []
    except ValueError as error:
        return [f"Invalid YAML: {' '.join(str(error).split())}"], []
    if value is None:
        return [], ["empty or missing yaml metadata in repo card"]
    if not isinstance(value, dict):
        return ["The metadata must be a mapping"], []
    return errors, []


def _read(text: str) -> Any:
    """Return the value of a YAML text. Raises ValueError for any that is wrong, or grows too large or deep."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _extent(node, {}, 0)[0] > _VALUES:
            raise ValueError(f"it has more than {_VALUES} values, with its aliases written out")
        return loader.construct_document(node)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {_DEPTH} levels, or holds itself") from None
    except (yaml.YAMLError, LookupError, AttributeError, TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error  # the library raises any of these for a tag that does not fit


def _extent(node: yaml.Node, known: dict[int, tuple[int, int]], depth: int) -> tuple[int, int]:
    """Return how many values and how many levels a node is when each alias in it is written out."""
    if id(node) not in known and depth <= _DEPTH:
        rows = node.value if isinstance(node, yaml.CollectionNode) else []
        inside = [each for row in rows for each in row] if isinstance(node, yaml.MappingNode) else rows
        extents = [_extent(each, known, depth + 1) for each in inside]
        known[id(node)] = 1 + sum(count for count, _ in extents), 1 + max((levels for _, levels in extents), default=0)
    if depth > _DEPTH or depth + known[id(node)][1] > _DEPTH:
        raise RecursionError
    return known[id(node)]


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _as_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON does not have it
    if isinstance(value, int) and abs(value) >= 1 << 63:
        return hex(value)  # too long, it could not be written in digits
    return value if value is None or isinstance(value, str | int | float) else repr(value)


def _errors(value: dict[Any, Any]) -> Iterator[str]:
    for key in _LISTS_OF_TEXT:
        if not all(isinstance(each, str) for each in _listed(value.get(key))):
            yield f'"{key}" must be a string or a list of strings'
    for code in _listed(value.get("language")):
        if not isinstance(code, str) or not _LANGUAGE.fullmatch(code):
            yield f'"language" must only contain ISO 639-1, 639-2 or 639-3 codes: {_shown(code)}'
    for code in _listed(value.get("license")):
        if not isinstance(code, str) or code != code.lower():
            yield f'"license" must be a lower-case identifier: {_shown(code)}'
    if "model-index" in value and not (
        isinstance(value["model-index"], list)
        and all(isinstance(each, dict) and each.keys() >= {"name", "results"} for each in value["model-index"])
    ):
        yield '"model-index" must be a list of entries with a name and results'


def _shown(value: Any) -> str:
    return repr(value)[:100]


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
