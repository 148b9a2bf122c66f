"""What the data of a task is made of: items with gold labels, in three splits. Pure."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from lrldata.manifest import fingerprint

Task = Literal["topic", "sentiment", "ner"]
Label = str | tuple[str, ...]

SPLITS = ("train", "dev", "test")
LABELS: dict[str, tuple[str, ...]] = {
    "topic": ("entertainment", "geography", "health", "politics", "science/technology", "sports", "travel"),
    "sentiment": ("negative", "positive"),
    "ner": ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"),
}


@dataclass(frozen=True)
class Items:
    """One split: `texts`, each split into `words` for ner alone, and a gold label each, for ner a tag per word.

    `numbers` are those of the items in their file or split, from 0, where they are not all of it.
    """

    texts: tuple[str, ...]
    labels: tuple[Label, ...]
    words: tuple[tuple[str, ...], ...] | None = None
    numbers: tuple[int, ...] | None = None

    @property
    def numbered(self) -> tuple[int, ...]:
        """Return the number of each item in its file or split."""
        return tuple(range(len(self.labels))) if self.numbers is None else self.numbers

    def sampled(self, count: int) -> "Items":
        """Return so many of the items, as `sample` has them."""
        places = sample(len(self.labels), count)
        words = tuple(self.words[place] for place in places) if self.words else None
        return Items(
            tuple(self.texts[place] for place in places),
            tuple(self.labels[place] for place in places),
            words,
            tuple(self.numbered[place] for place in places),
        )

    @property
    def digest(self) -> str:
        """Return a hash of all that is in it."""
        return fingerprint([self.words or self.texts, self.labels])


@dataclass(frozen=True)
class TaskData:
    """The data of a task in a language; `provenance` is what a manifest says of it, its `name` fit for a folder's.

    `own` are its labels, where they are not those of the task.
    """

    task: Task
    language: str
    splits: dict[str, Items]
    provenance: dict[str, Any]
    own: tuple[str, ...] | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels, in a fixed order."""
        return LABELS[self.task] if self.own is None else self.own

    def with_labels(self, labels: tuple[str, ...]) -> "TaskData":
        """Return the same data with labels of its own, if these are not those of the task."""
        if labels == LABELS[self.task]:
            return self
        return replace(self, own=labels, provenance={**self.provenance, "labels": list(labels)})


def sample(length: int, count: int | None) -> list[int]:
    """Return so many of the places 0 to `length`, in order: always the same, and those of a smaller count among them.

    The first ones would not do: files are sorted, as AfriSenti's by label.
    """
    if count is None:
        return list(range(length))
    return sorted(np.random.default_rng(0).permutation(length)[:count].tolist())


def counts(splits: dict[str, Items]) -> dict[str, int]:
    """Return the number of items of each split."""
    return {split: len(items.labels) for split, items in splits.items()}
