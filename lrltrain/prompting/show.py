"""Tables for people, of what prompting found out or would do."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from lrldata.cli.tables import table
from lrltrain.evaluation.record import Run
from lrltrain.prompting.lm_eval import Exported
from lrltrain.prompting.plan import Plan


def prompted(runs: Sequence[Run]) -> Table:
    """Show the scores of runs, with tokens and cost."""
    numbers = ("shots", "macro-F1", "accuracy", "invalid", "tokens", "cost")
    drawn = table("Prompted", "language", "model", "task", *numbers, numbers=numbers)
    for run in runs:
        scores = run.result
        drawn.add_row(
            run.language,
            run.base,
            f"{run.task} ({run.data})",
            str(run.manifest["settings"]["shots"]),
            f"{scores['macro_f1']:.3f}",
            f"{scores['accuracy']:.3f}",
            f"{scores['invalid']:.1%}",
            _tokens(run.manifest.get("tokens")),
            _cost(run.manifest.get("cost")),
        )
    return drawn


def planned(plans: Sequence[Plan]) -> Table:
    """Show what would be asked."""
    numbers = ("shots", "texts", "calls", "tokens in, about", "out", "cost, about")
    drawn = table("Nothing is asked yet; it would be", "language", "model", "data", *numbers, numbers=numbers)
    for each in plans:
        drawn.add_row(
            *(each.language, each.model, each.data, str(each.shots)),
            *(f"{count:,}" for count in (each.items, each.calls, each.prompt_tokens, each.completion_tokens)),
            _cost(each.cost),
        )
    return drawn


def exported(tasks: Sequence[Exported]) -> Table:
    """Show the tasks that were written for lm-evaluation-harness."""
    drawn = table(
        "Written; run them with `lm_eval --include_path FOLDER --tasks TASK`",
        "task",
        "file",
        "items",
        numbers=("items",),
    )
    for each in tasks:
        drawn.add_row(each.name, str(each.file), f"{each.items:,}")
    return drawn


def as_json(run: Run) -> dict[str, Any]:
    """Return a run as JSON-like values."""
    more = {name: run.manifest.get(name) for name in ("tokens", "cost", "cut")}
    return {
        "language": run.language,
        "model": run.base,
        "task": run.task,
        "data": run.data,
        "shots": run.manifest["settings"]["shots"],
        "seed": run.seed,
        **run.result,
        **more,
        "path": str(run.folder),
    }


def _tokens(tokens: Mapping[str, int] | None) -> str:
    return f"{sum(tokens.values()):,}" if tokens else "-"


def _cost(cost: float | None) -> str:
    return f"{cost:,.4f}" if cost is not None else "-"
