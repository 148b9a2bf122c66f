"""The results as LaTeX with booktabs: a document of all, and tables to include in a paper. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, geometric_mean

from lrldata.language import language_name
from lrltrain.names import base_name
from lrltrain.reporting import formatting
from lrltrain.reporting.formatting import column_name, method_name
from lrltrain.reporting.tables import Cell, Column, Row, Table

_CAPTION = (
    "F1 in per cent, the mean over seeds ± its standard deviation; perplexities as they are, lower is better. The best "
    "of a language and task is in bold. † marks what differs from {against} by more than chance: p < 0.05 in a paired "
    "randomisation test over items, corrected for all comparisons (Holm), and a 95 % bootstrap interval of the change, "
    "over seeds and items, that excludes 0 (of a ratio, 1)."
)
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
    lines += [rf"\caption{{{_tex(base)}. {_tex(_caption(table))}}}\\", *head, r"\endfirsthead", *head, r"\endhead"]
    before = ""
    for row in rows:
        if before and row.language != before:
            lines.append(r"\addlinespace")
        best = _best(row.language, rows, columns, table.by_place)
        shown = [_tex_cell(table.by_place.get((row, column)), best) for column in columns]
        name = language_name(row.language) if row.language != before else ""
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


def _tex_cell(cell: Cell | None, best: set[Cell], *, small: bool = False) -> str:
    if cell is None:
        return ""
    mark = _tex(formatting.MARK) if cell.verdict else ""
    text, deviation = _tex(formatting.score(cell)), ""
    if small and cell.sd is not None:
        text = _tex(formatting.number(cell.score.value, cell.column))
        deviation = rf" {{\scriptsize {_tex(f'± {formatting.number(cell.sd, cell.column)}')}}}"
    return (rf"\textbf{{{text}}}" if cell in best else text) + deviation + mark


def _caption(table: Table) -> str:
    return _CAPTION.format(against=table.against)


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


def as_tables(table: Table) -> dict[str, str]:
    """Return for each base model and test set a table to include in a paper, by its name.

    Languages are lines, methods columns; the last line is the mean over the languages that all methods have. Scores of
    other conditions are left out.
    """
    made: dict[str, str] = {}
    for base in dict.fromkeys(row.base for row in table.rows):
        for column in table.columns:
            cells = [cell for cell in table.cells if cell.row.base == base and cell.column == column]
            usual = replace(table, cells=tuple(cell for cell in cells if not cell.row.variant))
            if usual.cells:
                name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{column_name(column)}-{base_name(base)}").strip("-")
                several = sum(other == name or other.startswith(f"{name}--") for other in made)
                made[f"{name}--{several + 1}" if several else name] = _wide(base, column, usual)
    return made


def _wide(base: str, column: Column, table: Table) -> str:
    ways = list(dict.fromkeys((row.method, row.source) for row in table.rows))
    cells = {(cell.row.language, (cell.row.method, cell.row.source)): cell for cell in table.cells}
    languages = list(dict.fromkeys(row.language for row in table.rows))
    lines = [
        f"% {_tex(base)}, {_tex(column_name(column))}, {_tex(column.metric)}. {_tex(_caption(table))}",
        rf"\begin{{tabular}}{{l{'r' * len(ways)}}}",
        r"\toprule",
        _tex_line(["language", *(_tex(", ".join(filter(None, way))) for way in ways)]),
        r"\midrule",
    ]
    for language in languages:
        best = _best(language, table.rows, [column], table.by_place)
        shown = [_tex_cell(cells.get((language, way)), best, small=True) or "--" for way in ways]
        lines.append(_tex_line([_tex(language_name(language)), *shown]))
    shared = [language for language in languages if all((language, way) in cells for way in ways)]
    if len(shared) > 1:
        mean, name = (geometric_mean, "geometric mean") if column.lower_is_better else (fmean, "mean")
        means = [mean(cells[language, way].score.value for language in shared) for way in ways]
        values = (_tex(formatting.number(value, column)) for value in means)
        lines += [r"\midrule", _tex_line([f"{name} of {len(shared)}", *values])]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])
