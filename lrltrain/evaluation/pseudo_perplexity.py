"""Pseudo-perplexity of encoders, perplexity of decoders, sentence by sentence.

Salazar et al. (2020): the pseudo-log-likelihood of a sentence is the sum over its tokens of log P(token | the others),
each from a copy in which that token alone is masked. Copies of many sentences share a batch, and the head sees one
position a copy.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lrltrain.config import Formula, Objective
from lrltrain.evaluation.likelihoods import Likelihoods
from lrltrain.models import no_cache, word_starts
from lrltrain.precision import tf32
from lrltrain.tokens import encode
from lrltrain.training.loss import LabelledHead

TOKENS_A_BATCH = {"cpu": 4_096, "cuda": 131_072}
LOGIT_BYTES = 4 << 30  # of all logits of a batch, where a model computes them at once


@dataclass(frozen=True)
class Copies:
    """What to ask of a sentence: `ids` (length,), and for each target its position and where the masks end."""

    ids: NDArray[np.int64]
    targets: NDArray[np.int64]
    ends: NDArray[np.int64]


class Together(NamedTuple):
    """Copies of all sentences: their arrays one after the other, and where those of each sentence begin."""

    ids: NDArray[np.int64]
    targets: NDArray[np.int64]
    ends: NDArray[np.int64]
    lengths: NDArray[np.int64]
    counts: NDArray[np.int64]  # targets of each
    first: NDArray[np.int64]  # of its ids
    first_target: NDArray[np.int64]

    @classmethod
    def of(cls, asked: Sequence[Copies]) -> "Together":
        """Put them together."""
        nothing = np.empty(0, np.int64)
        lengths = np.array([len(each.ids) for each in asked], np.int64)
        counts = np.array([len(each.targets) for each in asked], np.int64)
        return cls(
            np.concatenate([nothing, *(each.ids for each in asked)]),
            np.concatenate([nothing, *(each.targets for each in asked)]),
            np.concatenate([nothing, *(each.ends for each in asked)]),
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

    What is longer than `max_length` tokens is cut there.

    `formula` is of encoders: `corrected` asks for each token but the special ones, `paper` for those too,
    `within_word_l2r` masks with a token the rest of its word (Kauf & Ivanova 2023). `advance` is called
    with the number of sentences that are done.
    """
    read = encode(tokenizer, sentences, truncation=True, max_length=max_length, return_offsets_mapping=True)
    encoded = read["input_ids"]
    starts = word_starts(tokenizer).numpy()
    special = np.isin(np.arange(len(starts)), tokenizer.all_special_ids)
    asked = [copies(np.asarray(ids, np.int64), objective, formula, special, starts) for ids in encoded]
    characters = [characters_of(each, spans) for each, spans in zip(asked, read["offset_mapping"], strict=True)]
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    total = sums(
        *(model, asked, objective),
        mask=tokenizer.mask_token_id,
        pad=pad,
        batch_tokens=batch_tokens,
        precision=precision,
        advance=advance,
    )
    ends = (max((end for _, end in spans), default=0) for spans in read["offset_mapping"])
    cut = sum(
        len(ids) == max_length and bool(text[end:].strip())
        for text, ids, end in zip(sentences, encoded, ends, strict=True)
    )
    of_text = [
        token == tokenizer.unk_token_id
        for ids, spans in zip(encoded, read["offset_mapping"], strict=True)
        for token, (begin, end) in zip(ids, spans, strict=True)
        if end > begin  # not what stands at its ends, which some tokenizers call by the same name
    ]
    unknown = sum(of_text) / max(1, len(of_text))
    return Likelihoods(total, np.array([len(each.targets) for each in asked]), np.array(characters), cut, unknown)


