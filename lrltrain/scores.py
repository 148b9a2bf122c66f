"""The scores that `evaluate` and `prompt` return, as a data frame and as JSON. Pure."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from lrltrain.evaluation.score_tasks import TaskScore
    from lrltrain.evaluation.score_text import Score


@dataclass(frozen=True)
class Scores:
    """Perplexities (`texts`) and task scores (`tasks`), each read back from its folder."""

    texts: "tuple[Score, ...]" = ()
    tasks: "tuple[TaskScore, ...]" = ()

    def to_frame(self) -> "pl.DataFrame":
        """Return a Polars data frame with one row per score.

        Columns: language, base, adapter (its name), method, task, data, metric; value; for perplexities low and high,
        the limits of its 95 % confidence interval over sentences, before, the base model's perplexity, and ratio, the
        value divided by it; for tasks (F1, 0 to 1) sd, the standard deviation over n seeds.
        """
        import polars as pl  # noqa: PLC0415

        rows = [_row(score) for score in self.texts]
        for task in self.tasks:
            values = task.as_json()
            copied = ("language", "base", "adapter", "method", "task", "data", "metric", "sd", "n")
            rows.append({"value": values["mean"]} | {key: values[key] for key in copied})
        return pl.DataFrame(rows, schema=_SCORES)

    def _repr_html_(self) -> str:
        """Return the frame as HTML for notebooks."""
        return self.to_frame()._repr_html_()

    def as_json(self) -> dict[str, Any]:
        """Return the scores as JSON-like values."""
        return {
            "scores": [score.as_json() for score in self.texts],
            "tasks": [score.as_json() for score in self.tasks],
        }


_TEXTS = ("language", "base", "adapter", "method", "task", "data", "metric")
_NUMBERS = ("value", "low", "high", "before", "ratio", "sd")
_SCORES: dict[str, Any] = {**dict.fromkeys(_TEXTS, str), **dict.fromkeys(_NUMBERS, float), "n": int}


def _row(score: "Score") -> dict[str, Any]:
    columns = {key: getattr(score, key) for key in ("language", "base", "adapter", "method", "data", "metric")}
    after, before, ratio = score.after, score.before, score.ratio
    return columns | {
        "task": "pppl",
        "value": after.value,
        "low": after.low,
        "high": after.high,
        "before": before.value if before else None,
        "ratio": ratio.value if ratio else None,
        "sd": None,
        "n": 1,
    }
