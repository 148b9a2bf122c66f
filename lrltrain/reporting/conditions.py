"""The conditions of scores, apart from language, data and adapter. Scores are averaged and compared within them. Pure.

If one method has several conditions on one test set, the most common ones (among equals those with the most seeds, then
the newest) need no name. The others are named by what differs, in the same way for all languages. The name becomes the
variant of a row, and averages leave variants out.
"""

import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from lrldata.manifest import fingerprint
from lrldata.versions import versions_of
from lrltrain.reporting.tables import Column, Row
from lrltrain.reporting.train_seeds import seed_of

SHOWN = 6  # digits of a hash that are shown
MOST_NAMED = 2  # differences in a name; a condition with more is numbered
LONGEST = 20  # characters of a value in a name


@dataclass(frozen=True)
class ScoreOrigin:
    """A score: its row and column, the manifest of one of its runs, the number of its seeds, and when it was made.

    `at` is in whole minutes, because a copy that does not keep file times writes all files at about the same time.
    """

    row: Row
    column: Column
    manifest: Mapping[str, Any]
    seeds: int = 1
    at: int = 0

    @property
    def series(self) -> tuple[Row, Column]:
        """Return the row and column without the language and the training seed of the adapter."""
        return seed_of(self.row)[0]._replace(language=""), self.column

    @property
    def scope(self) -> tuple[str, Column]:
        """Return the base model and column, within which all methods should have the same conditions."""
        return self.row.base, self.column

    @property
    def made_with(self) -> Mapping[str, str]:
        """Return the versions of the libraries, by name."""
        return dict(self.manifest["made_with"])

    @property
    def adapter(self) -> str:
        """Return the hash of the adapter's manifest; empty without an adapter."""
        return str((self.manifest["adapter"] or {}).get("manifest_sha256", ""))

    @property
    def source_adapter(self) -> str:
        """Return the name, without its language, of the adapter on which another language was learned; else empty."""
        adapter = (self.manifest.get("transfer") or {}).get("adapter") or {}
        return str(adapter.get("name", "")).partition("_")[2]

    @property
    def learned(self) -> str:
        """Return a hash of the items that the task was learned from."""
        return learned_from(self.manifest)


def learned_from(manifest: Mapping[str, Any]) -> str:
    """Return a hash of the training and validation items of a task: of what is not the test split of its data."""
    data = (manifest.get("transfer") or {}).get("data") or manifest["data"]
    digest, files = data.get("sha256"), data.get("files")
    splits = {split: value for split, value in digest.items() if split != "test"} if isinstance(digest, Mapping) else {}
    entries = files if isinstance(files, list) else []
    others = [(entry["path"], entry["sha256"]) for entry in entries if PurePath(str(entry["path"])).stem != "test"]
    return fingerprint([splits, sorted(others)])


def conditions_of(manifest: Mapping[str, Any], *, across_languages: bool = False) -> dict[str, Any]:
    """Return the settings and base model of a score, without its seed and language-specific values.

    Across languages, prompt templates with the same name count as the same, because each may be in its language.
    """
    settings = {key: value for key, value in manifest["settings"].items() if key not in ("seed", "answers")}
    if isinstance(template := settings.get("template"), Mapping):
        name = template.get("name") if across_languages else None
        settings["template"] = name or _without_own_labels(template)
    base = {f"base {key}": manifest["base"].get(key) for key in ("revision", "content", "reading")}
    sample = {"limit": limit} if (limit := manifest["data"].get("sampled")) else {}  # of all splits
    transfer = manifest.get("transfer")
    return settings | base | sample | ({"trained on": transfer["data"]["name"]} if transfer else {})


