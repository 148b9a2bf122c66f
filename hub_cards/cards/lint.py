"""Check a card against the rules of the Hub, without the network. Pure, except that it reads the rules from a file.

rules.json holds the language codes, licences, sizes and task names that the Hub accepts. It was made by
tools/make/make_hub_rules.py.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib.resources import files
from reprlib import Repr
from typing import Any
from urllib.parse import unquote

from hub_cards.cards.card import CardError, as_list, read, replace_section

LONGEST_ID = 96
_NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9_])?", re.ASCII)
_TAGS_OF_TEXT = ("tags", "datasets", "metrics", "task_categories", "task_ids", "source_datasets", "size_categories")
_VALUES = {"size_categories": "sizes", "task_categories": "tasks", "pipeline_tag": "tasks", "task_ids": "subtasks"}
_RELATIONS = {"adapter", "merge", "quantized", "finetune"}
_LEFT_OVER = ("{{", "}}", "{%", "More Information Needed", "TODO")
# None of these patterns looks far ahead, so a text of a million brackets takes no longer than any other.
_TYPE = re.compile(r"(?:[\w.-]+/)?[\w.-]+", re.ASCII)  # of a data set in model-index
_LINK = re.compile(r"(?<!\\)!?\[[^\[\]]*\]\(([^()\s]+)\)")
_CODE = re.compile(r"^```.*?^```|(?<!`)``(?!`)[^\n]{1,2000}?(?<!`)``(?!`)|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_LARGEST = 1e308


def _short() -> Repr:
    shortener = Repr()
    shortener.maxstring = shortener.maxother = shortener.maxlong = 120
    return shortener


_shown = _short().repr  # metadata may contain anything, of any length


@cache
def rules() -> dict[str, frozenset[str]]:
    """Return the values that the Hub accepts: `languages`, `licences`, `sizes`, `tasks` and `subtasks`."""
    content = json.loads(files("hub_cards.cards").joinpath("rules.json").read_text("utf-8"))
    return {name: frozenset(values.split()) for name, values in content.items() if isinstance(values, str)}


def is_repository(identifier: object) -> bool:
    """Return whether this can be the id of a repository: [namespace/]name."""
    if not isinstance(identifier, str) or len(identifier) > LONGEST_ID or "--" in identifier or ".." in identifier:
        return False
    parts = identifier.split("/")
    return len(parts) <= 2 and all(_NAME.fullmatch(part) for part in parts) and not identifier.endswith(".git")


def lint(readme: str, present: Collection[str] | None = None) -> list[str]:
    """Return the faults of a README; an empty list if there are none.

    `present` has the files of the repository. If it is given, relative links must lead to one of them.
    """
    try:
        card = read(readme)
    except CardError as error:
        return [str(error)]
    if not card.metadata:
        return ["there is no metadata"]
    return [*_of_metadata(card.metadata), *_of_text(card.body, present)]


def _of_metadata(metadata: Mapping[str, Any]) -> Iterator[str]:
    yield from _values(metadata)
    yield from _licence(metadata)
    for key in ("base_model", "datasets", "source_datasets"):
        for identifier in as_list(metadata.get(key)):
            if not is_repository(identifier) and not (
                key == "source_datasets" and str(identifier).startswith("extended")
            ):
                yield f"{key}: {_shown(identifier)} is not the id of a repository"
    relation = metadata.get("base_model_relation")
    if relation is not None and not _is_one_of(relation, _RELATIONS):
        yield f"base_model_relation: {_shown(relation)} is not one of {', '.join(sorted(_RELATIONS))}"
    if relation is not None and "base_model" not in metadata:
        yield "base_model_relation is given without base_model"
    if "configs" in metadata or "dataset_info" in metadata:
        yield from _configurations(metadata)
    if "model-index" in metadata:
        yield from _results(metadata["model-index"])


def _values(metadata: Mapping[str, Any]) -> Iterator[str]:
    accepted = rules()
    if not as_list(metadata.get("language")):
        yield "language: missing"
    for code in as_list(metadata.get("language")):
        if code is False:
            yield 'language: `no` is a boolean in YAML; write "no"'
        elif not _is_one_of(code, accepted["languages"]) and code not in ("code", "multilingual"):
            yield f"language: {_shown(code)} is not an ISO 639 code in lower case"
    for key, names in _VALUES.items():
        yield from (
            f"{key}: the Hub does not know {_shown(value)}"
            for value in as_list(metadata.get(key))
            if not _is_one_of(value, accepted[names])
        )
    for key in _TAGS_OF_TEXT:
        if not all(isinstance(value, str) for value in as_list(metadata.get(key))):
            yield f"{key}: must be a string or a list of strings"
    for key in ("pretty_name", "library_name"):
        if key in metadata and not (isinstance(metadata[key], str) and metadata[key].strip()):
            yield f"{key}: must be a string"


def _licence(metadata: Mapping[str, Any]) -> Iterator[str]:
    licences = as_list(metadata.get("license"))
    if not licences:
        yield "license: missing"
    for licence in licences:
        if not _is_one_of(licence, rules()["licences"]):
            yield f"license: the Hub does not know {_shown(licence)}; use `other` with license_name and license_link"
    if "other" in licences and not (metadata.get("license_name") and metadata.get("license_link")):
        yield "license: `other` requires license_name and license_link"


def _configurations(metadata: Mapping[str, Any]) -> Iterator[str]:
    entries = metadata.get("configs")
    if not (isinstance(entries, list) and all(isinstance(_name_of(entry), str) for entry in entries)):
        yield "configs: must be a list of entries whose config_name is a string"
        return
    names = [entry["config_name"] for entry in entries]
    if len(set(names)) < len(names):
        yield "configs: a name is duplicated"
    defaults = [entry["config_name"] for entry in entries if entry.get("default")]
    if len(defaults) != 1:
        yield f"configs: exactly one must be the default, not {len(defaults)}"
    for entry in entries:
        patterns = entry.get("data_files")
        if not isinstance(patterns, list) or not patterns:
            yield f"configs: {_shown(entry['config_name'])} has no data_files"
    yield from _descriptions(dict.fromkeys(names), as_list(metadata.get("dataset_info")))


def _descriptions(names: Collection[str], entries: list[Any]) -> Iterator[str]:
    described = {name: entry for entry in entries if (name := _name_of(entry)) is not None}
    if len(described) < len(entries):
        yield "dataset_info: must be an entry or a list of entries, each with a unique config_name"
    for name in names:
        if name not in described:
            yield f"dataset_info: {_shown(name)} is not described"
        elif not described[name].get("features") or not described[name].get("splits"):
            yield f"dataset_info: {_shown(name)} has no features or no splits"
    for name in described:
        if name not in names:
            yield f"dataset_info: {_shown(name)} is not in configs"


def _name_of(entry: object) -> str | None:
    """Return the name of an entry's configuration; None if it is not an entry."""
    name = entry.get("config_name") if isinstance(entry, dict) else None
    return name if isinstance(name, str) else None


