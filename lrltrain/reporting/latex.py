"""The results as LaTeX with booktabs: a document with all tables, and single tables to include in a paper. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, geometric_mean

from lrldata.language import language_name
from lrltrain.names import base_name
from lrltrain.reporting import formatting
from lrltrain.reporting.formatting import column_name, method_name, unused_name
from lrltrain.reporting.tables import Cell, Column, Row, Table

_CAPTION = (
    "F1 is in per cent, as the mean over seeds ± its standard deviation; for perplexities, lower is better. The best "
    "score of a language and task is in bold. † marks a difference from {against} that is more than chance: p < 0.05 "
    "in a paired randomization test over items, corrected for all comparisons (Holm), and a 95 % bootstrap interval of "
    "the change, over seeds and items, that excludes 0 (or 1 for a ratio)."
)
_WIDTH = 150  # characters that fit side by side on a landscape page, with 3 for the space between two columns
_NOT_T1 = "ªºµĦħĸŉĿŀŦŧ"  # Latin letters below U+0180 that T1 lacks
_TEX = {character: rf"\{character}" for character in "&%$#_{}"} | {
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
    """Return a document with tables per base model: best scores in bold, † for changes by more than chance."""
    tables = []
    for base in dict.fromkeys(row.base for row in table.rows):
        rows = [row for row in table.rows if row.base == base]
        tables += [_tex_table(base, rows, columns, table) for columns in _side_by_side(rows, table)]
    head = [r"\documentclass{article}", r"\usepackage[utf8]{inputenc}", r"\usepackage[T1]{fontenc}"]
    head += [r"\usepackage[a4paper,landscape,margin=1.5cm]{geometry}", r"\usepackage{booktabs,longtable}"]
    head += [r"\begin{document}"]
    return "\n".join([*head, *tables, r"\end{document}", ""])


def _side_by_side(rows: Sequence[Row], table: Table) -> list[list[Column]]:
    """Return the columns of these rows in groups that fit on a page."""
    groups: list[list[Column]] = []
    first = sum(
        max(map(len, map(text_of, rows))) + 3 for text_of in (lambda row: language_name(row.language), method_name)
    )
    width = _WIDTH
    for column in table.columns:
        cells = [table.by_place[row, column] for row in rows if (row, column) in table.by_place]
        if cells:
            wide = max(len(column_name(column)), *(len(formatting.score(cell)) for cell in cells)) + 3
            if width + wide > _WIDTH:
                groups.append([])
                width = first
            groups[-1].append(column)
            width += wide
    return groups


def _tex_table(base: str, all_rows: Sequence[Row], columns: Sequence[Column], table: Table) -> str:
    rows = [row for row in all_rows if any((row, column) in table.by_place for column in columns)]
    heads = ["language", "method", *(column_name(column) for column in columns)]
    head = [r"\toprule", _tex_line(map(_tex, heads)), r"\midrule"]
    lines = [r"{\small", rf"\begin{{longtable}}{{ll{'r' * len(columns)}}}"]  # a longtable continues on the next page
    lines += [rf"\caption{{{_tex(base)}. {_tex(_caption(table))}}}\\", *head, r"\endfirsthead", *head, r"\endhead"]
    previous = ""
    for row in rows:
        if previous and row.language != previous:
            lines.append(r"\addlinespace")
        best = _best(row.language, rows, columns, table.by_place)
        shown = [_tex_cell(table.by_place.get((row, column)), best) for column in columns]
        name = language_name(row.language) if row.language != previous else ""
        lines.append(_tex_line([_tex(name), _tex(method_name(row)), *shown]))
        previous = row.language
    return "\n".join([*lines, r"\bottomrule", r"\end{longtable}", "}"])


def _best(
    language: str, rows: Sequence[Row], columns: Sequence[Column], cells: Mapping[tuple[Row, Column], Cell]
) -> set[Cell]:
    """Return the best cells of a language in each column, among all methods including `none`."""
    best = set()
    for column in columns:
        candidates = [cells[row, column] for row in rows if row.language == language and (row, column) in cells]
        if len(candidates) > 1:
            values = [cell.score.value for cell in candidates]
            top = min(values) if column.lower_is_better else max(values)
            best |= {cell for cell in candidates if cell.score.value == top}
    return best


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
    # A leading bracket or star would be read as an argument of the \\ or the rule above.
    return "{}" + line if line.startswith(("[", "*")) else line


def _tex(text: str) -> str:
    """Escape a text. A character that T1 lacks is written as its code point, so that every compiler accepts it."""
    return "".join(
        _TEX.get(character) or (character if _is_t1(character) else f"[U+{ord(character):04X}]")
        for character in " ".join(text.split())
    )


def _is_t1(letter: str) -> bool:
    if letter.isascii():
        return letter.isprintable()
    return letter.isalpha() and ord(letter) < 0x180 and letter not in _NOT_T1


def as_tables(table: Table) -> dict[str, str]:
    """Return one table per base model and test set, to include in a paper, by file name.

    Rows are languages and columns are methods; the last row is the mean over the languages that have all methods.
    Scores with unusual conditions are left out.
    """
    tables: dict[str, str] = {}
    for base in dict.fromkeys(row.base for row in table.rows):
        for column in table.columns:
            cells = [cell for cell in table.cells if cell.row.base == base and cell.column == column]
            usual = replace(table, cells=tuple(cell for cell in cells if not cell.row.variant))
            if usual.cells:
                name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{column_name(column)}-{base_name(base)}").strip("-")
                tables[unused_name(name, tables)] = _wide(base, column, usual)
    return tables


def _wide(base: str, column: Column, table: Table) -> str:
    methods = list(dict.fromkeys((row.method, row.source) for row in table.rows))
    cells = {(cell.row.language, (cell.row.method, cell.row.source)): cell for cell in table.cells}
    languages = list(dict.fromkeys(row.language for row in table.rows))
    lines = [
        f"% {_tex(base)}, {_tex(column_name(column))}, {_tex(column.metric)}. {_tex(_caption(table))}",
        rf"\begin{{tabular}}{{l{'r' * len(methods)}}}",
        r"\toprule",
        _tex_line(["language", *(_tex(", ".join(filter(None, method))) for method in methods)]),
        r"\midrule",
    ]
    for language in languages:
        best = _best(language, table.rows, [column], table.by_place)
        shown = [_tex_cell(cells.get((language, method)), best, small=True) or "--" for method in methods]
        lines.append(_tex_line([_tex(language_name(language)), *shown]))
    shared = [language for language in languages if all((language, method) in cells for method in methods)]
    if len(shared) > 1:
        mean, name = (geometric_mean, "geometric mean") if column.lower_is_better else (fmean, "mean")
        means = [mean(cells[language, method].score.value for language in shared) for method in methods]
        values = (_tex(formatting.number(value, column)) for value in means)
        lines += [r"\midrule", _tex_line([f"{name} of {len(shared)}", *values])]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])
