"""Scores of a task, 0 to 1: of classes by scikit-learn, of entities as seqeval has them. Pure."""

from collections.abc import Sequence

from lrltrain.evaluation.items import Label, Task
from lrltrain.evaluation.statistics import spans


def scores(task: Task, gold: Sequence[Label], predicted: Sequence[Label | None]) -> dict[str, float]:
    """Return macro-F1 and accuracy of classes, or F1, precision and recall of whole entities (CoNLL-2000, seqeval).

    Macro-F1 is over the classes that occur in gold or predictions, each counting alike; one that is never predicted
    has 0. A prediction that is None is wrong, and of no class. An entity counts where both its type and all of its
    words are right.
    """
    if task == "ner":
        return entity_scores(gold, [each or () for each in predicted])
    from sklearn.metrics import accuracy_score, f1_score  # noqa: PLC0415 -- a second that entities need not wait

    told = [label or "" for label in predicted]
    occurring = sorted({*gold, *told} - {""})
    return {
        "macro_f1": float(f1_score(gold, told, labels=occurring, average="macro", zero_division=0)),
        "accuracy": float(accuracy_score(gold, told)),
    }


def entity_scores(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str | None]]) -> dict[str, float]:
    """Return F1, precision and recall of the entities of all items together, 0 where there are none.

    To the last bit as seqeval 1.2.2 has them with `zero_division=0`, for tags of IOB: the sums are done in its order.
    """
    right = said = there = 0
    for tags, guess in zip(gold, predicted, strict=True):
        wanted, found = spans(tags), spans(guess)
        right, said, there = right + len(wanted & found), said + len(found), there + len(wanted)
    precision, recall = right / (said or 1), right / (there or 1)
    return {"f1": 2.0 * precision * recall / ((precision + recall) or 1), "precision": precision, "recall": recall}