def _results(index: Any) -> Iterator[str]:
    if not isinstance(index, list) or not all(
        isinstance(entry, dict) and "name" in entry and isinstance(entry.get("results"), list) for entry in index
    ):
        yield "model-index: must be a list of entries with a name and results"
        return
    for result in (result for entry in index for result in entry["results"]):
        if not isinstance(result, dict):
            yield f"model-index: {_shown(result)} is not a result"
            continue
        task, data, metrics = (result.get(key) for key in ("task", "dataset", "metrics"))
        if not isinstance(task, dict) or not _is_one_of(task.get("type"), rules()["tasks"]):
            yield f"model-index: the Hub does not know the task {_shown(task)}"
        if not isinstance(data, dict) or not data.get("name") or not data.get("type"):
            yield "model-index: a dataset has no name or no type"
        elif not _TYPE.fullmatch(str(data["type"])):
            yield f"model-index: {_shown(data['type'])} is neither the id nor a plain name of a dataset"
        for metric in metrics if isinstance(metrics, list) and metrics else [{}]:
            number = metric.get("value") if isinstance(metric, dict) else None
            # NaN is not between the two bounds.
            if not (isinstance(number, int | float) and -_LARGEST < number < _LARGEST and metric.get("type")):
                yield f"model-index: a metric has no type or no number: {_shown(metric)}"


def _of_text(body: str, present: Collection[str] | None) -> Iterator[str]:
    if not re.search(r"^# \S", body, re.MULTILINE):
        yield "the text has no title"
    prose = _CODE.sub("", replace_section(body, "samples", None))  # samples may contain anything
    for placeholder in _LEFT_OVER:
        if placeholder in prose:
            yield f"the text contains {placeholder!r}, a placeholder that was not filled in"
    if re.search(r"(?<![\w/-])(None|nan|NaN)(?![\w/-])", prose):
        yield "the text contains None or nan in place of a value"
    if body.count("```") % 2:
        yield "a code block is not closed"
    existing = {*present} if present is not None else None
    for target in _LINK.findall(prose):
        if (
            existing is None
            or "://" in target
            or target.startswith("#")
            or not existing.isdisjoint((target, unquote(target)))
        ):
            continue
        yield f"a link leads to {target if target.isprintable() else _shown(target)}, which does not exist"


def _is_one_of(value: object, names: Collection[str]) -> bool:
    return isinstance(value, str) and value in names
