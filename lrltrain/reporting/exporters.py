"""The results as Markdown, as CSV in long form, and as LaTeX with booktabs. Pure."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lrldata.card import visible
from lrltrain.reporting import formatting
from lrltrain.reporting.averages import Average
from lrltrain.reporting.formatting import column_name, method_name
from lrltrain.reporting.links import Link
from lrltrain.reporting.tables import NONE, Cell, Column, Row, Table

FIELDS = (
    *("language", "base", "method", "source", "variant", "task", "data", "metric", "items", "seeds", "train_seeds"),
    *("mean", "sd", "low", "high", "delta", "change", "change_low", "change_high", "p", "p_corrected", "verdict"),
)
READING = (
    "F1 in per cent, the mean over seeds ± its standard deviation (of adapters trained with several seeds, that of the "
    "means of each); perplexities as they are, lower is better. The interval (95 %) is over seeds and the items of the "
    "test set, by the bootstrap. A change is against the same base model without a language adapter (none): points of "
    "F1, or the ratio of perplexities. † marks a change that is more than chance: p < 0.05 in a paired randomisation "
    "test over items, corrected for all comparisons of this report (Holm), and an interval of the change, over seeds "
    "too, that does not include no change."
)
READING_AVERAGES = (
    "Means over languages, of perplexities geometric ones. The intervals are over seeds and the items of all test "
    "sets; p is of the languages' changes, by flips of their signs, corrected for all averages of the group (Holm): "
    "with fewer than six languages it cannot be below 0.05. † marks p < 0.05. Gains and losses count the languages "
    "whose own change is more than chance."
)
CAPTION = (
    "F1 in per cent, the mean over seeds ± its standard deviation; perplexities as they are, lower is better. The best "
    "of a language and task is in bold. † marks what differs from the same base model without a language adapter "
    "(none) by more than chance: p < 0.05 in a paired randomisation test over items, corrected for all comparisons "
    "(Holm), and a 95 % bootstrap interval of the change, over seeds too, that does not include no change."
)
_SPECIAL = re.compile(r"[\\`*_{}\[\]<>|~$&#]")
_FORMULA = tuple("=+-@\N{MINUS SIGN}")  # what a formula begins with, for a spreadsheet
_NOT_T1 = "ªºµĦħĸŉĿŀŦŧ"  # of the Latin letters that Unicode has first
_TEX = {each: rf"\{each}" for each in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    formatting.TIMES: r"$\times$",
    formatting.MARK: r"$^{\dagger}$",
    formatting.MINUS: "$-$",
}


def as_csv(table: Table) -> str:
    """Return a line per score: F1 of 0 to 1, perplexities as they are, `change` a difference of F1 or a ratio."""
    written = io.StringIO()
    writer = csv.DictWriter(written, FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in table.rows:
        for column in table.columns:
            if cell := table.by_place.get((row, column)):
                writer.writerow({name: _plain(value) for name, value in zip(FIELDS, _values(cell), strict=True)})
    return written.getvalue()


def _values(cell: Cell) -> Iterator[Any]:
    task, data, metric = cell.column
    yield from (*cell.row, task, cell.data or data, metric, cell.items, cell.seeds, cell.train_seeds)
    yield from (cell.score.value, cell.sd, cell.score.low, cell.score.high, cell.delta)
    against = cell.against
    yield from (against.change.value, against.change.low, against.change.high) if against else (None,) * 3
    yield from (against.p, against.p_corrected) if against else (None,) * 2
    yield cell.verdict


def _plain(value: Any) -> str:
    """Write a value; a text that a spreadsheet would take for a formula is quoted."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "" if value is None else str(value)
    return f"'{visible(text)}" if _is_formula(text) else visible(text)


def _is_formula(text: str) -> bool:
    """Return whether a spreadsheet would compute a text: it passes over blanks, and may know signs in full width."""
    first = next((each for each in text if unicodedata.category(each)[0] not in "ZC"), "")
    return unicodedata.normalize("NFKC", first).startswith(_FORMULA)


def as_markdown(table: Table, averaged: Sequence[Average], links: Sequence[Link]) -> str:
    """Return the tables of all languages, of averages, and of what goes together with what."""
    parts = ["# Results", READING, "## Scores", _markdown(_heads(table), _rows(table), 3)]
    if averaged:
        rows = [[_escaped(text) for text in _average(each)] for each in averaged]
        parts += ["## Averages", READING_AVERAGES, _markdown([*AVERAGE], rows, 4)]
    if links:
        heads = ["of", "with", "points", "Spearman", "p", "Pearson", "p"]
        rows = [[_escaped(link.of), _escaped(link.to), *link.numbers()] for link in links]
        parts += ["## What goes together", _markdown(heads, rows, 2)]
    return "\n\n".join(parts) + "\n"


