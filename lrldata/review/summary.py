"""Summarize the verdicts in a dataset's folder: shares of good lines with intervals, and agreement. IO."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lrldata.dataset import VERDICTS
from lrldata.paths import inside
from lrldata.review.frame import KEPT, Frame, newest_frame
from lrldata.review.statistics import Share, Stratum, estimate, krippendorff_alpha
from lrldata.review.verdicts import Verdict, current_verdicts, read_all


def summary_of(folder: Path) -> dict[str, Any] | None:
    """Return what speakers said about a dataset, as JSON-like values, or None if there are no verdicts.

    Raises DamagedError or InputError for files in `verdicts/` that were changed.
    """
    place = inside(folder, VERDICTS)
    frame = newest_frame(folder) if place.is_dir() else None
    if frame is None:
        return None
    return summarize(frame, read_all(place))


def summarize(frame: Frame, verdicts: Sequence[Verdict]) -> dict[str, Any] | None:
    """Return what verdicts say about the dataset of a frame, or None if none is on one of its lines. Pure."""
    verdicts = [verdict for verdict in verdicts if verdict.version == frame.version]  # others are no sample of it
    offered = {line.line for line in frame.lines}
    by_line = {line: by_reviewer for line, by_reviewer in current_verdicts(verdicts).items() if line in offered}
    if not by_line:
        return None
    result = estimate(groups_of(frame, by_line))
    decisions = Counter(verdict.decision for by_reviewer in by_line.values() for verdict in by_reviewer.values())
    latest = {verdict.reviewer: verdict.credit for verdict in sorted(verdicts, key=lambda verdict: verdict.time)}
    reviewers = sorted({reviewer for by_reviewer in by_line.values() for reviewer in by_reviewer})
    decided = [
        [verdict.decision for verdict in by_reviewer.values() if verdict.decision != "unsure"]
        for by_reviewer in by_line.values()
    ]
    alpha = krippendorff_alpha(decided)
    shares = {name: _as_json(share) for name, share in result.shares.items()}
    return {
        "version": frame.version,
        "kind": frame.kind,
        "reviewers": len(reviewers),
        "credited": [reviewer for reviewer in reviewers if latest[reviewer]],
        "lines": len(by_line),
        "verdicts": sum(decisions.values()),
        "unsure": decisions["unsure"],
        "shared": sum(len(decisions_on_line) > 1 for decisions_on_line in decided),
        "alpha": None if alpha is None else round(alpha, 3),
        "error": None if result.errors is None else round(sum(result.errors.values()) / len(result.errors), 3),
        "kept": shares.pop(KEPT, None),
        "dropped": {reason: _turned(share) for reason, share in shares.items()},
    }


def groups_of(frame: Frame, verdicts: Mapping[str, Mapping[str, Verdict]]) -> dict[str, list[Stratum]]:
    """Return the strata of a frame by group, with the votes on their lines. Pure."""
    votes: list[list[dict[str, bool]]] = [[] for _ in frame.strata]
    for offered in frame.lines:
        line_votes = {
            reviewer: verdict.decision == "right"
            for reviewer, verdict in verdicts.get(offered.line, {}).items()
            if verdict.decision != "unsure"
        }
        if line_votes:
            votes[offered.stratum].append(line_votes)
    groups: dict[str, list[Stratum]] = {}
    for about, stratum_votes in zip(frame.strata, votes, strict=True):
        groups.setdefault(about.group, []).append(Stratum(about.size, stratum_votes, about.right))
    return groups


def _as_json(share: Share) -> dict[str, Any]:
    return {
        "judged": share.judged,
        "right": share.right,
        **{name: round(getattr(share, name), 4) for name in ("share", "low", "high")},
    }


def _turned(share: dict[str, Any]) -> dict[str, Any]:
    """Turn a share of good lines into the share of lines that were dropped correctly."""
    return {
        "judged": share["judged"],
        "right": share["judged"] - share["right"],
        "share": round(1 - share["share"], 4),
        "low": round(1 - share["high"], 4),
        "high": round(1 - share["low"], 4),
    }
