"""Read the metadata of a README, and check it for faults for which the Hub refuses commits. Pure."""

import datetime as dt
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

import yaml

_LENGTH = 64 << 10  # characters of a README within which its metadata must end; reading them takes a second
_VALUES, _DEPTH, _ERRORS = 20_000, 50, 20  # maximum values in the metadata, nesting levels, and reported errors
_HEAD = re.compile(r"\s*---[ \t]*\r?\n(.*?)(?:^|\r?\n)---[ \t]*(?:\r?\n|$)", re.DOTALL | re.MULTILINE)
_LANGUAGE = re.compile(r"[a-z]{2,3}|code|multilingual")
_LISTS_OF_TEXT = ("tags", "datasets", "metrics", "task_categories", "task_ids", "source_datasets", "size_categories")


def metadata(readme: str) -> dict[str, Any]:
    """Return the metadata; empty if there is none or it cannot be read."""
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

    These are some of the Hub's checks: valid YAML, strings where strings are required, and language codes.
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
    """Return the value of a YAML text. Raises ValueError if it is not valid, or too large or too deep."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _extent(node, {}, 0)[0] > _VALUES:
            raise ValueError(f"it has more than {_VALUES} values once its aliases are expanded")
        return loader.construct_document(node)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {_DEPTH} levels or contains itself") from None
    except (yaml.YAMLError, LookupError, AttributeError, TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error  # the library raises these for a tag that does not match its value


def _extent(node: yaml.Node, cache: dict[int, tuple[int, int]], depth: int) -> tuple[int, int]:
    """Return the number of values and of levels in a node once its aliases are expanded."""
    if id(node) not in cache and depth <= _DEPTH:
        rows = node.value if isinstance(node, yaml.CollectionNode) else []
        children = [child for row in rows for child in row] if isinstance(node, yaml.MappingNode) else rows
        extents = [_extent(child, cache, depth + 1) for child in children]
        cache[id(node)] = 1 + sum(count for count, _ in extents), 1 + max((levels for _, levels in extents), default=0)
    if depth > _DEPTH or depth + cache[id(node)][1] > _DEPTH:
        raise RecursionError
    return cache[id(node)]


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no such number
    if isinstance(value, int) and abs(value) >= 1 << 63:
        return hex(value)  # Python refuses to write very long numbers in decimal
    return value if value is None or isinstance(value, str | int | float) else repr(value)


def _errors(value: dict[Any, Any]) -> Iterator[str]:
    for key in _LISTS_OF_TEXT:
        if not all(isinstance(item, str) for item in _listed(value.get(key))):
            yield f'"{key}" must be a string or a list of strings'
    for code in _listed(value.get("language")):
        if not isinstance(code, str) or not _LANGUAGE.fullmatch(code):
            yield f'"language" must only contain ISO 639-1, 639-2 or 639-3 codes: {_shown(code)}'
    for code in _listed(value.get("license")):
        if not isinstance(code, str) or code != code.lower():
            yield f'"license" must be a lower-case identifier: {_shown(code)}'
    if "model-index" in value and not (
        isinstance(value["model-index"], list)
        and all(isinstance(item, dict) and item.keys() >= {"name", "results"} for item in value["model-index"])
    ):
        yield '"model-index" must be a list of entries with a name and results'


def _shown(value: Any) -> str:
    return repr(value)[:100]


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
