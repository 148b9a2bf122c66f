"""Rich tables that show the results of `lrltrain` commands in a terminal."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from lrldata.cli.tables import table
from lrldata.output import size
from lrltrain.evaluation.score_tasks import TaskScore
from lrltrain.evaluation.score_text import Score
from lrltrain.evaluation.statistics import Interval
from lrltrain.fitting.plan import Adapter
from lrltrain.training.corpus import Counts


def fitted(result: Adapter) -> Table:
    """Return a table that describes a trained adapter."""
    trained = result.manifest["trained"]
    rich_table = table("Adapter", "", "")
    packed, longest = Counts(**trained["corpus"]["train"]), result.manifest["settings"]["max_length"]
    share = trained["parameters"] / trained["parameters_of_base"]
    rows = {
        "method": result.manifest["method"],
        "base model": result.manifest["base"]["id"],
        "trained parameters": f"{trained['parameters']:,} ({share:.2%} of the base model's)",
        "tokens seen": f"{trained['tokens']:,} in {trained['steps']:,} steps",
        "padding": "to the longest row of each batch"
        if trained["batching"] == "line"
        else f"{packed.padding(longest):.1%}",
        "validation loss": f"{trained['validation_loss_before']:.3f} -> {trained['validation_loss']:.3f} "
        f"(step {trained['best_step']:,})",
        "folder": str(result.path),
    }
    for name, value in rows.items():
        rich_table.add_row(name, value)
    return rich_table


def estimate(estimated: Mapping[str, Any]) -> Table:
    """Return a table that describes what a fit would do."""
    rich_table = table("Planned run", "", "")
    for name, value in estimated.items():
        if name.endswith("bytes"):
            rich_table.add_row(name.removesuffix("_bytes").replace("_", " "), size(value))
        elif name == "seconds":
            rich_table.add_row("estimated time", f"{value / 60:,.1f} min")
        else:
            rich_table.add_row(name.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value))
    return rich_table


def scores(results: Sequence[Score]) -> Table:
    """Return a table of perplexities with and without adapters, with confidence intervals."""
    first = results[0]
    title = f"{first.metric}, {first.data}, {first.sentences:,} sentences"
    columns = ("model", "perplexity", "95 % interval", "ratio to base")
    rich_table = table(title, *columns, numbers=columns[1:])
    shown: set[tuple[str, str]] = set()
    methods = Counter((score.language, score.base, score.method) for score in results)
    for score in results:
        base_label = f"{score.language}: {score.base}"
        if score.before and (score.language, score.base) not in shown:
            rich_table.add_row(base_label, f"{score.before.value:,.2f}", _ends(score.before), "")
        shown.add((score.language, score.base))
        several = methods[score.language, score.base, score.method] > 1
        has_default_name = (score.adapter or "").startswith(f"{score.language}_".replace("-", "_"))
        name = (
            f"{score.language}: with {score.method if has_default_name and not several else score.adapter}"
            if score.adapter
            else base_label
        )
        ratio = f"{score.ratio.value:.3f} ({_ends(score.ratio, 3)})" if score.ratio else ""
        rich_table.add_row(name, f"{score.after.value:,.2f}", _ends(score.after), ratio)
    return rich_table


def task_scores(results: Sequence[TaskScore]) -> Table:
    """Return a table of task scores: mean and standard deviation over seeds, and the overlap of test sets with data."""
    numbers = ("mean ± sd", "n")
    rich_table = table(
        "Tasks", "language", "method", "task", "metric", *numbers, "test in train", "in corpus", numbers=numbers
    )
    rows = Counter(_row(score) for score in results)
    for score in results:
        values, adapter = score.as_json(), score.runs[0].manifest["adapter"]
        spread = f" ± {score.sd:.3f}" if score.sd is not None else ""
        method = f"{values['method']} ({values['source']})" if values["source"] else values["method"]
        if adapter and (
            rows[_row(score)] > 1 or not adapter["name"].startswith(f"{values['language']}_".replace("-", "_"))
        ):
            method = f"{values['method']} ({adapter['name']})"
        overlap = values["overlap"]["test_in_train"]
        contamination = values["contamination"]
        rich_table.add_row(
            values["language"],
            method,
            f"{values['task']} ({values['data']})",
            values["metric"].replace("_", "-"),
            f"{score.mean:.3f}{spread}",
            str(values["n"]),
            f"{overlap['exact']} + {overlap['near'] - overlap['exact']} near of {overlap['items']:,}",
            f"{contamination['found']} of {contamination['items']:,}" if contamination else "",
        )
    return rich_table


def _row(score: TaskScore) -> tuple[str, ...]:
    """Return the cells that distinguish rows of the table if adapters are not shown."""
    values = score.as_json()
    return tuple(str(values[key]) for key in ("language", "base", "method", "source", "task", "data"))


def _ends(value: Interval, digits: int = 2) -> str:
    return f"{value.low:,.{digits}f}-{value.high:,.{digits}f}"
