"""The plots of a report as SVG that is read on light and on dark ground: text takes the colour of what is around it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

import altair as alt
import vl_convert  # noqa: F401 -- by which altair draws; that it is missing altair tells as another error

from lrldata.drawing import check_drawing, drawable
from lrltrain.names import base_name
from lrltrain.reporting.formatting import column_name, method_name
from lrltrain.reporting.links import Point, by_adaptation, by_perplexity, by_pretraining
from lrltrain.reporting.material import Adapter, Material
from lrltrain.reporting.sizes import CORPORA, corpus_of
from lrltrain.reporting.tables import NONE, Column, Table

# Three to one or better against both grounds, and apart for those who see few colours together with the shapes.
GREY = "#7a828e"
PALETTE = ("#2f73e0", "#c4510c", "#1a8a45", "#a14fd8", "#0f8291", "#cf3a7c", "#8a7414", "#6f6ad9")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")
WIDTH, HEIGHT = 290, 220  # pixels, of a panel
_INK, _LINE = "#010203", "#040506"  # stand for the colours of text and of lines, and occur nowhere else
_THEME = (
    "<style>:root{color-scheme:light dark;color:#1f2937}@media(prefers-color-scheme:dark){:root{color:#e5e7eb}}</style>"
)
LEVELS = 4  # of names above points
FEW = 12  # languages, whose changes can all be named
_SIZES = [0, 10, 100, 1_000, 10_000, 100_000]
_CONFIG: Mapping[str, Any] = {
    "aria": False,  # the page says what a plot is, once
    "background": "transparent",
    "font": "sans-serif",
    # Letters of a browser may be wider than those that were reckoned with.
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
    """A picture: `name` of its file, `title`, what is to be seen in it, and the SVG."""

    name: str
    title: str
    about: str
    svg: str

    @property
    def alone(self) -> str:
        """Return the SVG as a file of its own, which knows of light and dark itself."""
        head, end, rest = self.svg.partition(">")
        return f"{head}{end}{_THEME}{rest}\n"


def in_order(table: Table, material: Material) -> tuple[str, ...]:
    """Return the series of all plots, so that each has its colour and shape everywhere."""
    names = [method_name(row) for row in table.rows]
    return tuple(dict.fromkeys([*(each for each in names if each != NONE), *map(_trained, material.adapters)]))


def plots(table: Table, material: Material) -> list[Plot]:
    """Return all plots of scores and datasets for which there is something to show."""
    made = []
    series = in_order(table, material)
    pretraining, adaptation, perplexity = by_pretraining(table), by_adaptation(table, material), by_perplexity(table)
    for base in dict.fromkeys(row.base for row in table.rows):
        corpus = CORPORA[corpus_of(base) or "cc100_mb"]
        if points := _of(base, pretraining):
            made.append(_pretraining(points, series, base, corpus))
        if points := _of(base, adaptation):
            made.append(_adaptation(points, series, base, table.against))
        for measured, several in perplexity.items():
            if points := _of(base, several):
                made.append(_perplexity(points, series, base, measured, table.against))
    if material.datasets:
        made.append(_funnels(material))
    return made


def _of(base: str, points: Sequence[Point]) -> list[Point]:
    return [point for point in points if point.base == base]


def _trained(adapter: Adapter) -> str:
    return f"{adapter.manifest['method']}, {adapter.source}"


def losses(language: str, adapters: Sequence[Adapter], series: Sequence[str]) -> Plot | None:
    """Return the validation losses of the adapters of a language, a panel a base model; None where none is logged."""
    rows = [
        {
            "step": entry["step"],
            "loss": entry["eval_loss"],
            "adapter": _trained(adapter),
            "base": base_name(adapter.base),
        }
        for adapter in adapters
        for entry in adapter.log
        if "eval_loss" in entry
    ]
    if not rows:
        return None
    panels = []
    for base in dict.fromkeys(row["base"] for row in rows):
        held = [row for row in rows if row["base"] == base]
        line = alt.Chart(alt.Data(values=held)).encode(
            x=alt.X("step:Q", title="step", axis=alt.Axis(format="~s", tickCount=5)),
            y=alt.Y("loss:Q", title="validation loss, nats a token", scale=alt.Scale(zero=False)),
            **_series("adapter", [row["adapter"] for row in rows], series),
        )
        chart = line.mark_line(strokeWidth=2).encode(shape=alt.value("circle")) + line.mark_point(filled=True, size=36)
        panels.append(chart.properties(width=WIDTH, height=HEIGHT, title=str(base)))
    about = "Loss on the validation split while the adapters were trained; the adapter kept is that of the lowest."
    return Plot(f"loss-{language}", "Losses", about, _svg(_beside(panels)))


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
        f"Scores by how much text of a language {base_name(base)} was trained on ({corpus}; 0: none). Grey is the base "
        "model without a language adapter; the codes of languages stand above, as far as there is room."
    )
    svg = _scatter(points, series, x, lambda column: "perplexity" if column.lower_is_better else "F1, %", changes=False)
    return Plot(_file("pretraining", base), f"Before and after, by pre-training text: {base_name(base)}", about, svg)


def _adaptation(points: Sequence[Point], series: Sequence[str], base: str, against: str) -> Plot:
    x = alt.X(
        "x:Q",
        title="bytes of text adapted to",
        scale=alt.Scale(type="log", nice=False, padding=16),
        axis=alt.Axis(format="~s", tickCount=4, grid=False),
    )
    about = f"Change against {against}, by how much text the adapter was trained on."
    svg = _scatter(
        points,
        series,
        x,
        lambda column: "log10 of the ratio" if column.lower_is_better else "change, points of F1",
        changes=True,
    )
    return Plot(_file("adaptation", base), f"Change, by text adapted to: {base_name(base)}", about, svg)


def _perplexity(points: Sequence[Point], series: Sequence[str], base: str, measured: Column, against: str) -> Plot:
    x = alt.X(
        "x:Q",
        title="ratio of perplexities",
        scale=alt.Scale(type="log", nice=False, padding=16),
        axis=alt.Axis(tickCount=4, grid=False),
    )
    about = f"Whether a lower {measured.metric} on {measured.data} goes with a higher score: changes against {against}."
    svg = _scatter(points, series, x, lambda _: "change, points of F1", changes=True)
    name = _file("perplexity", f"{base}-{measured.data}-{measured.metric}")
    return Plot(name, f"Perplexity on {measured.data} and tasks: {base_name(base)}", about, svg)


def _scatter(
    points: Sequence[Point], series: Sequence[str], x: alt.X, title: Callable[[Column], str], *, changes: bool
) -> str:
    """Draw a panel a column: changes with a line at 0, or else scores, those of a language on a line of its own."""
    panels = []
    present = [point.series for point in points]
    for column in dict.fromkeys(point.column for point in points):
        held = [point for point in points if point.column == column]
        rows = [{"x": each.x, "y": each.y, "series": each.series, "language": each.language} for each in held]
        names = _named(held, changes=changes)
        room = 14 + 11 * max((int(each["level"]) for each in names), default=0)
        y = alt.Y("y:Q", title=title(column), scale=alt.Scale(zero=False, padding=room), axis=alt.Axis(tickCount=5))
        chart = alt.Chart(alt.Data(values=rows))
        if changes:
            line = alt.Chart(alt.Data(values=[{"y": 0}])).mark_rule(color=_INK, opacity=0.5).encode(y="y:Q")
        else:
            line = chart.mark_rule(color=_INK, opacity=0.3).encode(x=x, y="min(y):Q", y2="max(y):Q")
        dots = chart.mark_point(filled=True, size=62, opacity=0.95)
        layered = line + dots.encode(x=x, y=y, **_series("series", present, series))
        for level in range(LEVELS):
            text = alt.Chart(alt.Data(values=[each for each in names if each["level"] == level]))
            text = text.mark_text(dy=-10 - 11 * level, color=_INK, fontSize=10)
            layered += text.encode(x=x, y=y, text="language:N")
        panels.append(layered.properties(width=WIDTH, height=HEIGHT, title=column_name(column)))
    return _svg(_beside(panels))


def _named(points: Sequence[Point], *, changes: bool) -> list[dict[str, Any]]:
    """Return where languages are named: at each point, or above the highest, on that of some levels that has room.

    What has no room goes without a name, as all points of changes do where they are many.
    """
    if changes:
        few = len({point.language for point in points}) <= FEW
        return [{"x": each.x, "y": each.y, "language": each.language, "level": 0} for each in points if few]
    tops = {each.language: each for each in sorted(points, key=lambda point: point.y)}
    span = max(each.at for each in points) - min(each.at for each in points) or 1
    last = [float("-inf")] * LEVELS
    named = []
    for each in sorted(tops.values(), key=lambda point: (point.at, point.language)):
        free = [level for level in range(LEVELS) if (each.at - last[level]) / span > 20 / WIDTH]
        if free:
            last[free[0]] = each.at
            named.append({"x": each.x, "y": each.y, "language": each.language, "level": free[0]})
    return named


def _funnels(material: Material) -> Plot:
    """Draw each dataset as a bar of shares: what was kept, then what went in each step."""
    rows: list[dict[str, Any]] = []
    for dataset in material.datasets:
        whole = dataset.ledger.came_in.rows or 1
        shares = {"kept": dataset.ledger.kept.rows} | {step.name: step.gone.rows for step in dataset.steps}
        for order, (step, count) in enumerate(shares.items()):
            name = f"{dataset.language}, {dataset.source}"
            rows.append({"dataset": name, "step": step, "share": count / whole, "order": order})
    seen = {row["step"] for row in rows if row["share"]}
    steps = ["kept", *(step for step in dict.fromkeys(row["step"] for row in rows) if step in seen - {"kept"})]
    colours = [PALETTE[0], *((*PALETTE[1:], GREY) * 2)[: len(steps) - 1]]
    chart = (
        alt.Chart(alt.Data(values=[row for row in rows if row["share"]]))
        .mark_bar()
        .encode(
            y=alt.Y("dataset:N", title=None, sort=list(dict.fromkeys(row["dataset"] for row in rows))),
            x=alt.X("sum(share):Q", title="share of the rows that came in", axis=alt.Axis(format="%", tickCount=5)),
            color=alt.Color("step:N", title=None, scale=alt.Scale(domain=steps, range=colours)),
            order=alt.Order("order:Q"),
        )
        .properties(width=2.5 * WIDTH, height=alt.Step(24))
    )
    about = (
        "Where the rows of each dataset went: what was kept, and what went in each step; the sections below say why."
    )
    return Plot("funnels", "Datasets", about, _svg(chart))


def _file(plot: str, base: str) -> str:
    return f"{plot}-{re.sub(r'[^A-Za-z0-9.]+', '-', base)}"


def _series(name: str, present: Sequence[str], series: Sequence[str]) -> Mapping[str, Any]:
    """Return colour and shape of the series that are there, by their place among all; `none` is grey."""
    place = {each: number % len(PALETTE) for number, each in enumerate(series)}
    domain = [*([NONE] if NONE in present else []), *(each for each in series if each in present)]
    colours = [PALETTE[place[each]] if each in place else GREY for each in domain]
    shapes = [SHAPES[place[each]] if each in place else "circle" for each in domain]
    return {
        "color": alt.Color(f"{name}:N", title=None, scale=alt.Scale(domain=domain, range=colours)),
        "shape": alt.Shape(f"{name}:N", title=None, scale=alt.Scale(domain=domain, range=shapes)),
    }


def _beside(panels: Sequence[Any]) -> Any:
    return panels[0] if len(panels) == 1 else alt.concat(*panels, columns=3, spacing=72, bounds="flush")


def _drawable(value: Any) -> Any:
    """Return what a chart is described by, with every text in it fit for a picture."""
    if isinstance(value, str):
        return drawable(value)
    if isinstance(value, dict):
        return {drawable(key): _drawable(each) for key, each in value.items()}
    return [_drawable(each) for each in value] if isinstance(value, list) else value


def _svg(chart: Any) -> str:
    """Draw a chart; its colours are those of the page, and its ids its own, so that several fit on a page."""
    check_drawing()
    drawn = StringIO()
    alt.Chart.from_dict(_drawable(chart.configure(**_CONFIG).to_dict())).save(drawn, format="svg")
    return _own(drawn.getvalue())


def _own(svg: str) -> str:
    svg = _ROLES.sub("", svg)
    for colour in (_INK, _LINE):
        svg = svg.replace(colour, "currentColor")
    names = {name: f"c{place}" for place, name in enumerate(dict.fromkeys(re.findall(r'id="([^"]+)"', svg)))}
    for name in sorted(names, key=len, reverse=True):
        svg = svg.replace(f'id="{name}"', f'id="{names[name]}"').replace(f"url(#{name})", f"url(#{names[name]})")
    return svg.strip()
