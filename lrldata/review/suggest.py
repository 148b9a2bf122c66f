"""Suggest thresholds that fit the verdicts of speakers better, and say what they cost. IO: reads a dataset's folder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lrldata.dataset import SAMPLES, VERDICTS, open_shards
from lrldata.errors import InputError
from lrldata.report.read import read_samples
from lrldata.report.samples import Threshold
from lrldata.review.frame import KEPT, Frame, newest_frame
from lrldata.review.verdicts import consensus, read_all
from lrldata.web.clean import rules
from lrldata.web.line_filters import judge

LINE_MEASURES = {"least_letters": "letter_share", "shortest_line": "letters", "least_script": "script_share"}
LEAST_GAIN = 0.05  # share of the wrong decisions that a suggested threshold must avoid


@dataclass(frozen=True)
class Suggestion:
    """The current and a better value of a threshold, with the estimated numbers of lines that each decides wrongly.

    `verdicts` is the number of judged lines that the estimate is based on.
    """

    rule: str
    now: float
    better: float
    good_lost_now: float
    good_lost: float
    bad_kept_now: float
    bad_kept: float
    verdicts: int


@dataclass(frozen=True)
class _Judged:
    """A judged line: its measure, whether it is good, and how many lines of its stratum it stands for."""

    value: float
    good: bool
    weight: float


def suggest(folder: Path) -> list[Suggestion]:
    """Return a suggestion for each line threshold that has judged lines.

    Raises InputError if no lines were judged, or if the dataset has no thresholds.
    """
    opened = open_shards(folder, SAMPLES)
    samples, frame = read_samples(opened, folder), newest_frame(folder)
    decided = consensus(read_all(folder / VERDICTS))
    if samples is None:
        raise InputError(
            f"{folder}: has no {SAMPLES}, because it is not published.", "Use the folder that the build wrote."
        )
    if not samples.thresholds:
        raise InputError(f"{folder}: has no thresholds, because it is not made from web text.", "")
    if frame is None or not decided:
        raise InputError(
            f"{folder}: none of its lines were judged.", f"Have speakers judge lines with `lrldata review {folder}`."
        )
    scripts = opened.manifest["language"].get("scripts", [])
    measured = _measure(frame, decided, scripts)
    by_rule = {threshold.rule: threshold for threshold in samples.thresholds}
    return [
        _best(threshold, judged)
        for rule, threshold in by_rule.items()
        if (judged := list(_judged(frame, decided, measured, rule, threshold.reason)))
    ]


def _measure(frame: Frame, decided: Mapping[str, str], scripts: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the values that the rules measure for each judged line.

    The identification of languages is left out: it does not depend on one threshold alone.
    """
    judged = [offered for offered in frame.lines if offered.line in decided]
    texts = pl.Series("text", [offered.text for offered in judged], dtype=pl.String)
    measured = judge(texts, rules(), scripts)
    values = measured.select(*LINE_MEASURES.values())
    return {
        offered.line: {rule: row[measure] for rule, measure in LINE_MEASURES.items() if row[measure] is not None}
        for offered, row in zip(judged, values.iter_rows(named=True), strict=True)
    }


def _judged(
    frame: Frame,
    decided: Mapping[str, str],
    measured: Mapping[str, Mapping[str, float]],
    rule: str,
    reason: str,
) -> Iterator[_Judged]:
    """Yield the judged lines that a threshold decides on: those kept, and those dropped for its reason."""
    counts = [0] * len(frame.strata)
    for offered in frame.lines:
        counts[offered.stratum] += offered.line in decided
    for offered in frame.lines:
        about = frame.strata[offered.stratum]
        if offered.line in decided and about.group in (KEPT, reason) and rule in measured[offered.line]:
            weight = about.size / counts[offered.stratum]
            yield _Judged(measured[offered.line][rule], decided[offered.line] == "right", weight)


def _best(threshold: Threshold, judged: Sequence[_Judged]) -> Suggestion:
    """Return the value with the fewest wrong decisions; of equally good ones, the closest to the current value."""
    lost_now, kept_now = _wrong(threshold, threshold.value, judged)
    best, wrong = threshold.value, (lost_now, kept_now)
    for value in sorted(threshold.edges, key=lambda edge: abs(edge - threshold.value)):
        lost, kept = _wrong(threshold, value, judged)
        if lost + kept < (1 - LEAST_GAIN) * (lost_now + kept_now) and lost + kept < sum(wrong) - 1e-9:
            best, wrong = value, (lost, kept)
    return Suggestion(threshold.rule, threshold.value, best, lost_now, wrong[0], kept_now, wrong[1], len(judged))


def _wrong(threshold: Threshold, value: float, judged: Sequence[_Judged]) -> tuple[float, float]:
    """Return how many good lines would be dropped, and how many bad ones would be kept."""
    below = threshold.side == "below"
    lost = kept = 0.0
    for line in judged:
        is_dropped = line.value < value if below else line.value > value
        lost += line.weight * (is_dropped and line.good)
        kept += line.weight * (not is_dropped and not line.good)
    return lost, kept
