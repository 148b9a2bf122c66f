"""From items to tokens and batches: labels at the first token of a word, batches of similar length. Pure."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrltrain.evaluation.items import Items, Label
from lrltrain.tokens import encode
from lrltrain.training.loss import IGNORED

CHUNK = 32  # batches whose items are sorted by length together


@dataclass(frozen=True, eq=False)
class Features:
    """A split as tokens.

    `ids`: the tokens of each item, with the special ones, (length,). `labels`: the class of each, (items,), or for ner
    that of each token, (length,), IGNORED but at the first token of a word. `first`: for ner the position of each
    word's first token, (words,), -1 where the word is cut off or has none. `cut` counts the items whose end is cut off.
    """

    ids: list[NDArray[np.int64]]
    labels: list[NDArray[np.int64]]
    first: list[NDArray[np.int64]] | None = None
    cut: int = 0

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Return the number of tokens of each item."""
        return np.array([len(each) for each in self.ids], dtype=np.int64)


def _puts_spaces(tokenizer: Any) -> bool:
    """Return whether a tokenizer reads words as the text that they make; some of byte-level BPE drop spaces."""
    words = tokenizer(["a", "a"], is_split_into_words=True, add_special_tokens=False)["input_ids"]
    return bool(words == tokenizer("a a", add_special_tokens=False)["input_ids"])


def featurize(tokenizer: Any, items: Items, labels: Sequence[str], max_length: int) -> Features:
    """Tokenize a split; what is beyond `max_length` tokens is cut off, and its words count as O in the score."""
    numbers = {label: number for number, label in enumerate(labels)}
    if items.words is None:
        encoded = encode(tokenizer, items.texts, truncation=True, max_length=max_length)
        gold = [np.array(numbers[str(label)], dtype=np.int64) for label in items.labels]
        return Features([np.array(ids, dtype=np.int64) for ids in encoded["input_ids"]], gold, cut=_cut(encoded))
    reader = copy.copy(tokenizer)
    reader.add_prefix_space = True  # transformers 4 wants it of some, to read words; it changes no token of a copy
    space = "" if _puts_spaces(reader) else " "
    encoded = encode(
        reader,
        [[*words[:1], *(f"{space}{word}" for word in words[1:])] for words in items.words],
        is_split_into_words=True,
        truncation=True,
        max_length=max_length,
    )
    ids = [np.array(each, dtype=np.int64) for each in encoded["input_ids"]]
    first = [first_tokens(encoded.word_ids(item), len(words)) for item, words in enumerate(items.words)]
    aligned = []
    for tokens, places, tags in zip(ids, first, items.labels, strict=True):
        each = np.full(len(tokens), IGNORED, dtype=np.int64)
        read = places >= 0
        each[places[read]] = np.array([numbers[tag] for tag in tags], dtype=np.int64)[read]
        aligned.append(each)
    return Features(ids, aligned, first, _cut(encoded))


def _cut(encoded: Any) -> int:
    """Count the texts of which something is beyond the longest."""
    return sum(bool(each.overflowing) for each in encoded.encodings)


def first_tokens(word_ids: Sequence[int | None], words: int) -> NDArray[np.int64]:
    """Return the position of the first token of each word, (words,), -1 where it has none."""
    places = np.full(words, -1, dtype=np.int64)
    for position, word in enumerate(word_ids):
        if word is not None and places[word] < 0:
            places[word] = position
    return places


def batches(lengths: NDArray[np.int64], size: int, draw: np.random.Generator | None = None) -> list[NDArray[np.int64]]:
    """Cut items into batches of `size`, as numbers of items, each item once.

    Without `draw` by falling length. With it in a random order: items of CHUNK batches, which are drawn at random, are
    sorted by length, and the batches are shuffled.
    """
    if draw is None:
        order = np.argsort(-lengths, kind="stable")
        return [order[begin : begin + size] for begin in range(0, len(order), size)]
    order = draw.permutation(len(lengths))
    cut: list[NDArray[np.int64]] = []
    for begin in range(0, len(order), size * CHUNK):
        some = order[begin : begin + size * CHUNK]
        some = some[np.argsort(lengths[some], kind="stable")]
        cut += [some[at : at + size] for at in range(0, len(some), size)]
    return [cut[number] for number in draw.permutation(len(cut))]


def tags_of(
    predicted: NDArray[np.int64], first: NDArray[np.int64], labels: Sequence[str], missing: str = "O"
) -> tuple[str, ...]:
    """Return the tag of each word: that at its first token, `missing` where it has none. `predicted` (length,)."""
    return tuple(labels[predicted[place]] if place >= 0 else missing for place in first)


def decoded(predicted: Sequence[NDArray[np.int64]], features: Features, labels: Sequence[str]) -> list[Label]:
    """Return predictions as labels: of each item one, or for ner a tag per word."""
    if features.first is None:
        return [labels[int(each)] for each in predicted]
    return [tags_of(each, first, labels) for each, first in zip(predicted, features.first, strict=True)]
