"""From blocks of tokens to batches: masking, padding, and which tokens can attend to each other.

A mask depends only on the run's seed, the epoch and the number of its block, so it is the same after a restart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapreplace
from typing import Any

import numpy as np
import torch
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray
from torch import Tensor

from lrltrain.config import Batching, Objective
from lrltrain.training.corpus import Corpus
from lrltrain.training.loss import IGNORED

CHUNK = 4_096  # number of blocks shuffled together
TOKENS, LABELS = 64, 64  # static shapes: rows of lines and numbers of labels are rounded up to multiples of these
ATTENDED = 4_000  # row length, in tokens, at which attention costs about as much as everything else
VALIDATION_SEED = 20_250_213  # masks of the validation split do not depend on the run's seed


@dataclass(frozen=True)
class Vocabulary:
    """What masking needs to know about a tokenizer.

    `special` marks the special tokens and `starts` the tokens that begin a word; both have shape (vocabulary,).
    """

    mask: int
    pad: int
    special: NDArray[np.bool_]
    starts: NDArray[np.bool_]

    @classmethod
    def of(cls, tokenizer: Any, starts: NDArray[np.bool_]) -> "Vocabulary":
        """Read the vocabulary of a tokenizer. Without a padding token, the end-of-text token is used for padding."""
        special = np.zeros(len(starts), bool)
        special[tokenizer.all_special_ids] = True
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        mask = -1 if tokenizer.mask_token_id is None else tokenizer.mask_token_id
        return cls(mask, pad, special, starts)


@dataclass(frozen=True)
class Masking:
    """How labels are made: every next token for `clm`, a share of the tokens or of whole words for `mlm`."""

    objective: Objective
    probability: float = 0.15
    whole_word: bool = False

    def apply(
        self, piece: NDArray[np.int64], vocabulary: Vocabulary, draw: np.random.Generator, *, at_least_one: bool = False
    ) -> tuple[Any, Any]:
        """Return a piece's input ids and labels, (length,) each; a label is -100 where nothing is predicted.

        Of the chosen tokens, 80 % become the mask, 10 % become a random token and 10 % stay (Devlin et al. 2019).
        With `at_least_one`, a token is chosen even if the random draw selects none.
        """
        if self.objective == "clm":
            return piece, np.append(piece[1:], IGNORED)
        ordinary = ~vocabulary.special[piece]
        if self.whole_word:
            words = np.cumsum(vocabulary.starts[piece] & ordinary | ~ordinary)
            chosen = ordinary & (draw.random(words[-1] + 1) < self.probability)[words]
        else:
            chosen = ordinary & (draw.random(len(piece)) < self.probability)
        if at_least_one and not chosen.any() and ordinary.any():
            forced = draw.choice(np.flatnonzero(ordinary))
            chosen = ordinary & (words == words[forced]) if self.whole_word else np.arange(len(piece)) == forced
        places = chosen.nonzero()[0]  # few: operations on these alone are faster
        roll = draw.random(len(piece))[places]
        inputs, labels = piece.copy(), np.full(len(piece), IGNORED)
        labels[places] = piece[places]
        inputs[places[roll < 0.8]] = vocabulary.mask
        swapped = places[roll >= 0.9]
        if len(swapped):  # otherwise nothing would be drawn, in a quarter of the time
            inputs[swapped] = draw.integers(0, len(vocabulary.starts), len(swapped))
        return inputs, labels


@dataclass(frozen=True, eq=False)
class Block:
    """The content of a row or of a part of one: tokens and labels, (length,) each, lengths of segments, and number."""

    input_ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    lengths: list[int]
    number: int


@dataclass(frozen=True, eq=False)
class Batch:
    """Blocks of K adapters as model inputs.

    `tensors` holds, with the rows of the first adapter first:

    - `input_ids`, `segments` and `position_ids`, (rows, length): each token, the number of its segment in the row (0 is
      padding) and its position in the segment;
    - `label_indices` and `labels`, (K * labels,): the index of each label in the flattened rows, and the label. Every
      adapter has the same number of them, padded with the label -100.

    `counts` is the number of labels of each adapter, (K,); `tokens` is the number of tokens without padding.
    """

    tensors: dict[str, Tensor]
    counts: NDArray[np.int64]
    tokens: int


class Blocks:
    """Masked blocks, at most `most` of them, spread evenly over the corpus.

    An index is epoch * len + place. A mask depends only on the seed, the epoch and the block at that place. With
    `kept`, blocks stay in memory, as those that are read at every validation.
    """

    def __init__(
        self,
        corpus: Corpus,
        vocabulary: Vocabulary,
        masking: Masking,
        seed: int,
        most: int | None = None,
        *,
        kept: bool = False,
    ) -> None:
        self.corpus, self.vocabulary, self.masking, self.seed = corpus, vocabulary, masking, seed
        self._count = min(len(corpus), most or len(corpus))
        self._kept: dict[int, Block] | None = {} if kept else None

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Block:
        if self._kept is None:
            return self._masked(index)
        if index not in self._kept:
            self._kept[index] = self._masked(index)
        return self._kept[index]

    def _masked(self, index: int) -> Block:
        epoch, place = divmod(index, len(self))
        block = place * len(self.corpus) // len(self)
        rng = Generator(PCG64(SeedSequence((self.seed, epoch, block))))  # as default_rng, in half the time
        pieces = self.corpus.block(block)
        masked = [self.masking.apply(piece, self.vocabulary, rng) for piece in pieces]
        # Blocks without a label are no problem: to force one would mask short lines more often. But a split needs one.
        if len(self) == 1 and all((labels == IGNORED).all() for _, labels in masked):
            masked[0] = self.masking.apply(pieces[0], self.vocabulary, rng, at_least_one=True)
        return Block(
            np.concatenate([inputs for inputs, _ in masked]),
            np.concatenate([labels for _, labels in masked]),
            [len(piece) for piece in pieces],
            block,
        )


def order(size: int, seed: int, start: int = 0) -> Iterator[int]:
    """Yield block indices, starting at place `start` of a run, epoch after epoch, without end.

    An index is epoch * size + block. Chunks are shuffled, and so are the blocks within each chunk, so memory does not
    grow with the corpus. The rows of a dataset are ordered by a hash, so all chunks are alike.
    """
    epoch, skip = divmod(start, size)
    while True:
        for chunk in np.random.default_rng((seed, epoch)).permutation(-(-size // CHUNK)):
            first = int(chunk) * CHUNK
            length = min(CHUNK, size - first)
            if skip >= length:
                skip -= length
                continue
            shuffled = np.random.default_rng((seed, epoch, int(chunk))).permutation(length)
            yield from (epoch * size + first + int(block) for block in shuffled[skip:])
            skip = 0
        epoch += 1


@dataclass(frozen=True)
class Layout:
    """Lays out the blocks of K adapters as one batch.

    A row holds the segments of one block. With `line` batching and a model that can keep segments `apart`, a row holds
    several lines. With `static`, shapes repeat, as CUDA graphs and compilers need: rows of segments are padded to
    `width`, rows of lines to a multiple of TOKENS, and labels to a multiple of LABELS.
    """

    vocabulary: Vocabulary
    batching: Batching
    apart: bool
    width: int
    static: bool = False

    def __call__(self, groups: Sequence[Sequence[Block]]) -> Batch:
        """Lay out the blocks of each adapter."""
        rows = self._rows(groups)
        blocks = [block for adapter_rows in rows for row in adapter_rows for block in row]
        filled = np.zeros((len(groups), max(map(len, rows))), np.int64)  # tokens in each row
        for adapter, adapter_rows in enumerate(rows):
            filled[adapter, : len(adapter_rows)] = [sum(len(block.input_ids) for block in row) for row in adapter_rows]
        length = int(filled.max(initial=1))
        if self.static:
            length = length + -length % TOKENS if self._packs else self.width
        inside = np.arange(length) < filled[:, :, None]
        ids, labels = np.full(inside.shape, self.vocabulary.pad), np.full(inside.shape, IGNORED)
        segments, position_ids = np.zeros(inside.shape, np.int64), np.zeros(inside.shape, np.int64)
        ids[inside] = np.concatenate([block.input_ids for block in blocks])
        labels[inside] = np.concatenate([block.labels for block in blocks])
        segments[inside], position_ids[inside] = self._numbered(rows)
        flat = labels.reshape(len(groups), -1)
        adapters, positions = (flat != IGNORED).nonzero()
        counts = np.bincount(adapters, minlength=len(groups))
        most = max(1, int(counts.max()))
        most += -most % LABELS if self.static else 0
        places = adapters, np.arange(len(adapters)) - (counts.cumsum() - counts)[adapters]
        indices = np.zeros((len(groups), most), np.int64) + np.arange(len(groups))[:, None] * flat.shape[1]
        chosen = np.full((len(groups), most), IGNORED)
        indices[places] += positions
        chosen[places] = flat[adapters, positions]
        tensors = {
            "input_ids": ids.reshape(-1, length),
            "segments": segments.reshape(-1, length),
            "position_ids": position_ids.reshape(-1, length),
            "label_indices": indices.reshape(-1),
            "labels": chosen.reshape(-1),
        }
        return Batch({name: torch.from_numpy(array) for name, array in tensors.items()}, counts, int(filled.sum()))

    @property
    def _packs(self) -> bool:
        """Return whether several lines are packed into a row; otherwise each block is one row."""
        return self.batching == "line" and self.apart

    def _rows(self, groups: Sequence[Sequence[Block]]) -> list[list[list[Block]]]:
        """Return the blocks in each row of each adapter."""
        if not self._packs:
            return [[[block] for block in blocks] for blocks in groups]
        lengths = [[len(block.input_ids) for block in blocks] for blocks in groups]
        numbers = even_rows(lengths, TOKENS if self.static else 1)
        return [
            [[blocks[number] for number in row] for row in adapter_rows]
            for blocks, adapter_rows in zip(groups, numbers, strict=True)
        ]

    def _numbered(self, rows: Sequence[Sequence[Sequence[Block]]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the number of each token's segment in its row, from 1, and its position in the segment."""
        sizes: list[int] = []
        numbers: list[int] = []
        for row in (row for adapter_rows in rows for row in adapter_rows):
            lengths = [length for block in row for length in block.lengths]
            lengths = [sum(lengths)] if self.batching == "joined" else lengths
            sizes += lengths
            numbers += range(1, len(lengths) + 1)
        ends = np.cumsum(sizes)
        return np.repeat(numbers, sizes), np.arange(ends[-1]) - np.repeat(ends - sizes, sizes)


