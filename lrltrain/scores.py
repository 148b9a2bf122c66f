"""What `evaluate` and `prompt` return: scores, as a frame and as JSON. Pure."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from lrltrain.evaluation.score_tasks import TaskScore
    from lrltrain.evaluation.score_text import Score


@dataclass(frozen=True)
class Scores:
    """What was measured: perplexities (`texts`) and scores of tasks (`tasks`), each read again from its folder."""

    texts: "tuple[Score, ...]" = ()
    tasks: "tuple[TaskScore, ...]" = ()

    def to_frame(self) -> "pl.DataFrame":
        """Return a Polars frame, a row per score.

        Columns: language, base, adapter (its name), method, task, data, metric; value with low and high, the ends of
        its 95 % interval (perplexities: over sentences); before, the base model's perplexity, and ratio to it; of tasks
        (F1, 0 to 1) the standard deviation sd over n seeds.
        """
        import polars as pl  # noqa: PLC0415

        rows = [_row(each) for each in self.texts]
        for task in self.tasks:
            told = task.as_json()
            same = ("language", "base", "adapter", "method", "task", "data", "metric", "sd", "n")
            rows.append({"value": told["mean"]} | {key: told[key] for key in same})
        return pl.DataFrame(rows, schema=_SCORES)

    def _repr_html_(self) -> str:
        """Return the frame as notebooks show it."""
        return self.to_frame()._repr_html_()

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-like values."""
        return {
            "scores": [each.as_json() for each in self.texts],
            "tasks": [each.as_json() for each in self.tasks],
        }


_TEXTS = ("language", "base", "adapter", "method", "task", "data", "metric")
_NUMBERS = ("value", "low", "high", "before", "ratio", "sd")
_SCORES: dict[str, Any] = {**dict.fromkeys(_TEXTS, str), **dict.fromkeys(_NUMBERS, float), "n": int}


def _row(score: "Score") -> dict[str, Any]:
    known = {key: getattr(score, key) for key in ("language", "base", "adapter", "method", "data", "metric")}
    after, before, ratio = score.after, score.before, score.ratio
    return known | {
        "task": "pppl",
        "value": after.value,
        "low": after.low,
        "high": after.high,
        "before": before.value if before else None,
        "ratio": ratio.value if ratio else None,
        "sd": None,
        "n": 1,
    }