@tf32(on=False)
def sums(
    model: Any,
    asked: Sequence[Copies],
    objective: Objective,
    *,
    mask: int | None,
    pad: int,
    batch_tokens: int | None = None,
    precision: str = "fp32",
    head_dtype: torch.dtype | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> NDArray[np.float64]:
    """Return the sum of the log-likelihoods in nats of what is asked of each sentence, (sentences,).

    `mask` and `pad` are tokens, `head_dtype` the precision of the last projection, that of the weights by default.
    """
    device = next(model.parameters()).device
    budget = batch_tokens or TOKENS_A_BATCH.get(device.type, TOKENS_A_BATCH["cpu"])
    head = LabelledHead(model, head_dtype)
    if head.own_logits and objective == "clm":  # which it has of all tokens, and they once more in single precision
        budget = min(budget, max(1, LOGIT_BYTES // (8 * model.get_output_embeddings().weight.shape[0])))
    total, uncached = np.zeros(len(asked)), no_cache(model)
    left = np.array([len(each.targets) for each in asked])  # targets of each sentence
    together = Together.of(asked)
    try:
        for batch in batches(asked, objective, budget):
            ids, lengths, positions, labels, owner = lay_out(batch, together, objective, mask, pad)
            there = torch.arange(ids.shape[1]) < torch.from_numpy(lengths)[:, None]
            here = torch.from_numpy(positions).to(device)
            cast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
            with torch.inference_mode(), cast, head.at(here):
                given = {"input_ids": torch.from_numpy(ids).to(device), "attention_mask": there.long().to(device)}
                hidden = model(**given, **uncached).logits[0]
                losses = head.losses(hidden, torch.from_numpy(labels).to(device))
            np.subtract.at(total, owner, losses.double().cpu().numpy())
            finished = np.bincount(owner, minlength=len(asked))
            left -= finished
            advance(int((left <= 0).sum()))
    finally:
        head.release()
    return total


def characters_of(asked: Copies, spans: Sequence[tuple[int, int]]) -> int:
    """Return how many characters of a sentence are asked for: all but those of tokens that are not.

    These are unknown ones, and the first of a decoder that puts nothing before a text. `spans` (length,) has where the
    tokens begin and end.
    """
    left_out = set(range(len(spans))) - set(asked.targets.tolist())
    read = max((end for _, end in spans), default=0)
    return read - sum(spans[place][1] - spans[place][0] for place in left_out)


def copies(
    ids: NDArray[np.int64],
    objective: Objective,
    formula: Formula,
    special: NDArray[np.bool_],
    starts: NDArray[np.bool_],
) -> Copies:
    """Say which positions of a sentence are asked for, and up to where each copy is masked. Pure."""
    if objective == "clm":
        targets = np.arange(1, len(ids))
        return Copies(ids, targets, targets)
    everywhere = np.arange(len(ids))
    targets = everywhere if formula == "paper" else everywhere[~special[ids]]
    ends = everywhere + 1
    if formula == "within_word_l2r":
        boundary = np.append(starts[ids] | special[ids], True)
        following = np.flatnonzero(boundary)
        ends = following[np.searchsorted(following, everywhere, side="right")]
    return Copies(ids, targets, ends[targets])


def batches(asked: Sequence[Copies], objective: Objective, budget: int) -> Iterator[list[tuple[int, int]]]:
    """Yield batches of (sentence, target), the longest sentences first, of at most `budget` tokens with padding."""
    order = sorted(range(len(asked)), key=lambda number: -len(asked[number].ids))
    batch: list[tuple[int, int]] = []
    width = 0
    for number in order:
        length = len(asked[number].ids)
        rows = (
            [(number, 0)] if objective == "clm" else [(number, target) for target in range(len(asked[number].targets))]
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
    batch: Sequence[tuple[int, int]], asked: Together, objective: Objective, mask: int | None, pad: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Lay a batch out. Pure.

    Returns ids (copies, length), lengths (copies,), and for each label its position in the flattened batch, the token,
    and the sentence that it belongs to, (labels,) each.
    """
    number, which = np.array(batch).T
    lengths = asked.lengths[number]
    places = np.arange(lengths.max())
    inside = places < lengths[:, None]
    ids = np.where(inside, asked.ids[np.where(inside, asked.first[number][:, None] + places, 0)], pad)
    if objective == "clm":  # all targets of a sentence in one copy, each from the token before it
        row = np.repeat(np.arange(len(number)), asked.counts[number])
        before = np.cumsum(asked.counts[number]) - asked.counts[number]
        chosen = asked.first_target[number][row] + np.arange(len(row)) - before[row]
        targets = asked.targets[chosen]
        at = targets - 1
    else:
        row, chosen = np.arange(len(number)), asked.first_target[number] + which
        at = targets = asked.targets[chosen]
        ids[(places >= targets[:, None]) & (places < asked.ends[chosen][:, None])] = mask
    return ids, lengths, row * ids.shape[1] + at, asked.ids[asked.first[number][row] + targets], number[row]
