"""Scores of a task, 0 to 1: for classes by scikit-learn, for entities as in seqeval. Pure."""

from collections.abc import Sequence

from lrltrain.evaluation.items import Label, Prediction, Task
from lrltrain.evaluation.statistics import paired_spans


def scores(task: Task, gold: Sequence[Label], predicted: Sequence[Prediction | None]) -> dict[str, float]:
    """Return macro-F1 and accuracy of classes, or F1, precision and recall of whole entities (CoNLL-2000, seqeval).

    Macro-F1 is averaged over the classes that occur in gold or predictions, with equal weights; a class that is never
    predicted scores 0. A prediction of None is wrong and belongs to no class. An entity is right if its type and all of
    its words are; words without a token, predicted as None, are left out.
    """
    if task == "ner":
        return entity_scores(gold, [tags or () for tags in predicted])
    from sklearn.metrics import accuracy_score, f1_score  # noqa: PLC0415 -- takes a second, and entities do not need it

    guesses = [label or "" for label in predicted]
    occurring = sorted({*gold, *guesses} - {""})
    return {
        "macro_f1": float(f1_score(gold, guesses, labels=occurring, average="macro", zero_division=0)),
        "accuracy": float(accuracy_score(gold, guesses)),
    }


def entity_scores(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str | None]]) -> dict[str, float]:
    """Return F1, precision and recall of the entities of all items together, 0 if there are none.

    For IOB tags, the results equal those of seqeval 1.2.2 with `zero_division=0` to the last bit: the arithmetic is in
    its order.
    """
    correct = predicted_count = gold_count = 0
    for tags, guessed in zip(gold, predicted, strict=True):
        gold_spans, predicted_spans = paired_spans(tags, guessed)
        correct, predicted_count, gold_count = (
            correct + len(gold_spans & predicted_spans),
            predicted_count + len(predicted_spans),
            gold_count + len(gold_spans),
        )
    precision, recall = correct / (predicted_count or 1), correct / (gold_count or 1)
    return {"f1": 2.0 * precision * recall / ((precision + recall) or 1), "precision": precision, "recall": recall}
