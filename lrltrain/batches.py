"""From blocks of tokens to batches: masks, padding, and which tokens see each other.

A mask depends on the run's seed, the epoch and the number of its block alone, so that it is the same after a restart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from lrltrain.config import Batching, Objective
from lrltrain.corpus import Corpus
from lrltrain.loss import IGNORED

CHUNK = 4_096  # blocks that are shuffled together
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
        """Read it off a tokenizer; a decoder's, which has no padding token, pads with its last special token."""
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


class Blocks(Dataset[dict[str, Any]]):
    """Blocks with their masks. An index is epoch * len + block: a mask depends on the seed and it alone."""

    def __init__(self, corpus: Corpus, vocabulary: Vocabulary, masking: Masking, seed: int) -> None:
        self.corpus, self.vocabulary, self.masking, self.seed = corpus, vocabulary, masking, seed

    def __len__(self) -> int:
        return len(self.corpus)

    def __getitem__(self, index: int) -> dict[str, Any]:
        epoch, block = divmod(index, len(self.corpus))
        draw = np.random.default_rng((self.seed, epoch, block))
        pieces = self.corpus.block(block)
        masked = [self.masking.apply(piece, self.vocabulary, draw) for piece in pieces]
        if all((labels == IGNORED).all() for _, labels in masked):  # so that no block is read in vain
            masked[0] = self.masking.apply(pieces[0], self.vocabulary, draw, at_least_one=True)
        return {
            "input_ids": np.concatenate([inputs for inputs, _ in masked]),
            "labels": np.concatenate([labels for _, labels in masked]),
            "lengths": [len(piece) for piece in pieces],
            "block": block,
        }


class Shuffled(Sampler[int]):
    """Order of the blocks of an epoch, in memory that does not grow with the corpus.

    Chunks come in random order, and blocks in random order inside each. Rows of a dataset lie in the order of a hash,
    so chunks are alike.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch = size, seed, 0

    def __len__(self) -> int:
        return self.size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; the trainer calls it."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        draw = np.random.default_rng((self.seed, self.epoch))
        for chunk in draw.permutation(-(-self.size // CHUNK)):
            start = int(chunk) * CHUNK
            inside = np.random.default_rng((self.seed, self.epoch, int(chunk))).permutation(
                min(CHUNK, self.size - start)
            )
            for block in inside:
                yield self.epoch * self.size + start + int(block)


@dataclass(frozen=True)
class Collator:
    """Makes a batch of blocks.

    `input_ids`, `pieces` and `places`, of shape (blocks, length): the token, the number of its piece in the block (0 is
    padding), and its place in the piece. `positions` and `labels`, (labels,): where in the flattened batch a label is,
    and which. With `width`, blocks are filled up to it and the number of labels to a multiple of 256, so that shapes
    stay the same.
    """

    vocabulary: Vocabulary
    batching: Batching
    width: int | None = None

    def __call__(self, blocks: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Collate."""
        length = self.width or max(len(block["input_ids"]) for block in blocks)
        shape = (len(blocks), length)
        ids = np.full(shape, self.vocabulary.pad)
        pieces, places, labels = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, IGNORED)
        for row, block in enumerate(blocks):
            count = len(block["input_ids"])
            ids[row, :count] = block["input_ids"]
            labels[row, :count] = block["labels"]
            lengths = [count] if self.batching == "joined" else block["lengths"]
            pieces[row, :count] = np.repeat(np.arange(1, len(lengths) + 1), lengths)
            places[row, :count] = np.concatenate([np.arange(length) for length in lengths])
        positions = np.flatnonzero(labels != IGNORED)
        chosen = labels.reshape(-1)[positions]
        if self.width:
            filling = -len(positions) % 256
            positions, chosen = np.pad(positions, (0, filling)), np.pad(chosen, (0, filling), constant_values=IGNORED)
        made = {"input_ids": ids, "pieces": pieces, "places": places, "labels": chosen, "positions": positions}
        made["block"] = np.array([block["block"] for block in blocks])
        return {name: torch.from_numpy(array) for name, array in made.items()}
