"""Tables that show the results and plans of `lrltrain prompt`."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from lrldata.cli.tables import table
from lrltrain.evaluation.record import Run
from lrltrain.prompting.lm_eval import ExportedTask
from lrltrain.prompting.plan import Plan


def runs_table(runs: Sequence[Run]) -> Table:
    """Return a table of the scores of runs, with tokens and cost."""
    numbers = ("shots", "macro-F1", "accuracy", "invalid", "tokens", "cost")
    rows = table("Prompted", "language", "model", "task", *numbers, numbers=numbers)
    for run in runs:
        scores = run.result
        rows.add_row(
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
    return rows


def plans_table(plans: Sequence[Plan]) -> Table:
    """Return a table of the planned calls."""
    numbers = ("shots", "texts", "calls", "tokens in (est.)", "tokens out (est.)", "cost (est.)")
    rows = table("Dry run: no request was sent", "language", "model", "data", *numbers, numbers=numbers)
    for entry in plans:
        rows.add_row(
            *(entry.language, entry.model, entry.data, str(entry.shots)),
            *(f"{count:,}" for count in (entry.items, entry.calls, entry.prompt_tokens, entry.completion_tokens)),
            _cost(entry.cost),
        )
    return rows


def exports_table(tasks: Sequence[ExportedTask]) -> Table:
    """Return a table of the tasks exported for lm-evaluation-harness."""
    rows = table(
        "Exported; run with `lm_eval --include_path FOLDER --tasks TASK`",
        "task",
        "file",
        "items",
        numbers=("items",),
    )
    for task in tasks:
        rows.add_row(task.name, str(task.file), f"{task.items:,}")
    return rows


def as_json(run: Run) -> dict[str, Any]:
    """Return a run as JSON-like values."""
    details = {name: run.manifest.get(name) for name in ("tokens", "cost", "cut")}
    return {
        "language": run.language,
        "model": run.base,
        "task": run.task,
        "data": run.data,
        "shots": run.manifest["settings"]["shots"],
        "seed": run.seed,
        **run.result,
        **details,
        "path": str(run.folder),
    }


def _tokens(tokens: Mapping[str, int] | None) -> str:
    return f"{sum(tokens.values()):,}" if tokens else "-"


def _cost(cost: float | None) -> str:
    return f"{cost:,.4f}" if cost is not None else "-"
