"""The results as one self-contained HTML page: sortable and filterable tables, plots, language sections. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from lrldata.errors import LanguageError
from lrldata.language import Language, find, language_name
from lrldata.report.html import STYLE, asset, environment, policy
from lrltrain.names import base_name
from lrltrain.reporting import formatting
from lrltrain.reporting.averages import Average
from lrltrain.reporting.costs import HEADS, Cost
from lrltrain.reporting.links import Link
from lrltrain.reporting.markdown import READING_AVERAGES, READING_COSTS, reading
from lrltrain.reporting.material import CardPage, Dataset, WorkspaceContents
from lrltrain.reporting.plots import Plot, in_order, losses
from lrltrain.reporting.sizes import CORPORA, corpus_of, size_of
from lrltrain.reporting.tables import Column, Table

HOME = "lrltrain.reporting"


@dataclass(frozen=True)
class Card:
    """The page of a card: its name, and its address relative to the report."""

    name: str
    href: str


@dataclass(frozen=True)
class Section:
    """The section of one language."""

    code: str
    name: str
    language: Language | None
    facts: tuple[tuple[str, str], ...]
    table: Table
    datasets: tuple[Dataset, ...]
    losses: Plot | None
    cards: tuple[Card, ...]


def render(
    table: Table,
    averaged: Sequence[Average],
    links: Sequence[Link],
    training_costs: Sequence[Cost],
    plots: Sequence[Plot],
    material: WorkspaceContents,
    home: Path,
) -> str:
    """Return the page; `home` is the folder that it will be written to. Pure."""
    style, script = asset(STYLE) + asset("results.css", HOME), asset("results.js", HOME)
    compared = [cell for cell in table.cells if cell.against]
    return (
        environment(HOME)
        .get_template("results.html.jinja")
        .render(
            table=table,
            averages=list(_by_row(averaged)),
            links=links,
            training_costs=training_costs,
            cost_heads=HEADS,
            reading_costs=READING_COSTS,
            plots=plots,
            sections=list(_sections(table, material, home)),
            reading=reading(table),
            reading_averages=READING_AVERAGES,
            formatting=formatting,
            base_name=base_name,
            language_name=language_name,
            compared=len(compared),
            gains=sum(cell.verdict == "gain" for cell in compared),
            losses=sum(cell.verdict == "loss" for cell in compared),
            runs=sum(cell.seeds for cell in table.cells if not cell.column.lower_is_better),
            plot_svg=plot_svg,
            style=style,
            script=script,
            policy=policy(style, script),
        )
    )


def _by_row(averaged: Sequence[Average]) -> Iterator[tuple[Average, Mapping[Column, Average]]]:
    """Yield the averages of each group and method by column, preceded by the first, which names the row."""
    rows: dict[tuple[str, str, str, str | None], dict[Column, Average]] = {}
    for average in averaged:
        rows.setdefault((average.group, average.base, average.method, average.source), {})[average.column] = average
    for columns in rows.values():
        yield next(iter(columns.values())), columns


def plot_svg(plot: Plot) -> Markup:
    """Return the SVG of a plot with an ARIA label; texts in the SVG were escaped when it was drawn."""
    return Markup(plot.svg).replace("<svg ", Markup('<svg role="img" aria-label="{}" ').format(plot.about), 1)  # noqa: S704


def _sections(table: Table, material: WorkspaceContents, home: Path) -> Iterator[Section]:
    scored = [row.language for row in table.rows]
    others = [dataset.language for dataset in material.datasets] + [adapter.language for adapter in material.adapters]
    series = in_order(table, material)
    for code in dict.fromkeys([*scored, *sorted(others)]):
        try:
            language = find(code)
        except LanguageError:
            language = None
        part = table.of(code)
        trained = [adapter for adapter in material.adapters if adapter.language == code]
        yield Section(
            code,
            language_name(code),
            language,
            tuple(_facts(language, part)),
            part,
            tuple(dataset for dataset in material.datasets if dataset.language == code),
            losses(code, trained, series),
            tuple(_card(card, home) for card in material.cards if card.language == code),
        )


def _facts(language: Language | None, table: Table) -> Iterator[tuple[str, str]]:
    if language is None:
        return
    if language.scripts:
        yield "script", ", ".join(language.scripts)
    if language.paper:
        yield "Joshi class", str(language.paper.joshi_class)
    for base in dict.fromkeys(row.base for row in table.rows):
        corpus, size = corpus_of(base), size_of(base, language.code)
        if corpus and size is not None:
            yield f"{CORPORA[corpus]} of {base_name(base)}", f"{size:,.1f} MB" if size else "none"


def _card(card: CardPage, home: Path) -> Card:
    path = relpath(card.path.resolve(), home.resolve())
    return Card(card.name, quote(Path(path).as_posix()))
