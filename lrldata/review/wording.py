"""Describe in words what speakers found, from a summary (summary.summarize). Pure."""

from collections.abc import Mapping
from typing import Any


def headline(summary: Mapping[str, Any], language: str, unit: str) -> str:
    """Return a sentence about how many of the kept lines are good, or an empty text if none was judged.

    `unit` is what they are called: lines or sentences.
    """
    kept, kind = summary["kept"], summary.get("kind")  # earlier versions did not record the kind
    if not kept:
        return ""
    quality = f"understandable, with correct words in {language}" if kind == "facts" else f"good {language}"
    counted = f"{kept['right']:,} of {kept['judged']:,} sampled kept {unit} are {quality}"
    interval = f"95 % interval {per_cent(kept['low'])} to {per_cent(kept['high'])}"
    weighted = f"of all kept {unit}, weighted by how they were sampled, {per_cent(kept['share'])} ({interval})"
    return f"{counted}; {weighted}, as judged by {_speakers(summary)}."


def _speakers(summary: Mapping[str, Any]) -> str:
    count, credited = summary["reviewers"], summary["credited"]
    speakers = f"{count} speaker{'s' * (count != 1)}"
    if not credited:
        return speakers
    return f"{speakers} ({', '.join(credited)}{' and others' if len(credited) < count else ''})"


def per_cent(share: float) -> str:
    """Format a share as a percentage: a whole number, or with one decimal if it is near 0 or 1."""
    value = 100 * share
    return f"{value:.1f} %" if (0 < value < 2 or 98 < value < 100) else f"{value:.0f} %"


def agreement(summary: Mapping[str, Any]) -> str:
    """Return a sentence about how much the reviewers agree."""
    shared, alpha, error = summary["shared"], summary["alpha"], summary["error"]
    if not shared:
        return "No line was judged by two speakers, so how much they agree is unknown."
    allowed = "" if error is None else f"; the intervals allow for errors in {per_cent(error)} of the verdicts"
    lines = f"{shared:,} shared line{'s' * (shared != 1)}"
    if alpha is None:  # undefined, because all verdicts are the same
        return f"On {lines} the speakers gave the same verdict throughout{allowed}."
    return f"On {lines} Krippendorff's alpha is {alpha:.2f}{allowed}."
