"""Check a card against the rules of the Hub, without the network. Pure, but for the rules, which are a file here.

rules.json holds the language codes, licences, sizes and task names that the Hub takes;
tools/make/make_hub_rules.py made it.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib.resources import files
from reprlib import Repr
from typing import Any
from urllib.parse import unquote

from hub_cards.cards.card import CardError, read, replace_section

LONGEST_ID = 96
_NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9_])?", re.ASCII)
_TAGS_OF_TEXT = ("tags", "datasets", "metrics", "task_categories", "task_ids", "source_datasets", "size_categories")
_VALUES = {"size_categories": "sizes", "task_categories": "tasks", "pipeline_tag": "tasks", "task_ids": "subtasks"}
_RELATIONS = {"adapter", "merge", "quantized", "finetune"}
_LEFT_OVER = ("{{", "}}", "{%", "More Information Needed", "TODO")
# None of these looks far ahead from any place, so that a text of a million brackets takes no longer than another.
_LINK = re.compile(r"(?<!\\)!?\[[^\[\]]*\]\(([^()\s]+)\)")
_CODE = re.compile(r"^```.*?^```|(?<!`)``(?!`)[^\n]{1,2000}?(?<!`)``(?!`)|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_LARGEST = 1e308


def _short() -> Repr:
    made = Repr()
    made.maxstring = made.maxother = made.maxlong = 120
    return made


_shown = _short().repr  # metadata may hold anything, at any length


@cache
def rules() -> dict[str, frozenset[str]]:
    """Return what the Hub takes: `languages`, `licences`, `sizes`, `tasks`, `subtasks`."""
    held = json.loads(files("hub_cards.cards").joinpath("rules.json").read_text("utf-8"))
    return {name: frozenset(values.split()) for name, values in held.items() if isinstance(values, str)}


def is_repository(identifier: object) -> bool:
    """Return whether this can be the id of a repository: [namespace/]name."""
    if not isinstance(identifier, str) or len(identifier) > LONGEST_ID or "--" in identifier or ".." in identifier:
        return False
    parts = identifier.split("/")
    return len(parts) <= 2 and all(_NAME.fullmatch(part) for part in parts) and not identifier.endswith(".git")


def lint(readme: str, present: Collection[str] | None = None) -> list[str]:
    """Return what is wrong with a README; empty where nothing is.

    `present` are the files of the repository; where it is given, relative links must lead to one of them.
    """
    try:
        card = read(readme)
    except CardError as error:
        return [str(error)]
    if not card.metadata:
        return ["there are no metadata"]
    return [*_of_metadata(card.metadata), *_of_text(card.body, present)]


def _of_metadata(found: Mapping[str, Any]) -> Iterator[str]:
    yield from _values(found)
    yield from _licence(found)
    for key in ("base_model", "datasets", "source_datasets"):
        for each in _listed(found.get(key)):
            if not is_repository(each) and not (key == "source_datasets" and str(each).startswith("extended")):
                yield f"{key}: {_shown(each)} is not the id of a repository"
    relation = found.get("base_model_relation")
    if relation is not None and not _is_one_of(relation, _RELATIONS):
        yield f"base_model_relation: {_shown(relation)} is not one of {', '.join(sorted(_RELATIONS))}"
    if relation is not None and "base_model" not in found:
        yield "base_model_relation without base_model"
    if "configs" in found or "dataset_info" in found:
        yield from _configurations(found)
    if "model-index" in found:
        yield from _results(found["model-index"])


def _values(found: Mapping[str, Any]) -> Iterator[str]:
    known = rules()
    if not _listed(found.get("language")):
        yield "language: missing"
    for code in _listed(found.get("language")):
        if code is False:
            yield 'language: `no` is a boolean to YAML; write "no"'
        elif not _is_one_of(code, known["languages"]) and code not in ("code", "multilingual"):
            yield f"language: {_shown(code)} is not an ISO 639 code in lower case"
    for key, names in _VALUES.items():
        yield from (
            f"{key}: the Hub does not know {_shown(each)}"
            for each in _listed(found.get(key))
            if not _is_one_of(each, known[names])
        )
    for key in _TAGS_OF_TEXT:
        if not all(isinstance(each, str) for each in _listed(found.get(key))):
            yield f"{key}: must be text, or a list of texts"
    for key in ("pretty_name", "library_name"):
        if key in found and not (isinstance(found[key], str) and found[key].strip()):
            yield f"{key}: must be text"


def _licence(found: Mapping[str, Any]) -> Iterator[str]:
    licences = _listed(found.get("license"))
    if not licences:
        yield "license: missing"
    for each in licences:
        if not _is_one_of(each, rules()["licences"]):
            yield f"license: the Hub does not know {_shown(each)}; use `other` with license_name and license_link"
    if "other" in licences and not (found.get("license_name") and found.get("license_link")):
        yield "license: `other` wants license_name and license_link"


def _configurations(found: Mapping[str, Any]) -> Iterator[str]:
    entries = found.get("configs")
    if not (isinstance(entries, list) and all(isinstance(_name_of(each), str) for each in entries)):
        yield "configs: must be a list of entries with a config_name, which is text"
        return
    names = [each["config_name"] for each in entries]
    if len(set(names)) < len(names):
        yield "configs: a name is there twice"
    defaults = [each["config_name"] for each in entries if each.get("default")]
    if len(defaults) != 1:
        yield f"configs: one must be the default, {len(defaults)} are"
    for each in entries:
        patterns = each.get("data_files")
        if not isinstance(patterns, list) or not patterns:
            yield f"configs: {_shown(each['config_name'])} has no data_files"
    yield from _descriptions(dict.fromkeys(names), _listed(found.get("dataset_info")))


def _descriptions(names: Collection[str], entries: list[Any]) -> Iterator[str]:
    described = {name: each for each in entries if (name := _name_of(each)) is not None}
    if len(described) < len(entries):
        yield "dataset_info: must be an entry or a list of entries, each with a config_name of its own"
    for name in names:
        if name not in described:
            yield f"dataset_info: {_shown(name)} is not described"
        elif not described[name].get("features") or not described[name].get("splits"):
            yield f"dataset_info: {_shown(name)} has no features or no splits"
    for name in described:
        if name not in names:
            yield f"dataset_info: {_shown(name)} is not in configs"


def _name_of(entry: object) -> str | None:
    """Return the configuration that an entry is of; None for anything else."""
    name = entry.get("config_name") if isinstance(entry, dict) else None
    return name if isinstance(name, str) else None


def _results(index: Any) -> Iterator[str]:
    if not isinstance(index, list) or not all(
        isinstance(each, dict) and "name" in each and isinstance(each.get("results"), list) for each in index
    ):
        yield "model-index: must be a list of entries with name and results"
        return
    for result in (result for each in index for result in each["results"]):
        if not isinstance(result, dict):
            yield f"model-index: {_shown(result)} is not a result"
            continue
        task, data, metrics = (result.get(key) for key in ("task", "dataset", "metrics"))
        if not isinstance(task, dict) or not _is_one_of(task.get("type"), rules()["tasks"]):
            yield f"model-index: the Hub does not know the task {_shown(task)}"
        if not isinstance(data, dict) or not data.get("name") or not data.get("type"):
            yield "model-index: a dataset has no name or no type"
        for metric in metrics if isinstance(metrics, list) and metrics else [{}]:
            value = metric.get("value") if isinstance(metric, dict) else None
            # NaN does not lie between the two.
            if not (isinstance(value, int | float) and -_LARGEST < value < _LARGEST and metric.get("type")):
                yield f"model-index: a metric has no type or no number: {_shown(metric)}"


def _of_text(body: str, present: Collection[str] | None) -> Iterator[str]:
    if not re.search(r"^# \S", body, re.MULTILINE):
        yield "the text has no title"
    prose = _CODE.sub("", replace_section(body, "samples", None))  # samples may say anything
    for words in _LEFT_OVER:
        if words in prose:
            yield f"the text holds {words!r}, which was to be filled in"
    if re.search(r"\b(None|nan|NaN)\b", prose):
        yield "the text says None or nan, which was to be a value"
    if body.count("```") % 2:
        yield "a block of code has no end"
    held = {*present} if present is not None else None
    for target in _LINK.findall(prose):
        if held is None or "://" in target or target.startswith("#") or not held.isdisjoint((target, unquote(target))):
            continue
        yield f"a link leads to {target if target.isprintable() else _shown(target)}, which is not there"


def _is_one_of(value: object, names: Collection[str]) -> bool:
    return isinstance(value, str) and value in names


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
