"""The text of rows, columns and numbers, shared by all formats of the results. Pure."""

from collections.abc import Iterable
from itertools import chain, count

from lrltrain.evaluation.record import PPPL
from lrltrain.evaluation.statistics import Interval
from lrltrain.reporting.averages import Average
from lrltrain.reporting.tables import Cell, Column, Row

MARK = "\N{DAGGER}"  # after a change that is more than chance
MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"


def method_name(row: Row | Average) -> str:
    """Return the method with the source of its text: lora, glotcc."""
    parts = [row.method, row.source or ""]
    if isinstance(row, Row):
        parts.append(row.variant)
    return ", ".join(filter(None, parts))


def column_name(column: Column) -> str:
    """Return the task with its data: topic, sib200. Perplexities also name their formula, unless it is the default."""
    formula = column.metric.partition("(")[2].rstrip(")") if column.task == PPPL else ""
    return f"{column.task}{f' ({formula})' if formula not in ('', 'corrected') else ''}, {column.data}"


def number(value: float, column: Column) -> str:
    """Format a score: F1 in per cent, a perplexity unchanged."""
    return f"{value:,.2f}" if column.lower_is_better else f"{100 * value:.1f}"


def score(cell: Cell) -> str:
    """Format the mean and standard deviation."""
    mean = number(cell.score.value, cell.column)
    return mean if cell.sd is None else f"{mean} ± {number(cell.sd, cell.column)}"


def ends(interval: Interval, column: Column) -> str:
    """Format the ends of a confidence interval."""
    return f"{number(interval.low, column)} to {number(interval.high, column)}"


def changed(value: float, column: Column) -> str:
    """Format a change: points of F1 with a sign, or the ratio of perplexities."""
    if column.lower_is_better:
        return f"{TIMES} {value:.3f}"
    points = f"{100 * value:+.1f}".replace("-", MINUS)
    return "0.0" if points in ("+0.0", f"{MINUS}0.0") else points


def change(cell: Cell) -> str:
    """Format the change of a score, marked if it is more than chance; empty if there is no comparison."""
    if cell.against is None:
        return ""
    return changed(cell.against.change.value, cell.column) + (MARK if cell.verdict else "")


def average_change(average: Average) -> str:
    """Format the change of an average with its interval, marked if languages agree; empty if there is no comparison."""
    if average.change is None:
        return ""
    text = changed(point_estimate(average.change), average.column) + (MARK if average.is_clear else "")
    if isinstance(average.change, Interval):
        low, high = (changed(end, average.column) for end in (average.change.low, average.change.high))
        text += f" ({low} to {high})"
    return text


def languages_of(average: Average) -> str:
    """Format the number of languages in an average, and in its change if that has fewer."""
    count = str(len(average.languages))
    return f"{count} ({average.compared} compared)" if 0 < average.compared < len(average.languages) else count


def p_value(p: float) -> str:
    """Format a p-value."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def point_estimate(value: Interval | float) -> float:
    """Return a value without its interval."""
    return value.value if isinstance(value, Interval) else value


def unused_name(name: str, taken: Iterable[str]) -> str:
    """Return the name of a file that is not taken, even on a disk that ignores case: `name`, `name--2`, `name--3`."""
    used = {other.casefold() for other in taken}
    candidates = chain([name], (f"{name}--{number}" for number in count(2)))
    return next(candidate for candidate in candidates if candidate.casefold() not in used)
