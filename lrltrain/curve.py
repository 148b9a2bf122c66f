"""Plot the loss curve of a run."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lrldata.drawing import drawable, png_of


def draw_losses(log: Sequence[Mapping[str, Any]], best: int, title: str, path: Path) -> None:
    """Plot training and validation loss (nats per token) against steps as a PNG; a rule marks the best step.

    Values that are not numbers are skipped: the log may come from a checkpoint, and a failed plot would end the run.
    """
    import altair as alt  # noqa: PLC0415 -- optional for a fit, as is its renderer

    rows = [
        {"step": entry["step"], "loss": entry[key], "split": split}
        for entry in log
        for key, split in (("loss", "training"), ("eval_loss", "validation"))
        if _is_number(entry.get("step")) and _is_number(entry.get(key))
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("step:Q", title="step", axis=alt.Axis(format="~s")),
        y=alt.Y("loss:Q", title="loss (nats per token)", scale=alt.Scale(zero=False)),
        color=alt.Color("split:N", title=None, scale=alt.Scale(range=["#9aa5b1", "#1f6feb"])),
    )
    dots = base.mark_point(filled=True, size=25).transform_filter("datum.split == 'validation'")
    rule = alt.Chart(alt.Data(values=[{"step": best}])).mark_rule(strokeDash=[4, 4], color="#57606a").encode(x="step:Q")
    chart = (base.mark_line() + dots + rule).properties(width=480, height=260, title=drawable(title))
    path.write_bytes(png_of(chart))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < 2**53 and math.isfinite(value)
