"""The data of a task: items with gold labels, in three splits. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from lrldata.manifest import fingerprint

Task = Literal["topic", "sentiment", "ner"]
Label = str | tuple[str, ...]
Prediction = str | tuple[str | None, ...]  # for ner, None for a word without a token

SPLITS = ("train", "dev", "test")
# The names that files and Hub datasets use for each split; the first that exists is read.
SPLIT_NAMES = {"train": ("train",), "dev": ("dev", "validation", "valid", "val"), "test": ("test",)}
LABELS: dict[str, tuple[str, ...]] = {
    "topic": ("entertainment", "geography", "health", "politics", "science/technology", "sports", "travel"),
    "sentiment": ("negative", "positive"),
    "ner": ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"),
}
PUBLISHED: dict[str, str] = {"topic": "Davlan/sib200", "ner": "unimelb-nlp/wikiann"}  # the sets that the paper used


@dataclass(frozen=True)
class Items:
    """One split: `texts` with a gold label each; for ner also each text's `words`, and a label is one tag per word.

    `numbers` are the items' numbers in their file or split, from 0, if these items are not all of it.
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
        """Return `count` of the items, as drawn by `sample`."""
        positions = sample(len(self.labels), count)
        words = tuple(self.words[position] for position in positions) if self.words else None
        return Items(
            tuple(self.texts[position] for position in positions),
            tuple(self.labels[position] for position in positions),
            words,
            tuple(self.numbered[position] for position in positions),
        )

    @property
    def label_set(self) -> set[str]:
        """Return the labels that occur; for ner, O and the types of entities."""
        tags = {tag for label in self.labels for tag in ((label,) if isinstance(label, str) else label)}
        return tags if self.words is None else types_of(tags)

    @property
    def digest(self) -> str:
        """Return a hash of the contents."""
        return fingerprint([self.words or self.texts, self.labels])


@dataclass(frozen=True)
class TaskData:
    """The data of a task in a language. `provenance` is its entry in a manifest, with a `name` that suits a folder.

    `own` holds the labels of the data, if they are not those of the task.
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
        """Return the same data with these labels; `own` is None if they are those of the task."""
        if labels == self.labels:
            return self
        provenance = {key: value for key, value in self.provenance.items() if key != "labels"}
        if labels == LABELS[self.task]:
            return replace(self, own=None, provenance=provenance)
        return replace(self, own=labels, provenance={**provenance, "labels": list(labels)})


def is_published(task: str, name: str) -> bool:
    """Return whether a data set has the name of the one on the Hub that the paper used for the task."""
    return PUBLISHED.get(task, "").rpartition("/")[2] == name


def types_of(tags: Iterable[str]) -> set[str]:
    """Return O and the types of entities of IOB tags."""
    return {tag.partition("-")[2] or tag for tag in tags}


def sample(length: int, count: int | None) -> list[int]:
    """Return `count` of the numbers below `length`, in order: always the same, and including those of a smaller count.

    Taking the first ones would not do, because files are sorted, such as AfriSenti's by label.
    """
    if count is None:
        return list(range(length))
    return sorted(np.random.default_rng(0).permutation(length)[:count].tolist())


def counts(splits: dict[str, Items]) -> dict[str, int]:
    """Return the number of items of each split."""
    return {split: len(items.labels) for split, items in splits.items()}
