"""The plots of a report as SVG for light and dark backgrounds: text takes the colour of the surrounding page."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert  # noqa: F401 -- altair needs it, and reports another error if it is missing

from lrldata.drawing import drawable, specification_of, svg_of
from lrltrain.evaluation.record import NONE
from lrltrain.names import base_name
from lrltrain.reporting.formatting import column_name, method_name
from lrltrain.reporting.links import Point, by_adaptation, by_perplexity, by_pretraining
from lrltrain.reporting.material import Adapter, WorkspaceContents
from lrltrain.reporting.sizes import CORPORA, corpus_of
from lrltrain.reporting.tables import Column, Table

# Contrast is at least 3:1 on both backgrounds; with the shapes, colour-blind readers can tell the series apart.
GREY = "#7a828e"
PALETTE = ("#2f73e0", "#c4510c", "#1a8a45", "#a14fd8", "#0f8291", "#cf3a7c", "#8a7414", "#6f6ad9")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")
LOOKS = [(PALETTE[number % 8], SHAPES[(number + number // 8) % 8]) for number in range(64)]
WIDTH, HEIGHT = 290, 220  # of a panel, in pixels
_INK, _LINE = "#010203", "#040506"  # placeholders for the colours of text and lines; unique in the SVG
_THEME = (
    "<style>:root{color-scheme:light dark;color:#1f2937}@media(prefers-color-scheme:dark){:root{color:#e5e7eb}}</style>"
)
LEVELS = 4  # of names stacked above points
FEW = 12  # a plot of changes names its languages only up to this many
_SIZES = [0, 10, 100, 1_000, 10_000, 100_000]
_CONFIG: Mapping[str, Any] = {
    "aria": False,  # the page labels the whole plot
    "background": "transparent",
    "font": "sans-serif",
    # A browser's letters may be wider than those that the layout assumes.
    "padding": {"left": 16, "right": 16, "top": 6, "bottom": 6},
    "view": {"stroke": None},
    "title": {"color": _INK, "fontSize": 13, "anchor": "start"},
    "axis": {
        "labelColor": _INK,
        "titleColor": _INK,
        "domainColor": _LINE,
        "domainOpacity": 0.5,
        "tickColor": _LINE,
        "tickOpacity": 0.5,
        "gridColor": _LINE,
        "gridOpacity": 0.15,
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 10,
    },
    "legend": {
        "orient": "bottom",
        "columns": 3,
        "columnPadding": 48,
        "rowPadding": 6,
        "labelColor": _INK,
        "labelFontSize": 12,
        "labelLimit": 260,
    },
}
_ROLES = re.compile(r' (?:role|aria-[a-z]+)="[^"]*"')


@dataclass(frozen=True)
class Plot:
    """A plot: the `name` of its file, its `title`, a description (`about`), and the SVG."""

    name: str
    title: str
    about: str
    svg: str

    @property
    def alone(self) -> str:
        """Return the SVG as a standalone file, with its own colours for light and dark mode."""
        head, end, rest = self.svg.partition(">")
        return f"{head}{end}{_THEME}{rest}\n"


def in_order(table: Table, material: WorkspaceContents) -> tuple[str, ...]:
    """Return the series of all plots in a fixed order, so that each keeps its colour and shape."""
    names = [method_name(row) for row in table.rows]
    return tuple(dict.fromkeys([*(name for name in names if name != NONE), *map(_series_of, material.adapters)]))


def plots(table: Table, material: WorkspaceContents) -> list[Plot]:
    """Return all plots of scores and datasets that have something to show."""
    result = []
    series = in_order(table, material)
    pretraining, adaptation, perplexity = by_pretraining(table), by_adaptation(table, material), by_perplexity(table)
    for base in dict.fromkeys(row.base for row in table.rows):
        if (corpus := corpus_of(base)) and (points := _points_of(base, pretraining)):
            result.append(_pretraining(points, series, base, CORPORA[corpus]))
        if points := _points_of(base, adaptation):
            result.append(_adaptation(points, series, base, table.against))
        for measure, candidates in perplexity.items():
            if points := _points_of(base, candidates):
                result.append(_perplexity(points, series, base, measure, table.against))
    if material.datasets:
        result.append(_funnels(material))
    return result


def _points_of(base: str, points: Sequence[Point]) -> list[Point]:
    return [point for point in points if point.base == base]


def _series_of(adapter: Adapter) -> str:
    return f"{adapter.manifest['method']}, {adapter.source}"


def _about(adapter: Adapter) -> dict[str, str]:
    return {"adapter": _series_of(adapter), "base": adapter.base, "name": adapter.name}


def losses(language: str, adapters: Sequence[Adapter], series: Sequence[str]) -> Plot | None:
    """Return the validation losses of a language's adapters, one panel per base model; None if none are logged."""
    rows = [
        {"step": entry["step"], "loss": entry["eval_loss"], **_about(adapter)}
        for adapter in adapters
        for entry in adapter.log
        if "eval_loss" in entry
    ]
    if not rows:
        return None
    panels = []
    for base in dict.fromkeys(row["base"] for row in rows):
        of_base = [row for row in rows if row["base"] == base]
        line = alt.Chart(alt.Data(values=of_base)).encode(
            x=alt.X("step:Q", title="step", axis=alt.Axis(format="~s", tickCount=5)),
            y=alt.Y("loss:Q", title="validation loss, nats per token", scale=alt.Scale(zero=False)),
            detail="name:N",  # adapters of one method, such as its seeds, have lines of their own
            **_series_encoding("adapter", [row["adapter"] for row in rows], series),
        )
        chart = line.mark_line(strokeWidth=2).encode(shape=alt.value("circle")) + line.mark_point(filled=True, size=36)
        panels.append(chart.properties(width=WIDTH, height=HEIGHT, title=base_name(base)))
    about = "Loss on the validation split during training. The checkpoint with the lowest loss is kept."
    return Plot(f"loss-{language}", "Losses", about, _svg(_side_by_side(panels)))


