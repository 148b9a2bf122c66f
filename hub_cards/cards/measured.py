"""An adapter's results, as its card and its record show them: perplexities and task scores. Pure."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from hub_cards.task_scores import TaskScore
from lrldata.errors import LanguageError
from lrldata.language import Language, find, language_name
from lrldata.manifest import fingerprint
from lrltrain.evaluation.items import PUBLISHED, is_published
from lrltrain.evaluation.record import TASKS
from lrltrain.evaluation.statistics import Interval, is_clear
from lrltrain.reporting.data_names import key_of, names_of
from lrltrain.reporting.formatting import MARK, changed, number, p_value
from lrltrain.reporting.tables import Column

TYPES = {
    "topic": {"type": "text-classification", "name": "Topic classification"},
    "sentiment": {"type": "text-classification", "name": "Sentiment analysis"},
    "ner": {"type": "token-classification", "name": "Named entity recognition"},
}
METRICS = {"macro_f1": "macro-F1", "f1": "entity-level F1"}
SHAPED = ("language", "transfer", "settings", "made_with")  # keys that distinguish scores of one task on one data set


def task_result(score: TaskScore) -> dict[str, Any]:
    """Return the parts of a task score that a card needs. Numbers have six significant figures, as in the report."""
    cell, manifest = score.cell, score.manifest
    settings = {key: value for key, value in manifest["settings"].items() if key != "seed"}
    comparison = cell.against and {
        "change": _interval(cell.against.change),
        "p": rounded(cell.against.p),
        "p_corrected": rounded(cell.against.p_corrected),
        "comparisons": score.comparisons,
        **({"runs": cell.against.runs} if cell.against.runs else {}),
    }
    return {
        "task": cell.column.task,
        "metric": cell.column.metric,
        "of": {**manifest["data"], "split": "test"},
        "language": manifest["language"],
        "transfer": manifest.get("transfer"),
        "settings": settings,
        "made_with": manifest["made_with"],
        "items": cell.items,
        "seeds": cell.seeds,
        "score": _interval(cell.score),
        "sd": None if cell.sd is None else rounded(cell.sd),
        "against": comparison,
    }


def _interval(value: Interval) -> dict[str, float]:
    return {"value": rounded(value.value), "low": rounded(value.low), "high": rounded(value.high)}


def rounded(value: float) -> float:
    """Return a number rounded to six significant figures."""
    return float(f"{value:.6g}")


def is_of_task(result: Mapping[str, Any]) -> bool:
    """Return whether a result is a task score; otherwise it is a perplexity."""
    return result["task"] in TASKS


def without_repetitions(results: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the results in a fixed order, without repetitions: of the same measurement, the last one is kept.

    Earlier versions did not publish the settings of perplexities. Such a result gives way to any that has them.
    """
    latest = {_measure(result): result for result in results}
    known = {_text_of(result) for result in latest.values() if _has_settings(result)}
    return [latest[key] for key in sorted(latest) if _has_settings(latest[key]) or _text_of(latest[key]) not in known]


def _measure(result: Mapping[str, Any]) -> str:
    return _text_of(result) + fingerprint(result.get("settings"))


def _has_settings(result: Mapping[str, Any]) -> bool:
    return result.get("settings") is not None


def _text_of(result: Mapping[str, Any]) -> str:
    """Return an identifier of what was measured on what; for task scores, with all that shaped them."""
    if is_of_task(result):
        return fingerprint([result[key] for key in ("task", "metric", "of", *SHAPED)])
    return fingerprint([result[key] for key in ("task", "metric", "of")])


