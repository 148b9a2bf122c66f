"""From blocks of tokens to batches: masks, padding, and which tokens see each other.

A mask depends on the run's seed, the epoch and the number of its block alone, so that it is the same after a restart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapreplace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrltrain.config import Batching, Objective
from lrltrain.training.corpus import Corpus
from lrltrain.training.loss import IGNORED

CHUNK = 4_096  # blocks that are shuffled together
TOKENS, LABELS = 64, 64  # where shapes repeat, the lengths of rows of lines and the labels are multiples of these
ATTENDED = 4_000  # tokens of a row where the attention to it costs a token about what all else does
VALIDATION_SEED = 20_250_213  # masks of the validation split are the same whatever the run's seed


@dataclass(frozen=True)
class Vocabulary:
    """What masking must know of a tokenizer: special tokens and beginnings of words, each of shape (vocabulary,)."""

    mask: int
    pad: int
    special: NDArray[np.bool_]
    starts: NDArray[np.bool_]

    @classmethod
    def of(cls, tokenizer: Any, starts: Tensor) -> "Vocabulary":
        """Read it off a tokenizer; one without a padding token pads with its end-of-text token."""
        special = np.zeros(len(starts), bool)
        special[tokenizer.all_special_ids] = True
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        mask = -1 if tokenizer.mask_token_id is None else tokenizer.mask_token_id
        return cls(mask, pad, special, starts.numpy())


@dataclass(frozen=True)
class Masking:
    """How labels are made: of `clm` each next token is one; of `mlm` a share of the tokens, or of whole words."""

    objective: Objective
    probability: float = 0.15
    whole_word: bool = False

    def apply(
        self, piece: NDArray[np.int64], vocabulary: Vocabulary, draw: np.random.Generator, *, at_least_one: bool = False
    ) -> tuple[Any, Any]:
        """Return a piece's input ids and labels, (length,) each, -100 where there is no label.

        Of the chosen tokens 80 % become the mask, 10 % a random token and 10 % stay (Devlin et al. 2019).
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
            one = draw.choice(np.flatnonzero(ordinary))
            chosen = ordinary & (words == words[one]) if self.whole_word else np.arange(len(piece)) == one
        labels = np.where(chosen, piece, IGNORED)
        fate = draw.random(len(piece))
        inputs = piece.copy()
        inputs[chosen & (fate < 0.8)] = vocabulary.mask
        swapped = chosen & (fate >= 0.9)
        inputs[swapped] = draw.integers(0, len(vocabulary.starts), int(swapped.sum()))
        return inputs, labels


@dataclass(frozen=True, eq=False)
class Block:
    """What fills a row: its tokens and labels, (length,) each, the lengths of its segments, and its number."""

    input_ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    lengths: list[int]
    number: int


@dataclass(frozen=True, eq=False)
class Batch:
    """Blocks of K adapters in the form in which a model takes them.

    `tensors`: `input_ids`, `segments` and `position_ids`, (rows, length), the token, the number of its segment in the
    row (0 is padding) and its position in the segment, the rows of the first adapter first; `label_indices` and
    `labels`, (K * labels,), where in the flattened rows a label is, and which, as many for each adapter, filled up with
    -100.
    `counts`: how many labels each adapter has, (K,).
    """

    tensors: dict[str, Tensor]
    counts: NDArray[np.int64]
    tokens: int


class Blocks:
    """Blocks with their masks, `most` at most, from all over the corpus.

    An index is epoch * len + place: a mask depends on the seed, the epoch and the block at this place alone.
    """

    def __init__(
        self, corpus: Corpus, vocabulary: Vocabulary, masking: Masking, seed: int, most: int | None = None
    ) -> None:
        self.corpus, self.vocabulary, self.masking, self.seed = corpus, vocabulary, masking, seed
        self._count = min(len(corpus), most or len(corpus))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Block:
        epoch, place = divmod(index, len(self))
        block = place * len(self.corpus) // len(self)
        draw = np.random.default_rng((self.seed, epoch, block))
        pieces = self.corpus.block(block)
        masked = [self.masking.apply(piece, self.vocabulary, draw) for piece in pieces]
        if all((labels == IGNORED).all() for _, labels in masked):  # every block is to have a label
            masked[0] = self.masking.apply(pieces[0], self.vocabulary, draw, at_least_one=True)
        return Block(
            np.concatenate([inputs for inputs, _ in masked]),
            np.concatenate([labels for _, labels in masked]),
            [len(piece) for piece in pieces],
            block,
        )


