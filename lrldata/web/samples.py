"""Samples for speakers: dropped and kept lines, drawn by hash, and the effect of each threshold. Pure."""

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
    """A threshold in rules.toml, and the measure that it applies to."""

    rule: str
    reason: str
    measure: str
    what: str
    side: str  # the side on which lines are dropped: below | above
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
        "other_language", "other_language", "rival", "probability of another language, if it is the likeliest",
        "above", _SHARES,
    ),
    Threshold(
        "shortest_document", "document_short", "length", "letters left in a document, scaled to Latin script", "below",
        tuple(range(0, 620, 20)),
    ),
    Threshold(
        "most_repeated", "document_repetition", "repeated", "share of a document in repeated lines",
        "above", _SHARES,
    ),
)  # fmt: skip


def draw(rows: pl.DataFrame, reasons: Iterable[str | None], most: int) -> dict[str | None, list[Sample]]:
    """Return for each reason (None: kept) up to `most` of its rows: those whose texts have the lowest hashes.

    In: columns reason, text, and any of doc, url, taken_for, probability.
    """
    selected = rows.filter(pl.col("reason").is_in(list(reasons), nulls_equal=True))
    selected = selected.with_columns(hash=pl.col("text").hash(_SEED)).unique(
        ["reason", "hash"], keep="first", maintain_order=True
    )
    lowest = selected.sort("hash").group_by("reason", maintain_order=True).head(most)
    return {
        reason: [_sample(row) for row in group.iter_rows(named=True)] for (reason,), group in lowest.group_by("reason")
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


def merge(sample_groups: Iterable[Mapping[Any, list[Sample]]], most: int) -> dict[str, list[Sample]]:
    """Merge samples: keep the lowest hashes, each text once. The order of the samples does not matter."""
    merged: dict[str, dict[int, Sample]] = defaultdict(dict)
    for batch in sample_groups:
        for reason, more in batch.items():
            _keep_first(merged[reason], more)
    return {reason: [sample for _, sample in sorted(by_hash.items())[:most]] for reason, by_hash in merged.items()}


def _keep_first(kept: dict[int, Sample], more: Iterable[Sample]) -> None:
    """Add samples; of those with the same text, keep the one whose document comes first by name."""
    for sample in more:
        current = kept.setdefault(sample["hash"], sample)
        if _rank(sample) < _rank(current):
            kept[sample["hash"]] = sample


def _rank(sample: Sample) -> tuple[float, str]:
    return sample.get("away", 0.0), sample["doc"] or ""


def measure(judged: pl.DataFrame, named: pl.DataFrame | None = None) -> dict[str, Any]:
    """Count the rows that reached each rule, by its measure: rows and bytes per bin, and the nearest kept rows.

    In: columns reason, bytes and measures; for lines also text and doc, whose names and urls are in `named`. Out: a
    dict by rule.
    """
    results = {}
    for threshold in (entry for entry in THRESHOLDS if entry.measure in judged.columns):
        order = pl.col("reason").replace_strict(_ORDER, default=None, return_dtype=pl.Int64).fill_null(len(_ORDER))
        reached = judged.filter((order >= _ORDER[threshold.reason]) & pl.col(threshold.measure).is_not_null())
        values = reached[threshold.measure].to_numpy().astype(np.float64)
        bins = np.clip(np.searchsorted(threshold.edges, values, side="right") - 1, 0, len(threshold.edges) - 2)
        weights = reached["bytes"].to_numpy()
        count = len(threshold.edges) - 1
        results[threshold.rule] = {
            "rows": np.bincount(bins, minlength=count).tolist(),
            "bytes": np.bincount(bins, weights, minlength=count).astype(int).tolist(),
            "near": _nearest(reached, threshold, named) if named is not None and "text" in reached.columns else [],
        }
    return results


def _nearest(reached: pl.DataFrame, threshold: Threshold, named: pl.DataFrame) -> list[Sample]:
    away = (pl.col(threshold.measure) - value_of(threshold.rule)).abs()
    kept = reached.filter(pl.col("reason").is_null()).with_columns(away=away, hash=pl.col("text").hash(_SEED))
    nearest = kept.bottom_k(50 * NEAR, by=["away", "hash", "doc"]).sort("away", "hash", "doc")
    nearest = (
        nearest.unique("hash", keep="first", maintain_order=True)
        .head(NEAR)
        .join(named, on="doc", maintain_order="left")
    )
    nearest = nearest.drop("doc").rename({"name": "doc"})
    return [_sample(row) | {"away": row["away"]} for row in nearest.iter_rows(named=True)]


def value_of(rule: str) -> float:
    """Return the threshold of a rule; the one for other languages is that of langid."""
    return 0.5 if rule == "other_language" else float(rules()[rule])


def add_measured(sums: dict[str, dict[str, Any]], measured: Mapping[str, Any]) -> None:
    """Add the results of `measure` for a part to the sums over the others, by rule."""
    for rule, result in measured.items():
        total = sums.setdefault(
            rule, {"rows": [0] * len(result["rows"]), "bytes": [0] * len(result["bytes"]), "near": {}}
        )
        for key in ("rows", "bytes"):
            total[key] = [left + right for left, right in zip(total[key], result[key], strict=True)]
        _keep_first(total["near"], result["near"])
        total["near"] = dict(sorted(total["near"].items(), key=lambda item: (item[1]["away"], item[0]))[:NEAR])


def thresholds(sums: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the sums over all parts in the form that the report expects."""
    return [
        {
            "rule": entry.rule, "reason": entry.reason, "what": entry.what, "value": value_of(entry.rule),
            "side": entry.side, "edges": list(entry.edges), **sums[entry.rule],
            "near": [shown(sample) for sample in sums[entry.rule]["near"].values()],
        }
        for entry in THRESHOLDS if entry.rule in sums
    ]  # fmt: skip


def shown(sample: Sample) -> Sample:
    """Return a sample without the fields by which it was drawn."""
    return {key: value for key, value in sample.items() if key not in ("hash", "away")}
