"""Tokens and batches of items: labels are on the first token of a word, batches hold items of similar length. Pure."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrltrain.evaluation.items import Items, Prediction
from lrltrain.tokens import encode
from lrltrain.training.loss import IGNORED

CHUNK = 32  # batches; the items of this many are sorted by length together
NO_TOKEN, CUT_OFF = -1, -2  # positions of words without a first token


@dataclass(frozen=True, eq=False)
class Features:
    """A tokenized split.

    `ids`: the tokens of each item, including special ones, (length,). `labels`: the class of each item, a scalar, or
    for ner the class of each of its tokens, (length,), IGNORED except at the first token of a word. `first`: for ner,
    the position of each word's first token, (words,), or NO_TOKEN or CUT_OFF. `cut`: the number of items whose end is
    cut off.
    """

    ids: list[NDArray[np.int64]]
    labels: list[NDArray[np.int64]]
    first: list[NDArray[np.int64]] | None = None
    cut: int = 0

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Return the number of tokens of each item."""
        return np.array([len(item) for item in self.ids], dtype=np.int64)


def _keeps_spaces(tokenizer: Any) -> bool:
    """Return whether words tokenize like the text that they form; some byte-level BPE tokenizers drop spaces."""
    words = tokenizer(["a", "a"], is_split_into_words=True, add_special_tokens=False)["input_ids"]
    return bool(words == tokenizer("a a", add_special_tokens=False)["input_ids"])


def featurize(tokenizer: Any, items: Items, labels: Sequence[str], max_length: int) -> Features:
    """Tokenize a split. Items are truncated to `max_length` tokens.

    In the score, words cut off count as O, and words without a token, such as a zero-width space, are left out.
    """
    class_ids = {label: class_id for class_id, label in enumerate(labels)}
    if items.words is None:
        encoded = encode(tokenizer, items.texts, truncation=True, max_length=max_length)
        gold = [np.array(class_ids[str(label)], dtype=np.int64) for label in items.labels]
        return Features(
            [np.array(ids, dtype=np.int64) for ids in encoded["input_ids"]], gold, cut=_count_truncated(encoded)
        )
    reader = copy.copy(tokenizer)
    reader.add_prefix_space = True  # required of some by transformers 4 to read words; changes no token of a copy
    prefix = "" if _keeps_spaces(reader) else " "
    encoded = encode(
        reader,
        [[*words[:1], *(f"{prefix}{word}" for word in words[1:])] for words in items.words],
        is_split_into_words=True,
        truncation=True,
        max_length=max_length,
    )
    ids = [np.array(tokens, dtype=np.int64) for tokens in encoded["input_ids"]]
    first = [
        first_tokens(encoded.word_ids(item), len(words), is_cut=bool(encoded.encodings[item].overflowing))
        for item, words in enumerate(items.words)
    ]
    aligned = []
    for tokens, positions, tags in zip(ids, first, items.labels, strict=True):
        token_labels = np.full(len(tokens), IGNORED, dtype=np.int64)
        is_kept = positions >= 0
        token_labels[positions[is_kept]] = np.array([class_ids[tag] for tag in tags], dtype=np.int64)[is_kept]
        aligned.append(token_labels)
    return Features(ids, aligned, first, _count_truncated(encoded))


def _count_truncated(encoded: Any) -> int:
    """Count the texts that were truncated."""
    return sum(bool(encoding.overflowing) for encoding in encoded.encodings)


def first_tokens(word_ids: Sequence[int | None], words: int, *, is_cut: bool) -> NDArray[np.int64]:
    """Return the position of the first token of each word, (words,), or NO_TOKEN, or CUT_OFF behind the last token."""
    positions = np.full(words, NO_TOKEN, dtype=np.int64)
    for position, word in enumerate(word_ids):
        if word is not None and positions[word] < 0:
            positions[word] = position
    if is_cut:
        last = max((word for word in word_ids if word is not None), default=-1)
        positions[last + 1 :] = CUT_OFF
    return positions


def batches(lengths: NDArray[np.int64], size: int, draw: np.random.Generator | None = None) -> list[NDArray[np.int64]]:
    """Split items into batches of `size`, as arrays of item numbers; each item occurs once.

    Without `draw`, items are in order of decreasing length. With it, the order is random: items are shuffled and split
    into chunks of CHUNK batches, each chunk is sorted by length, and then all batches are shuffled.
    """
    if draw is None:
        order = np.argsort(-lengths, kind="stable")
        return [order[begin : begin + size] for begin in range(0, len(order), size)]
    order = draw.permutation(len(lengths))
    sorted_batches: list[NDArray[np.int64]] = []
    for begin in range(0, len(order), size * CHUNK):
        chunk = order[begin : begin + size * CHUNK]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        sorted_batches += [chunk[start : start + size] for start in range(0, len(chunk), size)]
    return [sorted_batches[number] for number in draw.permutation(len(sorted_batches))]


def tags_of(predicted: NDArray[np.int64], first: NDArray[np.int64], labels: Sequence[str]) -> tuple[str | None, ...]:
    """Return the tag of each word: the one at its first token, `predicted` (length,); O if the word is cut off.

    A word without a token has None: no model that reads such tokens can tag it, so scores leave it out.
    """
    missing = {NO_TOKEN: None, CUT_OFF: "O"}
    return tuple(labels[predicted[position]] if position >= 0 else missing[int(position)] for position in first)


def decoded(predicted: Sequence[NDArray[np.int64]], features: Features, labels: Sequence[str]) -> list[Prediction]:
    """Return predictions as labels: one per item, or for ner one tag per word."""
    if features.first is None:
        return [labels[int(class_id)] for class_id in predicted]
    return [tags_of(tokens, first, labels) for tokens, first in zip(predicted, features.first, strict=True)]
