"""A dataset's ledger as a picture."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import vl_convert  # noqa: F401 -- altair draws with it, and reports its absence as another error

from lrldata.drawing import png_of

KEPT, DROPPED = "#1f6feb", "#9aa5b1"


def draw_ledger(ledger: Mapping[str, Any], source: str) -> bytes:
    """Return a PNG with one bar for the kept rows and one for each reason for dropping rows."""
    came_in = ledger["in"]["rows"] or 1
    counts = {"kept": ledger["kept"]["rows"]} | {reason: tally["rows"] for reason, tally in ledger["dropped"].items()}
    rows = [
        {"what": name, "rows": count, "label": f"{count:,} ({count / came_in:.1%})", "kept": name == "kept"}
        for name, count in counts.items()
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("what:N", title=None, sort=list(counts), axis=alt.Axis(labelLimit=260)),
        x=alt.X(
            "rows:Q", title="rows", axis=alt.Axis(format="~s"), scale=alt.Scale(domain=[0, max(counts.values()) * 1.25])
        ),
    )
    bars = base.mark_bar().encode(
        color=alt.condition("datum.kept", alt.value(KEPT), alt.value(DROPPED)),
    )
    labels = base.mark_text(align="left", dx=4).encode(text="label:N")
    title = f"{source}: {came_in:,} rows, kept and dropped"
    return png_of((bars + labels).properties(width=480, height=alt.Step(22), title=title))
