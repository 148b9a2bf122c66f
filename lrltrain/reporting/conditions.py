"""What scores were made under, besides language, data and adapter; scores that are averaged or compared share it. Pure.

Of several conditions of one method on one test set, those of most scores need no name, and of as many the newest; the
others are named by what differs, in all languages alike. A name is the variant of a row, and averages leave variants
out.
"""

import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lrldata.manifest import fingerprint
from lrldata.versions import versions_of
from lrltrain.reporting.tables import Column, Row
from lrltrain.reporting.train_seeds import seed_of

SHOWN = 6  # digits of a hash
MOST_NAMED = 2  # differences that make a name; more have a number
LONGEST = 20  # characters of a value in a name


@dataclass(frozen=True)
class Made:
    """A score: its place in the table, the manifest of one of its runs, how many seeds it has, and when it was made.

    That is in whole minutes, as copies that lose it are made at about one time.
    """

    row: Row
    column: Column
    manifest: Mapping[str, Any]
    seeds: int = 1
    at: int = 0

    @property
    def way(self) -> tuple[Row, Column]:
        """Return the place without its language, and without the seed that its adapter was trained with."""
        return seed_of(self.row)[0]._replace(language=""), self.column

    @property
    def scope(self) -> tuple[str, Column]:
        """Return what all methods share that should have been measured under the same conditions."""
        return self.row.base, self.column

    @property
    def made_with(self) -> Mapping[str, str]:
        """Return the libraries by name, with their versions."""
        return dict(self.manifest["made_with"])

    @property
    def adapter(self) -> str:
        """Return the hash of the adapter's manifest; empty without one."""
        return str((self.manifest["adapter"] or {}).get("manifest_sha256", ""))


def conditions_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings and base model of a score, without its seed and without what belongs to its language."""
    settings = {key: value for key, value in manifest["settings"].items() if key not in ("seed", "answers")}
    base = {f"base {key}": manifest["base"].get(key) for key in ("revision", "content", "reading")}
    learned = manifest.get("transfer")
    return settings | base | ({"trained on": learned["data"]["name"]} if learned else {})


def names_of_conditions(scores: Sequence[Made]) -> list[str]:
    """Return for each score what tells it from others of its place, empty for the usual one."""
    conditions = [conditions_of(score.manifest) for score in scores]
    kinds = [fingerprint(each) for each in conditions]
    told = dict(zip(kinds, conditions, strict=True))
    usual = Counter((score.scope, kind) for score, kind in zip(scores, kinds, strict=True))
    newest: dict[tuple[Hashable, str], int] = {}
    for score, kind in zip(scores, kinds, strict=True):
        newest[score.scope, kind] = max(score.at, newest.get((score.scope, kind), 0))
    ways: dict[Hashable, dict[str, Made]] = {}
    seeds: Counter[tuple[Hashable, str]] = Counter()
    for score, kind in zip(scores, kinds, strict=True):
        ways.setdefault(score.way, {}).setdefault(kind, score)
        seeds[score.way, kind] += score.seeds
    called: dict[tuple[Hashable, str], str] = {}
    for way, several in ways.items():

        def rank(kind: str, way: Hashable = way, several: Mapping[str, Made] = several) -> tuple[int, int, int, str]:
            scope = several[kind].scope
            return -usual[scope, kind], -seeds[way, kind], -newest[scope, kind], kind

        first, *others = sorted(several, key=rank)
        called[way, first] = ""
        for number, kind in enumerate(others, 2):
            differs = _difference(told[kind], told[first])
            called[way, kind] = differs or f"settings {number}"
    names = [called[score.way, kind] for score, kind in zip(scores, kinds, strict=True)]
    twins: dict[tuple[Row, Column, str], list[int]] = {}
    for at, (score, name) in enumerate(zip(scores, names, strict=True)):
        twins.setdefault((score.row, score.column, name), []).append(at)
    for held in twins.values():
        _tell_apart([scores[at] for at in held], held, names)
    return names


def _tell_apart(scores: Sequence[Made], places: Sequence[int], names: list[str]) -> None:
    """Name scores of one place and the same conditions: by libraries or adapter; most seeds and newest come first."""
    order = sorted(
        range(len(scores)), key=lambda at: (scores[at].seeds, versions_of(scores[at].made_with)), reverse=True
    )
    first, taken = scores[order[0]], {names[places[order[0]]]}
    for number, at in enumerate(order[1:], 2):
        score, named = scores[at], names[places[at]]
        differs = _difference(score.made_with, first.made_with)
        if score.adapter != first.adapter:
            differs = score.adapter[:SHOWN]
        name = f"{named} {differs}".strip()
        names[places[at]] = name if differs and name not in taken else f"{named} settings {number}".strip()
        taken.add(names[places[at]])


def _difference(ours: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """Say in what conditions differ; nothing where it is nothing, or too much for a name."""
    keys = [key for key in sorted({*ours, *usual}) if ours.get(key) != usual.get(key)]
    values = [_shown(ours.get(key)) for key in keys]
    if len(keys) > MOST_NAMED or None in values:
        return ""
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in zip(keys, values, strict=True))


def _shown(value: Any) -> str | None:
    if value is None:
        return "default"
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{40,64}", value):
        return value[:SHOWN]
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return shown if isinstance(value, str | int | float) and len(shown) <= LONGEST else None
