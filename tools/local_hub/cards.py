"""The metadata at the head of a README: read, and checked as far as the Hub refuses commits for it. Pure."""

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

import yaml

_HEAD = re.compile(r"\s*---[ \t]*\r?\n(.*?)(?:^|\r?\n)---[ \t]*(?:\r?\n|$)", re.DOTALL | re.MULTILINE)
_LANGUAGE = re.compile(r"[a-z]{2,3}|code|multilingual")
_LISTS_OF_TEXT = ("tags", "datasets", "metrics", "task_categories", "task_ids", "source_datasets", "size_categories")


def metadata(readme: str) -> dict[str, Any]:
    """Return the metadata, empty where there is none that can be read."""
    try:
        value = yaml.safe_load(match[1]) if (match := _HEAD.match(readme)) else None
    except yaml.YAMLError:
        return {}
    return _as_json(value) if isinstance(value, dict) else {}


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _as_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    return value.isoformat() if isinstance(value, dt.date) else value


def check(readme: str) -> tuple[list[str], list[str]]:
    """Return the errors and the warnings of a README's metadata.

    This is a part of what the Hub checks: that it is YAML with text where text belongs, and language codes.
    """
    if not (match := _HEAD.match(readme)):
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        value = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        return [f"Invalid YAML: {' '.join(str(error).split())}"], []
    if value is None:
        return [], ["empty or missing yaml metadata in repo card"]
    if not isinstance(value, dict):
        return ["The metadata must be a mapping"], []
    return list(_errors(value)), []


def _errors(value: dict[Any, Any]) -> Iterator[str]:
    for key in _LISTS_OF_TEXT:
        if not all(isinstance(each, str) for each in _listed(value.get(key))):
            yield f'"{key}" must be a string or a list of strings'
    for code in _listed(value.get("language")):
        if not isinstance(code, str) or not _LANGUAGE.fullmatch(code):
            yield f'"language" must only contain ISO 639-1, 639-2 or 639-3 codes: {code!r}'
    for code in _listed(value.get("license")):
        if not isinstance(code, str) or code != code.lower():
            yield f'"license" must be a lower-case identifier: {code!r}'
    if "model-index" in value and not (
        isinstance(value["model-index"], list)
        and all(isinstance(each, dict) and each.keys() >= {"name", "results"} for each in value["model-index"])
    ):
        yield '"model-index" must be a list of entries with a name and results'


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
