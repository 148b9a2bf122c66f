"""Scores of predicted labels. Pure."""

from collections.abc import Sequence

from sklearn.metrics import accuracy_score, f1_score


def measure(gold: Sequence[str], predicted: Sequence[str | None]) -> dict[str, float]:
    """Return macro-F1, accuracy and the share of invalid predictions (None), each 0 to 1.

    An invalid prediction is wrong, but no label of its own. Macro-F1 is over the labels that occur.
    """
    told = [label or "" for label in predicted]
    occurring = sorted({*gold, *told} - {""})
    return {
        "macro_f1": float(f1_score(gold, told, labels=occurring, average="macro", zero_division=0.0)),
        "accuracy": float(accuracy_score(gold, told)),
        "invalid": sum(label is None for label in predicted) / len(predicted),
    }
