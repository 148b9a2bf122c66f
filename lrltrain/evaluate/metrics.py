"""Scores of a task, 0 to 1, by scikit-learn and seqeval. Pure."""

from collections.abc import Sequence

from seqeval.metrics import f1_score as entity_f1
from seqeval.metrics import precision_score as entity_precision
from seqeval.metrics import recall_score as entity_recall
from sklearn.metrics import accuracy_score, f1_score

from lrltrain.evaluate.tasks import Label, Task


def scores(task: Task, gold: Sequence[Label], predicted: Sequence[Label | None]) -> dict[str, float]:
    """Return macro-F1 and accuracy of classes, or F1, precision and recall of whole entities (CoNLL-2000, seqeval).

    Macro-F1 is over the classes that occur in gold or predictions, each counting alike; one that is never predicted
    has 0. A prediction that is None is wrong, and of no class. An entity counts where both its type and all of its
    words are right.
    """
    if task == "ner":
        tags = [list(each) for each in gold], [list(each or ()) for each in predicted]
        named = {"f1": entity_f1, "precision": entity_precision, "recall": entity_recall}
        return {name: float(measure(*tags, zero_division=0)) for name, measure in named.items()}
    told = [label or "" for label in predicted]
    occurring = sorted({*gold, *told} - {""})
    return {
        "macro_f1": float(f1_score(gold, told, labels=occurring, average="macro", zero_division=0)),
        "accuracy": float(accuracy_score(gold, told)),
    }
