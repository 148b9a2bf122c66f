"""What was measured of an adapter, as its card and its record have it: perplexities, and scores of tasks. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hub_cards.task_scores import TaskScore
from lrldata.errors import LanguageError
from lrldata.language import Language, find, language_name
from lrldata.manifest import fingerprint
from lrltrain.evaluation.record import TASKS
from lrltrain.evaluation.statistics import Interval, is_clear
from lrltrain.reporting.data_names import key_of, names_of
from lrltrain.reporting.formatting import MARK, changed, number, p_value
from lrltrain.reporting.tables import Column

ON_HUB = {("topic", "sib200"): "Davlan/sib200", ("ner", "wikiann"): "unimelb-nlp/wikiann"}  # of files of that name
TYPES = {
    "topic": {"type": "text-classification", "name": "Topic classification"},
    "sentiment": {"type": "text-classification", "name": "Sentiment analysis"},
    "ner": {"type": "token-classification", "name": "Named entity recognition"},
}
METRICS = {"macro_f1": "macro-F1", "f1": "F1 of entities"}
SHAPED = ("language", "transfer", "settings", "made_with")  # what tells apart scores of one task on one data set


def task_result(score: TaskScore) -> dict[str, Any]:
    """Return what a card needs to know of a score of a task; numbers have the six figures that the report has."""
    cell, manifest = score.cell, score.manifest
    settings = {key: value for key, value in manifest["settings"].items() if key != "seed"}
    compared = cell.against and {
        "change": _interval(cell.against.change),
        "p": rounded(cell.against.p),
        "p_corrected": rounded(cell.against.p_corrected),
        "comparisons": score.comparisons,
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
        "against": compared,
    }


def _interval(value: Interval) -> dict[str, float]:
    return {"value": rounded(value.value), "low": rounded(value.low), "high": rounded(value.high)}


def rounded(value: float) -> float:
    """Return a number with six figures."""
    return float(f"{value:.6g}")


def is_of_task(result: Mapping[str, Any]) -> bool:
    """Return whether this is a score of a task; else it is a perplexity."""
    return result["task"] in TASKS


def each_once(results: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return what was measured in a fixed order; where the same was measured twice, the later one."""
    held = {_measure(result): result for result in results}
    return [held[measure] for measure in sorted(held)]


def _measure(result: Mapping[str, Any]) -> str:
    keys = ("task", "metric", "of", *(SHAPED if is_of_task(result) else ()))
    return fingerprint([result[key] for key in keys])


def of_tasks(results: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the scores of tasks alone, tasks in their order."""
    order = [*TASKS]
    chosen = (result for result in results if is_of_task(result))
    return sorted(chosen, key=lambda each: (order.index(each["task"]), each["of"]["name"]))


def rows(results: Iterable[Mapping[str, Any]], language: str) -> list[dict[str, Any]]:
    """Return the rows of the card's table of tasks; `language` is the adapter's."""
    chosen = of_tasks(results)
    places = [(_name(result, language), called) for result, called in zip(chosen, _called(chosen), strict=True)]
    made = []
    for place, result in zip(places, chosen, strict=True):
        told = _differing(result, [other for at, other in zip(places, chosen, strict=True) if at == place])
        made.append(_row(f"{place[0]} ({told})" if told else place[0], place[1], result))
    return made


def _name(result: Mapping[str, Any], language: str) -> str:
    tested = "" if result["language"] == language else f" in {language_name(result['language'])}"
    learned = result["transfer"]
    tested += _prompted(result)
    return f"{result['task']}{tested}" + (f", learned in {language_name(learned['language'])}" if learned else "")


def _prompted(result: Mapping[str, Any]) -> str:
    shots = result["settings"].get("shots")  # which a task that was learned has not
    return "" if shots is None else f", prompted with {shots} examples" if shots else ", prompted without examples"


def _differing(result: Mapping[str, Any], twins: Sequence[Mapping[str, Any]]) -> str:
    """Name the settings and libraries in which a score differs from others of the same task and data, if there are."""
    ours, *others = (
        {**each["settings"], **each["made_with"], "items of each split": each["of"].get("sampled")}
        for each in (result, *twins)
    )
    told = (key for key, value in ours.items() if any(other.get(key) != value for other in others))
    return ", ".join(f"{key.replace('_', ' ')} {ours[key]}" for key in told)


def _called(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the test set of each score is called, as in reports: two of one name are told apart."""
    sets = [{key: value for key, value in result["of"].items() if key != "split"} for result in results]
    keys = [key_of(result["language"], result["task"], data) for result, data in zip(results, sets, strict=True)]
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
        row |= {"change": f"{value}{mark} ({low} to {high})", "p": p_value(against["p_corrected"])}
        row["comparisons"] = f"{against['comparisons']:,}"
    return row


def entries(results: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the scores of tasks for `model-index`, where F1 is of 0 to 1."""
    chosen = of_tasks(results)
    return [_entry(result, called) for result, called in zip(chosen, _called(chosen), strict=True)]


def _entry(result: Mapping[str, Any], data: str) -> dict[str, Any]:
    seeds = f"mean of {result['seeds']} seeds" if result["seeds"] > 1 else "1 seed"
    metric = f"{METRICS.get(result['metric'], result['metric'])}, {seeds}{_prompted(result)}"
    return {
        "task": dict(TYPES[result["task"]]),
        "dataset": {"name": data, **_dataset(result)},
        "metrics": [{"type": "f1", "name": metric, "value": result["score"]["value"]}],
    }


def _dataset(result: Mapping[str, Any]) -> dict[str, Any]:
    data = result["of"]
    known = ON_HUB.get((result["task"], data["name"]))
    language = _language(result["language"])
    configuration = data.get("configuration")
    if not data.get("id") and known and language:
        configuration = language.sib200 if result["task"] == "topic" else language.wikiann
    return {
        "type": data.get("id") or known or data["name"],
        **({"config": configuration} if configuration else {}),
        "split": data["split"],
    }


def _language(code: str) -> Language | None:
    try:
        return find(code)
    except LanguageError:
        return None
