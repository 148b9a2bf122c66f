"""Which threshold would fit what speakers say better, and what it would cost. IO: reads a dataset's folder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lrldata.dataset import SAMPLES, VERDICTS, open_shards
from lrldata.errors import InputError
from lrldata.langid import load_model
from lrldata.report.read import read_samples
from lrldata.report.samples import Threshold
from lrldata.review.frame import KEPT, Frame, newest_frame
from lrldata.review.verdicts import consensus, read_all
from lrldata.web.clean import rules
from lrldata.web.line_filters import judge

LINE_MEASURES = {"least_letters": "letter_share", "shortest_line": "letters", "least_script": "script_share"}
LEAST_GAIN = 0.05  # share of the wrong decisions that another threshold must save, or nothing is said


@dataclass(frozen=True)
class Suggestion:
    """A threshold as it is and as it would fit better, with the lines that each decides wrongly, by estimate.

    `verdicts` is on how many judged lines that rests.
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
    """A judged line: its measure, whether it is good, and for how many lines of its stratum it stands."""

    value: float
    good: bool
    weight: float


def suggest(folder: Path) -> list[Suggestion]:
    """Return a suggestion for each threshold for lines of which judged lines are on both sides or either.

    Raises InputError where nothing was judged, or the dataset has no thresholds.
    """
    opened = open_shards(folder, SAMPLES)
    samples, frame = read_samples(opened, folder), newest_frame(folder)
    decided = consensus(read_all(folder / VERDICTS))
    if samples is None:
        raise InputError(f"{folder}: has no {SAMPLES}, which is not published.", "Use the folder that the build made.")
    if not samples.thresholds:
        raise InputError(f"{folder}: has no thresholds: it is not of web text.", "")
    if frame is None or not decided:
        raise InputError(f"{folder}: nobody has judged lines of it.", f"`lrldata review {folder}` asks speakers.")
    scripts = opened.manifest["language"].get("scripts", [])
    measured = _measure(frame, decided, scripts)
    by_rule = {each.rule: each for each in samples.thresholds}
    return [
        _best(threshold, judged)
        for rule, threshold in by_rule.items()
        if (judged := list(_judged(frame, decided, measured, rule, threshold.reason)))
    ]


def _measure(frame: Frame, decided: Mapping[str, str], scripts: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return what the rules measure of each judged line."""
    chosen = [each for each in frame.lines if each.line in decided]
    texts = pl.Series("text", [each.text for each in chosen], dtype=pl.String)
    measured = judge(texts, rules(), scripts)
    found = load_model("compact").predict_two(texts.str.head(rules()["identified"]).to_list())
    rival = found.select(pl.when(pl.col("first") != frame.language).then("first_probability"))["first_probability"]
    values = measured.select(*LINE_MEASURES.values()).with_columns(rival=rival)
    names = {**LINE_MEASURES, "other_language": "rival"}
    return {
        each.line: {rule: row[measure] for rule, measure in names.items() if row[measure] is not None}
        for each, row in zip(chosen, values.iter_rows(named=True), strict=True)
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
    for each in frame.lines:
        counts[each.stratum] += each.line in decided
    for each in frame.lines:
        about = frame.strata[each.stratum]
        if each.line in decided and about.group in (KEPT, reason) and rule in measured[each.line]:
            weight = about.size / counts[each.stratum]
            yield _Judged(measured[each.line][rule], decided[each.line] == "right", weight)


def _best(threshold: Threshold, judged: Sequence[_Judged]) -> Suggestion:
    """Return the value with the fewest lines decided wrongly; of several as good, the nearest to that of now."""
    lost_now, kept_now = _wrong(threshold, threshold.value, judged)
    best, wrong = threshold.value, (lost_now, kept_now)
    for value in sorted(threshold.edges, key=lambda edge: abs(edge - threshold.value)):
        lost, kept = _wrong(threshold, value, judged)
        if lost + kept < (1 - LEAST_GAIN) * (lost_now + kept_now) and lost + kept < sum(wrong) - 1e-9:
            best, wrong = value, (lost, kept)
    return Suggestion(threshold.rule, threshold.value, best, lost_now, wrong[0], kept_now, wrong[1], len(judged))


def _wrong(threshold: Threshold, value: float, judged: Sequence[_Judged]) -> tuple[float, float]:
    """Return how many good lines would go, and how many bad ones stay."""
    below = threshold.side == "below"
    lost = kept = 0.0
    for each in judged:
        goes = each.value < value if below else each.value > value
        lost += each.weight * (goes and each.good)
        kept += each.weight * (not goes and not each.good)
    return lost, kept