def _pretraining(points: Sequence[Point], series: Sequence[str], base: str, corpus: str) -> Plot:
    x = alt.X(
        "x:Q",
        title=f"MB of the language in {corpus}",
        scale=alt.Scale(type="symlog", constant=1, nice=False, padding=16),
        axis=alt.Axis(
            values=_SIZES, labelExpr="datum.value < 1000 ? datum.value : datum.value / 1000 + 'k'", grid=False
        ),
    )
    about = (
        f"Scores by the amount of text of a language that {base_name(base)} was trained on ({corpus}; 0: none). Grey "
        "is the base model without a language adapter. Language codes are above the points where there is room."
    )
    svg = _scatter(points, series, x, lambda column: "perplexity" if column.lower_is_better else "F1, %", changes=False)
    return Plot(
        _file_name("pretraining", base),
        f"Before and after, by amount of pre-training text: {base_name(base)}",
        about,
        svg,
    )


def _adaptation(points: Sequence[Point], series: Sequence[str], base: str, against: str) -> Plot:
    x = alt.X(
        "x:Q",
        title="bytes of adaptation text",
        scale=alt.Scale(type="log", nice=False, padding=16),
        axis=alt.Axis(format="~s", tickCount=4, grid=False),
    )
    about = f"Change relative to {against}, by the amount of text that the adapter was trained on."
    svg = _scatter(
        points,
        series,
        x,
        lambda column: "log10 of the ratio" if column.lower_is_better else "change, points of F1",
        changes=True,
    )
    return Plot(_file_name("adaptation", base), f"Change, by amount of adaptation text: {base_name(base)}", about, svg)


def _perplexity(points: Sequence[Point], series: Sequence[str], base: str, measure: Column, against: str) -> Plot:
    x = alt.X(
        "x:Q",
        title="ratio of perplexities",
        scale=alt.Scale(type="log", nice=False, padding=16),
        axis=alt.Axis(tickCount=4, grid=False),
    )
    about = (
        f"Does a lower {measure.metric} on {measure.data} go with a higher score? Changes are relative to {against}."
    )
    svg = _scatter(points, series, x, lambda _: "change, points of F1", changes=True)
    name = _file_name("perplexity", f"{base}-{measure.data}-{measure.metric}")
    return Plot(name, f"Perplexity on {measure.data} and tasks: {base_name(base)}", about, svg)


def _scatter(
    points: Sequence[Point], series: Sequence[str], x: alt.X, title: Callable[[Column], str], *, changes: bool
) -> str:
    """Draw one panel per column: changes with a line at 0, or scores with a vertical line per language."""
    panels = []
    present = [point.series for point in points]
    for column in dict.fromkeys(point.column for point in points):
        of_column = [point for point in points if point.column == column]
        rows = [{"x": point.x, "y": point.y, "series": point.series, "language": point.language} for point in of_column]
        labels = _name_positions(of_column, changes=changes)
        padding = 14 + 11 * max((int(label["level"]) for label in labels), default=0)
        y = alt.Y("y:Q", title=title(column), scale=alt.Scale(zero=False, padding=padding), axis=alt.Axis(tickCount=5))
        chart = alt.Chart(alt.Data(values=rows))
        if changes:
            line = alt.Chart(alt.Data(values=[{"y": 0}])).mark_rule(color=_INK, opacity=0.5).encode(y="y:Q")
        else:
            rule = chart.mark_rule(color=_INK, opacity=0.3)
            line = rule.encode(x=x, y="min(y):Q", y2="max(y):Q", detail="language:N")
        dots = chart.mark_point(filled=True, size=62, opacity=0.95)
        layered = line + dots.encode(x=x, y=y, **_series_encoding("series", present, series))
        for level in range(LEVELS):
            text = alt.Chart(alt.Data(values=[label for label in labels if label["level"] == level]))
            text = text.mark_text(dy=-10 - 11 * level, color=_INK, fontSize=10)
            layered += text.encode(x=x, y=y, text="language:N")
        panels.append(layered.properties(width=WIDTH, height=HEIGHT, title=column_name(column)))
    return _svg(_side_by_side(panels))