def even_rows(groups: Sequence[Sequence[int]], multiple: int = 1) -> list[list[list[int]]]:
    """Distribute the lines of each adapter over rows of about equal length, at the lowest cost.

    `groups` holds the line lengths of each adapter. All rows are padded to the longest, which is rounded up to
    `multiple`. Returns the line numbers of each row. More rows mean more padding; fewer rows mean that each token
    attends to more others. The number of rows is a power of two, to keep the number of shapes small.
    """
    most = max(map(len, groups))
    longest_first = [sorted(range(len(lengths)), key=lambda number: -lengths[number]) for lengths in groups]
    layouts = [
        [_deal(lengths, numbers, 2**power) for lengths, numbers in zip(groups, longest_first, strict=True)]
        for power in range(max(1, most.bit_length()))
    ]
    return min(layouts, key=lambda layout: _cost(layout, groups, multiple))


def _deal(lengths: Sequence[int], longest_first: Sequence[int], rows: int) -> list[list[int]]:
    """Assign each line, longest first, to the shortest row (Graham 1969). Rows without a line are left out."""
    dealt: list[list[int]] = [[] for _ in range(rows)]
    shortest = [(0, row) for row in range(rows)]
    for number in longest_first:
        length, row = shortest[0]
        dealt[row].append(number)
        heapreplace(shortest, (length + lengths[number], row))
    return [row for row in dealt if row]


def _cost(layout: Sequence[Sequence[Sequence[int]]], groups: Sequence[Sequence[int]], multiple: int) -> float:
    """Return the cost of an adapter's rows in tokens: padded tokens, times one plus row length over ATTENDED."""
    longest = max(sum(sizes[line] for line in row) for rows, sizes in zip(layout, groups, strict=True) for row in rows)
    length = longest + -longest % multiple
    return max(map(len, layout)) * length * (1 + length / ATTENDED)
