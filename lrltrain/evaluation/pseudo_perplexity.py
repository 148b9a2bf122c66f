"""Pseudo-perplexity of encoders and perplexity of decoders, sentence by sentence.

Salazar et al. (2020): the pseudo-log-likelihood of a sentence is the sum over its tokens of log P(token | the others),
each computed from a copy of the sentence in which only that token is masked. Copies of many sentences share a batch,
and the head computes one position per copy.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lrltrain.config import Formula, Objective
from lrltrain.evaluation.likelihoods import Likelihoods
from lrltrain.models import word_starts
from lrltrain.passes import no_cache
from lrltrain.precision import tf32
from lrltrain.tokens import encode
from lrltrain.training.loss import LabelledHead

TOKENS_PER_BATCH = {"cpu": 4_096, "cuda": 131_072}
LOGIT_BYTES = 4 << 30  # of all logits of a batch, if a model computes them at once


@dataclass(frozen=True)
class Copies:
    """What to score in a sentence: its `ids` (length,), and for each target its position and where its mask ends."""

    ids: NDArray[np.int64]
    targets: NDArray[np.int64]
    ends: NDArray[np.int64]


class ConcatenatedCopies(NamedTuple):
    """The copies of all sentences: their arrays concatenated, and where the part of each sentence begins."""

    ids: NDArray[np.int64]
    targets: NDArray[np.int64]
    ends: NDArray[np.int64]
    lengths: NDArray[np.int64]
    counts: NDArray[np.int64]  # targets per sentence
    first: NDArray[np.int64]  # offset of each sentence in `ids`
    first_target: NDArray[np.int64]

    @classmethod
    def of(cls, copies: Sequence[Copies]) -> "ConcatenatedCopies":
        """Concatenate the copies of all sentences."""
        empty = np.empty(0, np.int64)
        lengths = np.array([len(sentence.ids) for sentence in copies], np.int64)
        counts = np.array([len(sentence.targets) for sentence in copies], np.int64)
        return cls(
            np.concatenate([empty, *(sentence.ids for sentence in copies)]),
            np.concatenate([empty, *(sentence.targets for sentence in copies)]),
            np.concatenate([empty, *(sentence.ends for sentence in copies)]),
            lengths,
            counts,
            np.cumsum(lengths) - lengths,
            np.cumsum(counts) - counts,
        )


@tf32(on=False)
def likelihoods(
    model: Any,
    tokenizer: Any,
    sentences: Sequence[str],
    objective: Objective,
    *,
    formula: Formula = "corrected",
    max_length: int = 512,
    batch_tokens: int | None = None,
    precision: str = "fp32",
    advance: Callable[[int], None] = lambda _: None,
) -> Likelihoods:
    """Return the (pseudo-)log-likelihood of each sentence under `model`, which must be in evaluation mode.

    Sentences longer than `max_length` tokens are truncated.

    `formula` applies to encoders: `corrected` scores every token except special ones, `paper` scores those too, and
    `within_word_l2r` masks the rest of a word along with each of its tokens (Kauf & Ivanova 2023). `advance` is called
    with the number of sentences that are done.
    """
    encoding = encode(tokenizer, sentences, truncation=True, max_length=max_length, return_offsets_mapping=True)
    encoded_ids = encoding["input_ids"]
    starts = word_starts(tokenizer)
    unknown_ids = {tokenizer.unk_token_id} - {tokenizer.bos_token_id, tokenizer.eos_token_id, None}
    unscored = tokenizer.all_special_ids if objective == "mlm" else sorted(unknown_ids)
    special = np.isin(np.arange(len(starts)), unscored)
    to_score = [copies(np.asarray(ids, np.int64), objective, formula, special, starts) for ids in encoded_ids]
    characters = [
        characters_of(sentence, spans) for sentence, spans in zip(to_score, encoding["offset_mapping"], strict=True)
    ]
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    total = sums(
        *(model, to_score, objective),
        mask=tokenizer.mask_token_id,
        pad=pad,
        batch_tokens=batch_tokens,
        precision=precision,
        advance=advance,
    )
    ends = (max((end for _, end in spans), default=0) for spans in encoding["offset_mapping"])
    cut = sum(
        len(ids) == max_length and bool(text[end:].strip())
        for text, ids, end in zip(sentences, encoded_ids, ends, strict=True)
    )
    is_unknown = [
        token == tokenizer.unk_token_id
        for ids, spans in zip(encoded_ids, encoding["offset_mapping"], strict=True)
        for token, (begin, end) in zip(ids, spans, strict=True)
        if end > begin  # skips special tokens at the ends, one of which some tokenizers also use for unknown tokens
    ]
    unknown = sum(is_unknown) / max(1, len(is_unknown))
    return Likelihoods(
        total, np.array([len(sentence.targets) for sentence in to_score]), np.array(characters), cut, unknown
    )


@tf32(on=False)
def sums(
    model: Any,
    sentences: Sequence[Copies],
    objective: Objective,
    *,
    mask: int | None,
    pad: int,
    batch_tokens: int | None = None,
    precision: str = "fp32",
    head_dtype: torch.dtype | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> NDArray[np.float64]:
    """Return the sum of the log-likelihoods of each sentence's targets, in nats, (sentences,).

    `mask` and `pad` are token ids. `head_dtype` is the precision of the last projection, by default that of the
    weights.
    """
    device = next(model.parameters()).device
    budget = batch_tokens or TOKENS_PER_BATCH.get(device.type, TOKENS_PER_BATCH["cpu"])
    head = LabelledHead(model, head_dtype)
    if head.own_logits and objective == "clm":  # computed for all tokens, and held once more in single precision
        budget = min(budget, max(1, LOGIT_BYTES // (8 * model.get_output_embeddings().weight.shape[0])))
    total, uncached = np.zeros(len(sentences)), no_cache(model)
    # Targets of each sentence that are not scored yet.
    remaining = np.array([len(sentence.targets) for sentence in sentences])
    together = ConcatenatedCopies.of(sentences)
    try:
        for batch in batches(sentences, objective, budget):
            ids, lengths, positions, labels, owner = lay_out(batch, together, objective, mask, pad)
            is_token = torch.arange(ids.shape[1]) < torch.from_numpy(lengths)[:, None]
            scored_positions = torch.from_numpy(positions).to(device)
            cast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
            with torch.inference_mode(), cast, head.at(scored_positions):
                inputs = {"input_ids": torch.from_numpy(ids).to(device), "attention_mask": is_token.long().to(device)}
                hidden = model(**inputs, **uncached).logits[0]
                losses = head.losses(hidden, torch.from_numpy(labels).to(device))
            np.subtract.at(total, owner, losses.double().cpu().numpy())
            scored = np.bincount(owner, minlength=len(sentences))
            remaining -= scored
            advance(int((remaining <= 0).sum()))
    finally:
        head.release()
    return total


def characters_of(copies: Copies, spans: Sequence[tuple[int, int]]) -> int:
    """Return how many characters of a sentence are scored: all but those of tokens that are not scored.

    These are unknown tokens, and the first token of a decoder that puts nothing before a text. `spans` (length,) holds
    the start and end of each token.
    """
    skipped = set(range(len(spans))) - set(copies.targets.tolist())
    last_end = max((end for _, end in spans), default=0)
    return last_end - sum(spans[position][1] - spans[position][0] for position in skipped)


def copies(
    ids: NDArray[np.int64],
    objective: Objective,
    formula: Formula,
    special: NDArray[np.bool_],
    starts: NDArray[np.bool_],
) -> Copies:
    """Return which positions of a sentence are scored, and up to where each copy is masked. Pure."""
    if objective == "clm":
        targets = 1 + np.flatnonzero(~special[ids[1:]])
        return Copies(ids, targets, targets)
    positions = np.arange(len(ids))
    targets = positions if formula == "paper" else positions[~special[ids]]
    ends = positions + 1
    if formula == "within_word_l2r":
        is_boundary = np.append(starts[ids] | special[ids], True)
        boundaries = np.flatnonzero(is_boundary)
        ends = boundaries[np.searchsorted(boundaries, positions, side="right")]
    return Copies(ids, targets, ends[targets])


def batches(copies: Sequence[Copies], objective: Objective, budget: int) -> Iterator[list[tuple[int, int]]]:
    """Yield batches of (sentence, target), longest sentences first, of at most `budget` tokens including padding."""
    order = sorted(range(len(copies)), key=lambda number: -len(copies[number].ids))
    batch: list[tuple[int, int]] = []
    width = 0
    for number in order:
        length = len(copies[number].ids)
        rows = (
            [(number, 0)] if objective == "clm" else [(number, target) for target in range(len(copies[number].targets))]
        )
        for row in rows:
            if batch and (len(batch) + 1) * max(width, length) > budget:
                yield batch
                batch, width = [], 0
            batch.append(row)
            width = max(width, length)
    if batch:
        yield batch


def lay_out(
    batch: Sequence[tuple[int, int]], copies: ConcatenatedCopies, objective: Objective, mask: int | None, pad: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Lay out a batch as arrays. Pure.

    Returns ids (copies, length), lengths (copies,), and for each label its position in the flattened batch, its token,
    and the sentence that it belongs to, each (labels,).
    """
    sentence, target = np.array(batch).T
    lengths = copies.lengths[sentence]
    positions = np.arange(lengths.max())
    inside = positions < lengths[:, None]
    ids = np.where(inside, copies.ids[np.where(inside, copies.first[sentence][:, None] + positions, 0)], pad)
    if objective == "clm":  # one copy has all targets of a sentence, each predicted from the token before it
        row = np.repeat(np.arange(len(sentence)), copies.counts[sentence])
        before = np.cumsum(copies.counts[sentence]) - copies.counts[sentence]
        selected = copies.first_target[sentence][row] + np.arange(len(row)) - before[row]
        targets = copies.targets[selected]
        read_at = targets - 1
    else:
        row, selected = np.arange(len(sentence)), copies.first_target[sentence] + target
        read_at = targets = copies.targets[selected]
        ids[(positions >= targets[:, None]) & (positions < copies.ends[selected][:, None])] = mask
    return ids, lengths, row * ids.shape[1] + read_at, copies.ids[copies.first[sentence][row] + targets], sentence[row]