AVERAGE = ("group", "base model", "method", "task", "languages", "score", "change", "p", "gains", "losses")


def _average(each: Average) -> list[str]:
    score = formatting.number(formatting.interval_of(each.score), each.column)
    if not isinstance(each.score, float):
        score += f" ({formatting.ends(each.score, each.column)})"
    p = formatting.p_value(each.p_corrected) if each.p_corrected is not None else ""
    counts = [str(len(each.languages)), score, formatting.average_change(each), p, str(each.gains), str(each.losses)]
    return [each.group, each.base, method_name(each), column_name(each.column), *counts]


def _heads(table: Table) -> list[str]:
    return ["language", "base model", "method", *(_escaped(column_name(column)) for column in table.columns)]


def _rows(table: Table) -> Iterator[list[str]]:
    for row in table.rows:
        cells = (table.by_place.get((row, column)) for column in table.columns)
        told = [_told(cell) if cell else "" for cell in cells]
        yield [*map(_escaped, (row.language, row.base, method_name(row))), *told]


def _told(cell: Cell) -> str:
    change = formatting.change(cell)
    return f"{formatting.score(cell)} ({formatting.ends(cell.score, cell.column)})" + (
        f" **{change}**" if change else ""
    )


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]], texts: int) -> str:
    rules = ["---" if place < texts else "---:" for place in range(len(heads))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rules, *rows))


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", " ".join(visible(text).split()))


def as_tex(table: Table) -> str:
    """Return a document, a table a base model: the best of a language and task in bold, † for more than chance."""
    bases = dict.fromkeys(row.base for row in table.rows)
    tables = [_tex_table(base, [row for row in table.rows if row.base == base], table) for base in bases]
    head = [r"\documentclass{article}", r"\usepackage[utf8]{inputenc}", r"\usepackage[T1]{fontenc}"]
    head += [r"\usepackage{booktabs,longtable}", r"\begin{document}"]
    return "\n".join([*head, *tables, r"\end{document}", ""])


def _tex_table(base: str, rows: Sequence[Row], table: Table) -> str:
    columns = [column for column in table.columns if any((row, column) in table.by_place for row in rows)]
    heads = ["language", "method", *(column_name(column) for column in columns)]
    head = [r"\toprule", _tex_line(map(_tex, heads)), r"\midrule"]
    lines = [r"{\small", rf"\begin{{longtable}}{{ll{'r' * len(columns)}}}"]  # which goes on to the next page
    lines += [rf"\caption{{{_tex(base)}. {_tex(CAPTION)}}}\\", *head, r"\endfirsthead", *head, r"\endhead"]
    before = ""
    for row in rows:
        if before and row.language != before:
            lines.append(r"\addlinespace")
        best = _best(row.language, rows, columns, table.by_place)
        shown = [_tex_cell(table.by_place.get((row, column)), best) for column in columns]
        name = formatting.language_name(row.language) if row.language != before else ""
        lines.append(_tex_line([_tex(name), _tex(method_name(row)), *shown]))
        before = row.language
    return "\n".join([*lines, r"\bottomrule", r"\end{longtable}", "}"])


def _best(
    language: str, rows: Sequence[Row], columns: Sequence[Column], cells: Mapping[tuple[Row, Column], Cell]
) -> set[Cell]:
    """Return the best cell of a language in each column, of all methods and `none`."""
    found = set()
    for column in columns:
        held = [cells[row, column] for row in rows if row.language == language and (row, column) in cells]
        if len(held) > 1:
            values = [cell.score.value for cell in held]
            top = min(values) if column.lower_is_better else max(values)
            found |= {cell for cell in held if cell.score.value == top}
    return found


def _tex_cell(cell: Cell | None, best: set[Cell]) -> str:
    if cell is None:
        return ""
    text = _tex(formatting.score(cell))
    mark = _tex(formatting.MARK) if cell.verdict and cell.row.method != NONE else ""
    return (rf"\textbf{{{text}}}" if cell in best else text) + mark


def _tex_line(cells: Iterable[str]) -> str:
    line = " & ".join(cells) + r" \\"
    # To the \\ or the rule of the line above, a bracket or a star would be an argument.
    return "{}" + line if line.startswith(("[", "*")) else line


def _tex(text: str) -> str:
    """Escape a text; what T1 has no letter for is told by its number, so that every compiler takes it."""
    return "".join(
        _TEX.get(each) or (each if _is_t1(each) else f"[U+{ord(each):04X}]") for each in " ".join(text.split())
    )


def _is_t1(letter: str) -> bool:
    if letter.isascii():
        return letter.isprintable()
    return letter.isalpha() and ord(letter) < 0x180 and letter not in _NOT_T1