def of_tasks(results: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return only the task scores, ordered by task."""
    order = [*TASKS]
    scores = (result for result in results if is_of_task(result))
    return sorted(scores, key=lambda score: (order.index(score["task"]), score["of"]["name"]))


def rows(results: Iterable[Mapping[str, Any]], language: str) -> list[dict[str, Any]]:
    """Return the rows of the card's table of task scores; `language` is the adapter's."""
    return [
        _row(f"{name} ({difference})" if difference else name, data, result)
        for name, data, difference, result in _labelled(results, language)
    ]


def _labelled(results: Iterable[Mapping[str, Any]], language: str) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    """Yield each score with its name, its test set, and how it differs from others of the same name and test set."""
    scores = of_tasks(results)
    labels = [(_name(result, language), data) for result, data in zip(scores, _data_names(scores), strict=True)]
    for label, result in zip(labels, scores, strict=True):
        difference = _differing(result, [other for at, other in zip(labels, scores, strict=True) if at == label])
        yield *label, difference, result


def _name(result: Mapping[str, Any], language: str) -> str:
    details = "" if result["language"] == language else f" in {language_name(result['language'])}"
    return f"{result['task']}{details}{_learned(result)}"


def _learned(result: Mapping[str, Any]) -> str:
    """Say how the model learned the task, if not from the training data in the language."""
    shots, transfer = result["settings"].get("shots"), result["transfer"]  # only prompted tasks have shots
    prompted = "" if shots is None else f", prompted with {shots} examples" if shots else ", prompted without examples"
    return prompted + (f", trained on {language_name(transfer['language'])}" if transfer else "")


def _differing(result: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """Return the settings and library versions in which a score differs from others of the same task and data."""
    own_values, *other_values = (
        {**score["settings"], **score["made_with"], "items of each split": score["of"].get("sampled")}
        for score in (result, *others)
    )
    keys = (key for key, value in own_values.items() if any(values.get(key) != value for values in other_values))
    return ", ".join(f"{key.replace('_', ' ')} {own_values[key]}" for key in keys)


def _data_names(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the name of each score's test set, as in reports: different sets of the same name get distinct names."""
    data_sets = [{key: value for key, value in result["of"].items() if key != "split"} for result in results]
    keys = [key_of(result["language"], result["task"], data) for result, data in zip(results, data_sets, strict=True)]
    names = names_of(keys)
    return [
        f"{key.name}, at most {key.limit:,}" if key.limit and names[key] == key.name else names[key] for key in keys
    ]


def _row(name: str, data: str, result: Mapping[str, Any]) -> dict[str, Any]:
    column = Column(result["task"], data, result["metric"])
    score, against = result["score"], result["against"]
    sd = "" if result["sd"] is None else f" ± {number(result['sd'], column)}"
    row = {
        "name": name,
        "data": data,
        "tested": result["items"],
        "seeds": result["seeds"],
        "score": f"{number(score['value'], column)}{sd} "
        f"({number(score['low'], column)} to {number(score['high'], column)})",
        "change": "",
        "p": "",
        "comparisons": "",
    }
    if against:
        mark = MARK if is_clear(Interval(**against["change"]), against["p_corrected"]) else ""
        value, low, high = (changed(against["change"][key], column) for key in ("value", "low", "high"))
        runs = against.get("runs")  # if the base model lacks some of the seeds
        fewer = f", {runs} seed{'s' * (runs != 1)}" if runs else ""
        row |= {"change": f"{value}{mark} ({low} to {high}){fewer}", "p": p_value(against["p_corrected"])}
        row["comparisons"] = f"{against['comparisons']:,}"
    return row


def entries(results: Iterable[Mapping[str, Any]], language: str) -> list[dict[str, Any]]:
    """Return the task scores for `model-index`, where F1 is between 0 and 1; `language` is the adapter's."""
    return [
        _entry(result, data, [*_about_data(result, data, language), *([difference] if difference else [])])
        for _, data, difference, result in _labelled(results, language)
    ]


def _about_data(result: Mapping[str, Any], data: str, language: str) -> Iterator[str]:
    """Yield what distinguishes a score from others on data sets of the same name."""
    if result["language"] != language:
        yield language_name(result["language"])
    if data != result["of"]["name"]:
        yield data


def _entry(result: Mapping[str, Any], data: str, details: Sequence[str]) -> dict[str, Any]:
    """Return an entry. The metric's name distinguishes the score, because clients group the entries of a data set."""
    seeds = f"mean of {result['seeds']} seeds" if result["seeds"] > 1 else "1 seed"
    metric = f"{METRICS.get(result['metric'], result['metric'])}, {seeds}{_learned(result)}"
    metric = ", ".join([metric, *details])
    return {
        "task": dict(TYPES[result["task"]]),
        "dataset": {"name": data, **_dataset(result)},
        "metrics": [{"type": "f1", "name": metric, "value": result["score"]["value"]}],
    }


def _dataset(result: Mapping[str, Any]) -> dict[str, Any]:
    data = result["of"]
    is_known = is_published(result["task"], data["name"]) and "labels" not in data
    hub_id = PUBLISHED[result["task"]] if is_known else None
    language = _language(result["language"])
    configuration = data.get("configuration")
    if not data.get("id") and hub_id and language:
        configuration = language.sib200 if result["task"] == "topic" else language.wikiann
    return {
        "type": data.get("id") or hub_id or dataset_type(data["name"]),
        **({"config": configuration} if configuration else {}),
        "split": data["split"],
    }


def dataset_type(name: str) -> str:
    """Return the name of a data set that is not on the Hub in the form that `model-index` requires of a type."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^\w.-]+", "-", plain).strip("-") or "own-data"


def _language(code: str) -> Language | None:
    try:
        return find(code)
    except LanguageError:
        return None