def _without_own_labels(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a prompt without its labels if they are those of the data, which may differ from language to language."""
    labels = template.get("labels")
    if isinstance(labels, Mapping) and all(words == [label] for label, words in labels.items()):
        return {key: value for key, value in template.items() if key not in ("labels", "label_order")}
    return template


def names_of_conditions(scores: Sequence[ScoreOrigin]) -> list[str]:
    """Return a name for each score that distinguishes it from others of its row and column; empty for the usual one."""
    conditions = [conditions_of(score.manifest, across_languages=True) for score in scores]
    kinds = [fingerprint(condition) for condition in conditions]
    conditions_by_kind = dict(zip(kinds, conditions, strict=True))
    scores_per_kind = Counter((score.scope, kind) for score, kind in zip(scores, kinds, strict=True))
    newest: dict[tuple[Hashable, str], int] = {}
    for score, kind in zip(scores, kinds, strict=True):
        newest[score.scope, kind] = max(score.at, newest.get((score.scope, kind), 0))
    first_scores: dict[Hashable, dict[str, ScoreOrigin]] = {}
    seeds: Counter[tuple[Hashable, str]] = Counter()
    for score, kind in zip(scores, kinds, strict=True):
        first_scores.setdefault(score.series, {}).setdefault(kind, score)
        seeds[score.series, kind] += score.seeds
    names_by_kind: dict[tuple[Hashable, str], str] = {}
    for series, score_by_kind in first_scores.items():

        def rank(
            kind: str, series: Hashable = series, score_by_kind: Mapping[str, ScoreOrigin] = score_by_kind
        ) -> tuple[int, int, int, str]:
            scope = score_by_kind[kind].scope
            return -scores_per_kind[scope, kind], -seeds[series, kind], -newest[scope, kind], kind

        first, *others = sorted(score_by_kind, key=rank)
        names_by_kind[series, first] = ""
        for number, kind in enumerate(others, 2):
            difference = _difference(conditions_by_kind[kind], conditions_by_kind[first])
            names_by_kind[series, kind] = difference or f"settings {number}"
    names = [names_by_kind[score.series, kind] for score, kind in zip(scores, kinds, strict=True)]
    duplicates: dict[tuple[Row, Column, str], list[int]] = {}
    for place, (score, name) in enumerate(zip(scores, names, strict=True)):
        duplicates.setdefault((score.row, score.column, name), []).append(place)
    for places in duplicates.values():
        _name_duplicates([scores[place] for place in places], places, names)
    return names


def _name_duplicates(scores: Sequence[ScoreOrigin], places: Sequence[int], names: list[str]) -> None:
    """Name scores that differ only in libraries, adapters or training items of the task.

    The one with most seeds, of these that with the newest libraries, and in a tie the newest one, keeps its name.
    Adapters of the language of training are in the same order for all languages.
    """
    newest_first = sorted(range(len(scores)), key=lambda place: -scores[place].at)
    by_source = sorted(newest_first, key=lambda place: scores[place].source_adapter)
    order = sorted(
        by_source, key=lambda place: (scores[place].seeds, versions_of(scores[place].made_with)), reverse=True
    )
    first, taken = scores[order[0]], {names[places[order[0]]]}
    for number, place in enumerate(order[1:], 2):
        score, prefix = scores[place], names[places[place]]
        difference = _difference(score.made_with, first.made_with)
        if score.adapter != first.adapter:
            difference = score.adapter[:SHOWN]
        elif score.source_adapter != first.source_adapter:
            difference = f"source adapter {score.source_adapter}"
        elif score.learned != first.learned:
            difference = f"training items {score.learned[:SHOWN]}"
        name = f"{prefix} {difference}".strip()
        names[places[place]] = name if difference and name not in taken else f"{prefix} settings {number}".strip()
        taken.add(names[places[place]])


def _difference(conditions: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """Return how conditions differ from the usual ones; empty if they do not, or differ too much for a name."""
    keys = [key for key in sorted({*conditions, *usual}) if conditions.get(key) != usual.get(key)]
    values = [_value_text(conditions.get(key)) for key in keys]
    if len(keys) > MOST_NAMED or None in values:
        return ""
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in zip(keys, values, strict=True))


def _value_text(value: Any) -> str | None:
    if value is None:
        return "default"
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{40,64}", value):
        return value[:SHOWN]
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if isinstance(value, str | int | float) and len(text) <= LONGEST else None
