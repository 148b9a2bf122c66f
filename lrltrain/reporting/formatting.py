"""How rows, columns and numbers are written, in every form of the results. Pure."""

from lrltrain.evaluation.statistics import Interval
from lrltrain.reporting.averages import Average
from lrltrain.reporting.tables import PPPL, Cell, Column, Row

MARK = "\N{DAGGER}"  # beside a change that is more than chance
MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"


def method_name(row: Row | Average) -> str:
    """Return the method with the source of its text: lora, glotcc."""
    parts = [row.method, row.source or ""]
    if isinstance(row, Row):
        parts.append(row.variant)
    return ", ".join(filter(None, parts))


def column_name(column: Column) -> str:
    """Return the task with its data: topic, sib200; of perplexities with the formula, where it is not the usual one."""
    formula = column.metric.partition("(")[2].rstrip(")") if column.task == PPPL else ""
    return f"{column.task}{f' ({formula})' if formula not in ('', 'corrected') else ''}, {column.data}"


def number(value: float, column: Column) -> str:
    """Write a score: F1 in per cent, a perplexity as it is."""
    return f"{value:,.2f}" if column.lower_is_better else f"{100 * value:.1f}"


def score(cell: Cell) -> str:
    """Write mean and standard deviation."""
    mean = number(cell.score.value, cell.column)
    return mean if cell.sd is None else f"{mean} ± {number(cell.sd, cell.column)}"


def ends(interval: Interval, column: Column) -> str:
    """Write the ends of an interval."""
    return f"{number(interval.low, column)} to {number(interval.high, column)}"


def changed(value: float, column: Column) -> str:
    """Write a change: of F1 in points, with its sign; of a perplexity as the ratio."""
    if column.lower_is_better:
        return f"{TIMES} {value:.3f}"
    points = f"{100 * value:+.1f}".replace("-", MINUS)
    return "0.0" if points in ("+0.0", f"{MINUS}0.0") else points


def change(cell: Cell) -> str:
    """Write the change against `none`, marked where it is more than chance; empty where nothing was compared."""
    if cell.against is None:
        return ""
    return changed(cell.against.change.value, cell.column) + (MARK if cell.verdict else "")


def average_change(each: Average) -> str:
    """Write the change of an average with its interval, marked where languages agree; empty where there is none."""
    if each.change is None:
        return ""
    told = changed(point_estimate(each.change), each.column) + (MARK if each.is_clear else "")
    if isinstance(each.change, Interval):
        low, high = (changed(end, each.column) for end in (each.change.low, each.change.high))
        told += f" ({low} to {high})"
    return told


def languages_of(each: Average) -> str:
    """Write over how many languages an average is, and its change where that is over fewer."""
    many = str(len(each.languages))
    return f"{many} ({each.compared} compared)" if 0 < each.compared < len(each.languages) else many


def p_value(p: float) -> str:
    """Write p."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def point_estimate(value: Interval | float) -> float:
    """Return a value without its interval, if it has one."""
    return value.value if isinstance(value, Interval) else value
