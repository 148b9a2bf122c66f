"""Bars and histograms as numbers, for templates to draw. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor, sqrt

from lrldata.ledger import Tally
from lrldata.report.samples import Threshold

PLOT_HEIGHT = 150  # pixels
LABELS = 5  # on the value axis, at most, plus one at its end
APART = 26  # pixels, at least, between labels on the count axis
LEAST = 2  # thousandths of the width, at least, so that every part is visible


@dataclass(frozen=True)
class Segments:
    """A bar of a funnel, in thousandths of its width: what is left, and to its right what was dropped."""

    left: float
    gone: float


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram: position and width in per cent of the plot's width, height in pixels."""

    x: float
    width: float
    height: float
    goes: bool


@dataclass(frozen=True)
class Label:
    """A label of an axis, at a position in per cent (for values) or in pixels from the top (for counts)."""

    at: float
    text: str


@dataclass(frozen=True)
class Histogram:
    """The histogram of a threshold. Heights grow with the square root of the count, so small counts are visible."""

    bars: tuple[Bar, ...]
    values: tuple[Label, ...]
    counts: tuple[Label, ...]
    threshold: float
    height: int = PLOT_HEIGHT


def segments(left: int, gone: int, whole: int) -> Segments:
    """Return the bar for what is left and what was dropped of a whole."""
    if not whole:
        return Segments(0, 0)
    width = round(1000 * left / whole, 1)
    dropped = max(1000 * gone / whole, LEAST) if gone else 0
    return Segments(min(width, 1000 - dropped), round(dropped, 1))


def histogram(threshold: Threshold) -> Histogram:
    """Return the histogram of a threshold. All bins are equally wide, whatever values they span."""
    place = _place(threshold, threshold.value)
    most = max(threshold.rows)
    return Histogram(
        tuple(_bars(threshold, place, most)),
        tuple(_value_labels(threshold.edges)),
        tuple(_count_labels(most)),
        _per_cent(place, len(threshold.rows)),
    )


def would_go(threshold: Threshold, value: float) -> tuple[Tally, bool]:
    """Return what would be dropped with another value of the threshold, and whether that is exact.

    It is exact if the value is an edge of a bin; otherwise the bin is assumed to be filled evenly.
    """
    place = _place(threshold, value)
    counted = Tally(_up_to(threshold.rows, place), _up_to(threshold.bytes, place))
    if threshold.side == "above":
        counted = Tally(sum(threshold.rows) - counted.rows, sum(threshold.bytes) - counted.bytes)
    return counted, place == floor(place)


def number(value: float) -> str:
    """Format a value on an axis."""
    return f"{value:,.0f}" if value == round(value) else f"{value:.6g}"


def _place(threshold: Threshold, value: float) -> float:
    """Return the position of a value, counted in bins: 2.5 is the middle of the third bin."""
    edges = threshold.edges
    if value <= edges[0]:
        return 0
    inside = next((number for number, edge in enumerate(edges[1:]) if value < edge), None)
    if inside is None:
        return len(edges) - 1
    place = inside + (value - edges[inside]) / (edges[inside + 1] - edges[inside])
    return round(place) if abs(place - round(place)) < 1e-6 else place


def _up_to(counts: Sequence[int], place: float) -> int:
    whole = floor(place)
    part = (place - whole) * counts[whole] if whole < len(counts) else 0
    return sum(counts[:whole]) + floor(part + 0.5)


def _bars(threshold: Threshold, place: float, most: int) -> Iterator[Bar]:
    """Yield the bars; the bin that contains the threshold is split into two."""
    bins = len(threshold.rows)
    for index, count in enumerate(threshold.rows):
        height = round(PLOT_HEIGHT * sqrt(count / most), 1) if most else 0
        middle = min(max(place, index), index + 1)
        for low, high, under in ((index, middle, True), (middle, index + 1, False)):
            if count and low < high:
                goes = under == (threshold.side == "below")
                yield Bar(_per_cent(low, bins), _per_cent(high - low, bins), max(height, 1.0), goes)


def _value_labels(edges: Sequence[float]) -> Iterator[Label]:
    bins = len(edges) - 1
    stride = -(-bins // LABELS)
    for place in range(0, bins + 1, stride):
        yield Label(_per_cent(place, bins), number(edges[place]))


def _count_labels(most: int) -> Iterator[Label]:
    """Yield round counts (1, 2, 5, 10 ...) from the highest down, far enough apart to be readable."""
    rounds = [digit * 10**power for power in range(len(str(most))) for digit in (1, 2, 5)]
    above = float("-inf")
    for count in reversed([value for value in rounds if value <= most]):
        position = round(PLOT_HEIGHT * (1 - sqrt(count / most)), 1)
        if position - above >= APART and PLOT_HEIGHT - position >= APART * 2 / 3:
            above = position
            yield Label(position, _short(count))


def _short(count: int) -> str:
    for factor, unit in ((10**9, "G"), (10**6, "M"), (1000, "k")):
        if count >= factor:
            return f"{count // factor}{unit}"
    return str(count)


def _per_cent(part: float, whole: float) -> float:
    return round(100 * part / whole, 3)
