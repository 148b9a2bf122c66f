"""Rich tables of what the commands of `lrltrain` return, for people."""

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
    """Show an adapter that was made."""
    trained = result.manifest["trained"]
    drawn = table("Adapter", "", "")
    packed, longest = Counts(**trained["corpus"]["train"]), result.manifest["settings"]["max_length"]
    share = trained["parameters"] / trained["parameters_of_base"]
    rows = {
        "method": result.manifest["method"],
        "base model": result.manifest["base"]["id"],
        "trained parameters": f"{trained['parameters']:,} ({share:.2%} of the base model's)",
        "tokens seen": f"{trained['tokens']:,} in {trained['steps']:,} steps",
        "padding": "to the longest line of each batch"
        if trained["batching"] == "line"
        else f"{packed.padding(longest):.1%}",
        "validation loss": f"{trained['validation_loss_before']:.3f} -> {trained['validation_loss']:.3f} "
        f"(step {trained['best_step']:,})",
        "folder": str(result.path),
    }
    for name, value in rows.items():
        drawn.add_row(name, value)
    return drawn


def estimate(estimated: Mapping[str, Any]) -> Table:
    """Show what a fit would do."""
    drawn = table("What would run", "", "")
    for name, value in estimated.items():
        if name.endswith("bytes"):
            drawn.add_row(name.removesuffix("_bytes").replace("_", " "), size(value))
        elif name == "seconds":
            drawn.add_row("time, about", f"{value / 60:,.1f} min")
        else:
            drawn.add_row(name.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value))
    return drawn


def scores(results: Sequence[Score]) -> Table:
    """Show perplexities before and after, with their confidence intervals."""
    first = results[0]
    title = f"{first.metric}, {first.data}, {first.sentences:,} sentences"
    columns = ("model", "perplexity", "95 % interval", "to the base's")
    drawn = table(title, *columns, numbers=columns[1:])
    shown: set[tuple[str, str]] = set()
    methods = Counter((score.language, score.base, score.method) for score in results)
    for score in results:
        alone = f"{score.language}: {score.base}"
        if score.before and (score.language, score.base) not in shown:
            drawn.add_row(alone, f"{score.before.value:,.2f}", _ends(score.before), "")
        shown.add((score.language, score.base))
        alike = methods[score.language, score.base, score.method] > 1
        own = (score.adapter or "").startswith(f"{score.language}_".replace("-", "_"))
        name = (
            f"{score.language}: with {score.method if own and not alike else score.adapter}" if score.adapter else alone
        )
        against = f"{score.ratio.value:.3f} ({_ends(score.ratio, 3)})" if score.ratio else ""
        drawn.add_row(name, f"{score.after.value:,.2f}", _ends(score.after), against)
    return drawn


def task_scores(results: Sequence[TaskScore]) -> Table:
    """Show the scores of tasks, their mean and standard deviation over seeds, and what test sets share."""
    numbers = ("mean ± sd", "n")
    drawn = table(
        "Tasks", "language", "method", "task", "metric", *numbers, "test in train", "in corpus", numbers=numbers
    )
    rows = Counter(_row(each) for each in results)
    for each in results:
        told, adapter = each.as_json(), each.runs[0].manifest["adapter"]
        spread = f" ± {each.sd:.3f}" if each.sd is not None else ""
        method = f"{told['method']} ({told['source']})" if told["source"] else told["method"]
        if adapter and (
            rows[_row(each)] > 1 or not adapter["name"].startswith(f"{told['language']}_".replace("-", "_"))
        ):
            method = f"{told['method']} ({adapter['name']})"
        shared = told["overlap"]["test_in_train"]
        found = told["contamination"]
        drawn.add_row(
            told["language"],
            method,
            f"{told['task']} ({told['data']})",
            told["metric"].replace("_", "-"),
            f"{each.mean:.3f}{spread}",
            str(told["n"]),
            f"{shared['exact']} + {shared['near'] - shared['exact']} near of {shared['items']:,}",
            f"{found['found']} of {found['items']:,}" if found else "",
        )
    return drawn


def _row(score: TaskScore) -> tuple[str, ...]:
    """Return what tells one line of the table from another, unless adapters are named."""
    told = score.as_json()
    return tuple(str(told[key]) for key in ("language", "base", "method", "source", "task", "data"))


def _ends(value: Interval, digits: int = 2) -> str:
    return f"{value.low:,.{digits}f}-{value.high:,.{digits}f}"