def _name_positions(points: Sequence[Point], *, changes: bool) -> list[dict[str, Any]]:
    """Return the positions of language names: at each point, or above the highest of a language, on a level with room.

    A language without room gets no name. In a plot of changes, no language is named if there are too many.
    """
    if changes:
        few = len({point.language for point in points}) <= FEW
        return [{"x": point.x, "y": point.y, "language": point.language, "level": 0} for point in points if few]
    highest = {point.language: point for point in sorted(points, key=lambda point: point.y)}
    span = max(point.at for point in points) - min(point.at for point in points) or 1
    last = [float("-inf")] * LEVELS
    labels = []
    for point in sorted(highest.values(), key=lambda point: (point.at, point.language)):
        free = [level for level in range(LEVELS) if (point.at - last[level]) / span > 20 / WIDTH]
        if free:
            last[free[0]] = point.at
            labels.append({"x": point.x, "y": point.y, "language": point.language, "level": free[0]})
    return labels


def _funnels(material: WorkspaceContents) -> Plot:
    """Draw each dataset as a bar of shares: rows kept, then rows dropped in each step."""
    rows: list[dict[str, Any]] = []
    for dataset in material.datasets:
        whole = dataset.ledger.came_in.rows or 1
        shares = {"kept": dataset.ledger.kept.rows} | {step.name: step.gone.rows for step in dataset.steps}
        for order, (step, count) in enumerate(shares.items()):
            name = f"{dataset.language}, {dataset.source}"
            rows.append({"dataset": name, "step": step, "share": count / whole, "order": order})
    used = {row["step"] for row in rows if row["share"]}
    steps = ["kept", *(step for step in dict.fromkeys(row["step"] for row in rows) if step in used - {"kept"})]
    colours = [PALETTE[0], *((*PALETTE[1:], GREY) * 2)[: len(steps) - 1]]
    chart = (
        alt.Chart(alt.Data(values=[row for row in rows if row["share"]]))
        .mark_bar()
        .encode(
            y=alt.Y("dataset:N", title=None, sort=list(dict.fromkeys(row["dataset"] for row in rows))),
            x=alt.X("sum(share):Q", title="share of input rows", axis=alt.Axis(format="%", tickCount=5)),
            color=alt.Color("step:N", title=None, scale=alt.Scale(domain=steps, range=colours)),
            order=alt.Order("order:Q"),
        )
        .properties(width=2.5 * WIDTH, height=alt.Step(24))
    )
    about = "The rows of each dataset: those kept, and those dropped in each step. The sections below give the reasons."
    return Plot("funnels", "Datasets", about, _svg(chart))


def _file_name(plot: str, base: str) -> str:
    return f"{plot}-{re.sub(r'[^A-Za-z0-9.]+', '-', base)}"


def _series_encoding(name: str, present: Sequence[str], series: Sequence[str]) -> Mapping[str, Any]:
    """Return the colours and shapes of the series that are present, by their place among all; `none` is grey."""
    look = {label: LOOKS[number % len(LOOKS)] for number, label in enumerate(series)} | {NONE: (GREY, "circle")}
    domain = [*([NONE] if NONE in present else []), *(label for label in series if label in present)]
    colours, shapes = ([look[label][part] for label in domain] for part in (0, 1))
    return {
        "color": alt.Color(f"{name}:N", title=None, scale=alt.Scale(domain=domain, range=colours)),
        "shape": alt.Shape(f"{name}:N", title=None, scale=alt.Scale(domain=domain, range=shapes)),
    }


def _side_by_side(panels: Sequence[Any]) -> Any:
    return panels[0] if len(panels) == 1 else alt.concat(*panels, columns=3, spacing=72, bounds="flush")


def _drawable(value: Any) -> Any:
    """Return the specification of a chart with all its strings made drawable."""
    if isinstance(value, str):
        return drawable(value)
    if isinstance(value, dict):
        return {drawable(key): _drawable(item) for key, item in value.items()}
    return [_drawable(item) for item in value] if isinstance(value, list) else value


def _svg(chart: Any) -> str:
    """Return a chart as SVG, with the colours of the page and with ids that do not depend on other charts."""
    return _adapt_to_page(svg_of(_drawable(specification_of(chart.configure(**_CONFIG)))))


def _adapt_to_page(svg: str) -> str:
    svg = _ROLES.sub("", svg)
    for colour in (_INK, _LINE):
        svg = svg.replace(colour, "currentColor")
    names = {name: f"c{place}" for place, name in enumerate(dict.fromkeys(re.findall(r'id="([^"]+)"', svg)))}
    for name in sorted(names, key=len, reverse=True):
        svg = svg.replace(f'id="{name}"', f'id="{names[name]}"').replace(f"url(#{name})", f"url(#{names[name]})")
    return svg.strip()