def order(size: int, seed: int, start: int = 0) -> Iterator[int]:
    """Yield the indices of blocks from place `start` of a run on, epoch after epoch, without end.

    An index is epoch * size + block. Chunks come in random order, and blocks in random order inside each, so that
    memory does not grow with the corpus. Rows of a dataset lie in the order of a hash, so chunks are alike.
    """
    epoch, skip = divmod(start, size)
    while True:
        for chunk in np.random.default_rng((seed, epoch)).permutation(-(-size // CHUNK)):
            first = int(chunk) * CHUNK
            length = min(CHUNK, size - first)
            if skip >= length:
                skip -= length
                continue
            inside = np.random.default_rng((seed, epoch, int(chunk))).permutation(length)
            yield from (epoch * size + first + int(block) for block in inside[skip:])
            skip = 0
        epoch += 1


@dataclass(frozen=True)
class Layout:
    """Lays blocks of K adapters out into one batch.

    A row holds the segments of a block, or, for `line` batching of a model that can keep segments apart, several lines.
    With `static` shapes repeat, which a GPU's graph and a compiler need: rows of segments are filled up to `width`,
    those of lines and the labels to a multiple of a number.
    """

    vocabulary: Vocabulary
    batching: Batching
    apart: bool
    width: int
    static: bool = False

    def __call__(self, groups: Sequence[Sequence[Block]]) -> Batch:
        """Lay out the blocks of each adapter."""
        rows = self._rows(groups)
        count = max(map(len, rows))
        length = max(max((sum(row.lengths) for row in each), default=1) for each in rows)
        if self.static:
            length = length + -length % TOKENS if self._packs else self.width
        shape = (len(groups), count, length)
        ids = np.full(shape, self.vocabulary.pad)
        segments, position_ids, labels = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, IGNORED)
        for group, each in enumerate(rows):
            for number, row in enumerate(each):
                here = (group, number, slice(sum(row.lengths)))
                ids[here], labels[here] = row.input_ids, row.labels
                lengths = [sum(row.lengths)] if self.batching == "joined" else row.lengths
                segments[here] = np.repeat(np.arange(1, len(lengths) + 1), lengths)
                position_ids[here] = np.concatenate([np.arange(size) for size in lengths])
        flat = labels.reshape(len(groups), -1)
        found = [np.flatnonzero(each != IGNORED) for each in flat]
        most = max(1, *map(len, found)) if len(found) > 1 else max(1, len(found[0]))
        most += -most % LABELS if self.static else 0
        indices = np.zeros((len(groups), most), np.int64) + np.arange(len(groups))[:, None] * flat.shape[1]
        chosen = np.full((len(groups), most), IGNORED)
        for group, where in enumerate(found):
            indices[group, : len(where)] += where
            chosen[group, : len(where)] = flat[group, where]
        tensors = {
            "input_ids": ids.reshape(-1, length),
            "segments": segments.reshape(-1, length),
            "position_ids": position_ids.reshape(-1, length),
            "label_indices": indices.reshape(-1),
            "labels": chosen.reshape(-1),
        }
        return Batch(
            {name: torch.from_numpy(array) for name, array in tensors.items()},
            np.array([len(where) for where in found]),
            sum(len(block.input_ids) for blocks in groups for block in blocks),
        )

    @property
    def _packs(self) -> bool:
        """Return whether lines are put into rows here; blocks are rows already."""
        return self.batching == "line" and self.apart

    def _rows(self, groups: Sequence[Sequence[Block]]) -> Sequence[Sequence[Block]]:
        """Return the rows of each adapter."""
        if not self._packs:
            return groups
        lengths = [[len(block.input_ids) for block in blocks] for blocks in groups]
        return [
            [
                Block(
                    np.concatenate([blocks[number].input_ids for number in row]),
                    np.concatenate([blocks[number].labels for number in row]),
                    [len(blocks[number].input_ids) for number in row],
                    -1,
                )
                for row in rows
            ]
            for blocks, rows in zip(groups, even_rows(lengths, TOKENS if self.static else 1), strict=True)
        ]


def even_rows(groups: Sequence[Sequence[int]], multiple: int = 1) -> list[list[list[int]]]:
    """Deal the lines of each adapter out to rows, as many for each and all about as long, in the cheapest way.

    `groups` are the lengths of lines; all rows are filled up to the longest, and that to a multiple. Returns the
    numbers of the lines of each row. The more rows, the more is filled up; the fewer, the more does a token attend to.
    Their number is a power of two, so that few shapes come about.
    """
    most = max(map(len, groups))
    ways = [[_deal(lengths, 2**power) for lengths in groups] for power in range(max(1, most.bit_length()))]
    return min(ways, key=lambda way: _cost(way, groups, multiple))


def _deal(lengths: Sequence[int], rows: int) -> list[list[int]]:
    """Give each line, the longest first, to the shortest row (Graham 1969). Rows without a line are left out."""
    dealt: list[list[int]] = [[] for _ in range(rows)]
    shortest = [(0, row) for row in range(rows)]
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        length, row = shortest[0]
        dealt[row].append(number)
        heapreplace(shortest, (length + lengths[number], row))
    return [row for row in dealt if row]


def _cost(way: Sequence[Sequence[Sequence[int]]], groups: Sequence[Sequence[int]], multiple: int) -> float:
    """Return what an adapter's rows cost, in tokens: their number, and as many again for each ATTENDED in a row."""
    longest = max(sum(lengths[line] for line in row) for rows, lengths in zip(way, groups, strict=True) for row in rows)
    length = longest + -longest % multiple
    return max(map(len, way)) * length * (1 + length / ATTENDED)
