"""An adapter's perplexities, as rows of the card's table and as entries of `model-index`. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hub_cards.cards.measured import dataset_type, is_of_task, rounded
from hub_cards.cards.source import Source
from lrldata.errors import LanguageError
from lrldata.language import find, language_name
from lrldata.versions import is_other_version

FLORES = "openlanguagedata/flores_plus"
OTHER_VERSION = "another version"  # of the dataset than that trained on
SOURCES = ("conceptnet", "glotcc", "web")  # names of datasets; older scores do not record the kind of text


def perplexity_rows(results: Iterable[Mapping[str, Any]], manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the perplexities, the most informative first, with `data` as the table shows it.

    `manifest` is the adapter's.
    """
    ordered = _in_order(results, str(manifest["language"]["code"]))
    return [{**result, "data": ", ".join([_name(result, manifest), *_settings(result, ordered)])} for result in ordered]


def perplexity_entries(
    results: Iterable[Mapping[str, Any]], pipeline: str, manifest: Mapping[str, Any], text: Source
) -> list[dict[str, Any]]:
    """Return entries of `model-index`, in the same order. `manifest` is the adapter's, and `text` its training text."""
    ordered = _in_order(results, str(manifest["language"]["code"]))
    return [_entry(result, _settings(result, ordered), pipeline, manifest, text) for result in ordered]


def _in_order(results: Iterable[Mapping[str, Any]], language: str) -> list[Mapping[str, Any]]:
    """Sort perplexities: the adapter's language, FLORES, whole texts and larger numbers of sentences come first."""

    def rank(score: Mapping[str, Any]) -> tuple[bool, bool, bool, int]:
        limited = (score.get("text") or {}).get("limit") is not None
        return _language(score, language) != language, _kind(score) != "flores", limited, -score["sentences"]

    return sorted((result for result in results if not is_of_task(result)), key=rank)


def _settings(result: Mapping[str, Any], results: Iterable[Mapping[str, Any]]) -> list[str]:
    """Say in which settings a result differs from others on the same text, and that sentences were cut off."""
    same = ("metric", "of", "language")
    own = result.get("settings") or {}
    others = [
        other.get("settings") or {} for other in results if all(other.get(key) == result.get(key) for key in same)
    ]
    differing = [key for key, value in own.items() if any(other.get(key) != value for other in others)]
    cut = (result.get("text") or {}).get("cut")
    return [f"{key.replace('_', ' ')} {own[key]}" for key in differing] + (
        [f"{cut:,} of {result['sentences']:,} sentences cut off"] if cut else []
    )


def _entry(
    result: Mapping[str, Any], settings: Sequence[str], pipeline: str, manifest: Mapping[str, Any], text: Source
) -> dict[str, Any]:
    """Return an entry of `model-index`; `manifest` is the adapter's, and `text` what it was trained on."""
    language, name = str(manifest["language"]["code"]), result["of"]["name"]
    about_text, kind, tested = result.get("text") or {}, _kind(result), _language(result, language)
    dataset: dict[str, Any] = {"name": name, "type": dataset_type(name), "split": result["of"]["split"]}
    details: list[str] = []
    trained_on = {entry["manifest_sha256"] for entry in manifest["inputs"] if entry["kind"] == "dataset"}
    if kind == "flores":
        dataset |= {"name": "FLORES-200", "type": FLORES} | ({"config": code} if (code := _flores(tested)) else {})
    elif kind == "hub":
        dataset |= {"type": about_text["id"]}
        details += [] if tested == language else [language_name(tested)]
    elif kind == "dataset" and text.version and about_text.get("manifest_sha256", "") in {"", *trained_on}:
        dataset |= {"type": text.repository, "config": name, "revision": f"v{text.version}"}
    elif tested != language:
        details.append(language_name(tested))
    elif _is_other_version(result, manifest):
        details.append(OTHER_VERSION)
    if limit := about_text.get("limit"):
        details.append(f"the first {limit:,} sentences")
    details += settings
    dataset["name"] = ", ".join([dataset["name"], *details])
    metrics = []
    for of, side in {"": result["after"], " of the base model": result["before"]}.items():
        if side:  # the name has the details, because clients group the entries of a data set whatever its name
            name = ", ".join([f"{result['metric']}{of}", *details])
            metrics.append({"type": "perplexity", "name": name, "value": rounded(side["value"])})
    return {"task": {"type": pipeline}, "dataset": dataset, "metrics": metrics}


def _name(result: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    language = str(manifest["language"]["code"])
    tested, limit = _language(result, language), (result.get("text") or {}).get("limit")
    name = str(result["data"]) + ("" if tested == language else f" in {language_name(tested)}")
    name += f", {OTHER_VERSION}" if _is_other_version(result, manifest) else ""
    return f"{name}, the first {limit:,} sentences" if limit else name


def _is_other_version(result: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    """Return whether a text is another version of the dataset that the adapter was trained on."""
    about_text, language = result.get("text") or {}, str(manifest["language"]["code"])
    is_own = about_text.get("kind") == "dataset" and _language(result, language) == language
    return is_own and is_other_version({"name": result["of"]["name"], **about_text}, manifest["inputs"])


def _kind(result: Mapping[str, Any]) -> str:
    """Return the kind of a text; for older scores, derive it from the name."""
    if about_text := result.get("text"):
        return str(about_text["kind"])
    name = result["of"]["name"]
    return "flores" if name in ("flores", "flores_plus") else "dataset" if name in SOURCES else "file"


def _language(result: Mapping[str, Any], own: str) -> str:
    return str(result.get("language") or own)


def _flores(code: str) -> str | None:
    try:
        return find(code).flores
    except LanguageError:
        return None
