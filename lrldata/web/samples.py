"""What a speaker should see: lines that went and that stayed, drawn by hash, and what each threshold takes. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from lrldata.ledger import WEB_REASONS
from lrldata.web.clean import rules

DROPPED, KEPT, NEAR = 20, 50, 8
LONGEST = 600  # characters of a sample
_SEED = 0
_ORDER = {reason: number for number, reason in enumerate(WEB_REASONS)}

Sample = dict[str, Any]


class Threshold(NamedTuple):
    """A number of rules.toml, and the measure that it parts."""

    rule: str
    reason: str
    measure: str
    what: str
    side: str  # on which of it lines go: below | above
    edges: tuple[float, ...]


_SHARES = tuple(round(step / 20, 2) for step in range(21))
THRESHOLDS = (
    Threshold("least_letters", "few_letters", "letter_share", "share of letters and marks in a line", "below", _SHARES),
    Threshold(
        "shortest_line", "short_line", "letters", "letters, marks and gaps between words in a line", "below",
        tuple(range(0, 62, 2)),
    ),
    Threshold("least_script", "wrong_script", "script_share", "share of letters in its script", "below", _SHARES),
    Threshold(
        "other_language", "other_language", "rival", "probability of another language, where it is the likeliest",
        "above", _SHARES,
    ),
    Threshold(
        "shortest_document", "document_short", "length", "letters left of it, as Latin script counts", "below",
        tuple(range(0, 620, 20)),
    ),
    Threshold(
        "most_repeated", "document_repetition", "repeated", "share of a document in lines that it has had",
        "above", _SHARES,
    ),
)  # fmt: skip


def draw(rows: pl.DataFrame, reasons: Iterable[str | None], most: int) -> dict[str | None, list[Sample]]:
    """Return for each reason (None: kept) up to `most` of its rows: those with the lowest hash of their text.

    In: columns reason, text, and of doc, url, taken_for, probability those that are known.
    """
    wanted = rows.filter(pl.col("reason").is_in(list(reasons), nulls_equal=True))
    wanted = wanted.with_columns(hash=pl.col("text").hash(_SEED)).unique(
        ["reason", "hash"], keep="first", maintain_order=True
    )
    lowest = wanted.sort("hash").group_by("reason", maintain_order=True).head(most)
    return {
        reason: [_sample(row) for row in some.iter_rows(named=True)] for (reason,), some in lowest.group_by("reason")
    }


def _sample(row: Mapping[str, Any]) -> Sample:
    text = row["text"]
    return {
        "text": text if len(text) <= LONGEST else text[:LONGEST] + "…",
        "doc": row.get("doc"),
        "url": row.get("url"),
        "language": row.get("taken_for"),
        "probability": round(row["probability"], 4) if row.get("probability") is not None else None,
        "hash": row["hash"],
    }


def merge(drawn: Iterable[Mapping[Any, list[Sample]]], most: int) -> dict[str, list[Sample]]:
    """Put samples together: again the lowest hashes, each text once. The order in which they come does not matter."""
    found: dict[str, dict[int, Sample]] = defaultdict(dict)
    for each in drawn:
        for reason, some in each.items():
            _keep_first(found[reason], some)
            if len(found[reason]) > 10 * most:
                found[reason] = dict(sorted(found[reason].items())[:most])
    return {reason: [sample for _, sample in sorted(some.items())[:most]] for reason, some in found.items()}


def _keep_first(found: dict[int, Sample], more: Iterable[Sample]) -> None:
    """Add samples; of those of one text that stays whose document comes first by name."""
    for sample in more:
        known = found.setdefault(sample["hash"], sample)
        if _rank(sample) < _rank(known):
            found[sample["hash"]] = sample


def _rank(sample: Sample) -> tuple[float, str]:
    return sample.get("away", 0.0), sample["doc"] or ""


def measure(judged: pl.DataFrame, named: pl.DataFrame | None = None) -> dict[str, Any]:
    """Count by each measure the rows that came as far as its rule: rows and bytes a bin, and kept ones nearest to it.

    In: columns reason, bytes and measures; of lines also text and doc, of which `named` has the name and url. By rule.
    """
    found = {}
    for each in (one for one in THRESHOLDS if one.measure in judged.columns):
        order = pl.col("reason").replace_strict(_ORDER, default=None, return_dtype=pl.Int64).fill_null(len(_ORDER))
        reached = judged.filter((order >= _ORDER[each.reason]) & pl.col(each.measure).is_not_null())
        values = reached[each.measure].to_numpy().astype(np.float64)
        bins = np.clip(np.searchsorted(each.edges, values, side="right") - 1, 0, len(each.edges) - 2)
        weights = reached["bytes"].to_numpy()
        count = len(each.edges) - 1
        found[each.rule] = {
            "rows": np.bincount(bins, minlength=count).tolist(),
            "bytes": np.bincount(bins, weights, minlength=count).astype(int).tolist(),
            "near": _nearest(reached, each, named) if named is not None and "text" in reached.columns else [],
        }
    return found


def _nearest(reached: pl.DataFrame, threshold: Threshold, named: pl.DataFrame) -> list[Sample]:
    away = (pl.col(threshold.measure) - value_of(threshold.rule)).abs()
    kept = reached.filter(pl.col("reason").is_null()).with_columns(away=away, hash=pl.col("text").hash(_SEED))
    some = kept.bottom_k(50 * NEAR, by=["away", "hash", "doc"]).sort("away", "hash", "doc")
    some = (
        some.unique("hash", keep="first", maintain_order=True).head(NEAR).join(named, on="doc", maintain_order="left")
    )
    some = some.drop("doc").rename({"name": "doc"})
    return [_sample(row) | {"away": row["away"]} for row in some.iter_rows(named=True)]


def value_of(rule: str) -> float:
    """Return the number of a rule; that of another language is langid's."""
    return 0.5 if rule == "other_language" else float(rules()[rule])


def thresholds(measured: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add up what `measure` found in each part, as the report takes it."""
    sums: dict[str, dict[str, Any]] = {}
    for each in measured:
        for rule, found in each.items():
            into = sums.setdefault(
                rule, {"rows": [0] * len(found["rows"]), "bytes": [0] * len(found["bytes"]), "near": {}}
            )
            for key in ("rows", "bytes"):
                into[key] = [one + other for one, other in zip(into[key], found[key], strict=True)]
            _keep_first(into["near"], found["near"])
            into["near"] = dict(sorted(into["near"].items(), key=lambda item: (item[1]["away"], item[0]))[:NEAR])
    return [
        {
            "rule": each.rule, "reason": each.reason, "what": each.what, "value": value_of(each.rule),
            "side": each.side, "edges": list(each.edges), **sums[each.rule],
            "near": [shown(sample) for sample in sums[each.rule]["near"].values()],
        }
        for each in THRESHOLDS if each.rule in sums
    ]  # fmt: skip


def shown(sample: Sample) -> Sample:
    """Return a sample without what it was drawn by."""
    return {key: value for key, value in sample.items() if key not in ("hash", "away")}
