"""Classify with a causal model by the likelihood of each label after the prompt.

A label's score is the sum of log P(token | prompt, tokens before) over its tokens, thus the probability that the model
answers with this label. The mean over tokens is an option, not the default: it
favours long labels whose later tokens follow from the first, as `science/technology`.

The prompt is read once for all labels, and its keys and values are used again for each label's tokens. Models that
cannot go on from there by several tokens, as most with a recurrent state (Mamba, Jamba, RWKV), read it again for each.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lrldata.errors import ModelError, UsageError
from lrltrain.evaluation.pseudo_perplexity import Copies, sums
from lrltrain.models import takes
from lrltrain.precision import tf32
from lrltrain.prompting.config import Form, Normalise
from lrltrain.prompting.template import Prompts
from lrltrain.tokens import encode, encode_chat

WORDS = 8_192  # of the vocabulary that are in single precision at once
TOKENS_A_BATCH = {"cpu": 2_048, "cuda": 16_384}
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Question:
    """Tokens of a prompt (length,), and of what follows for each label (tokens of the label,), one at least."""

    prompt: Ids
    answers: tuple[Ids, ...]


@dataclass(frozen=True)
class Scores:
    """Log-likelihood in nats of each label, (items, labels), and how many tokens it has, (items, labels)."""

    log_likelihood: NDArray[np.float64]
    tokens: NDArray[np.int64]

    def best(self, normalise: Normalise) -> Ids:
        """Return the number of the likeliest label of each item, (items,); of equal ones the first."""
        values = self.log_likelihood / self.tokens if normalise == "mean" else self.log_likelihood
        return np.asarray(values.argmax(axis=1))


def ask(prompts: Prompts, text: str, tokenizer: Any, form: Form, longest: int) -> tuple[Question, bool]:
    """Return the tokens of a prompt and its labels, and whether the text was cut to `longest` tokens in all.

    A label's tokens are those that are not the prompt's alone, since a token may straddle the two. Raises UsageError if
    the prompt is too long without the text.
    """
    question = _tokens(prompts, text, tokenizer, form)
    kept, cut = text, False
    while (over := len(question.prompt) + max(map(len, question.answers)) - longest) > 0:
        if not kept:
            raise UsageError(f"a prompt without its text has more than {longest} tokens.", "Use fewer --shots.")
        kept, cut = kept[: min(len(kept) - over, int(len(kept) * 0.9))] if len(kept) > over else "", True
        question = _tokens(prompts, kept, tokenizer, form)
    return question, cut


def _tokens(prompts: Prompts, text: str, tokenizer: Any, form: Form) -> Question:
    labels = list(prompts.template.words)
    if form == "chat":
        if not tokenizer.chat_template:
            raise ModelError("the model has no chat template.", "Use --form completion.")
        begin: list[int] = []
        alone, *whole = encode_chat(tokenizer, prompts.chat(text), [prompts.answer(label).strip() for label in labels])
    else:
        prompt = prompts.completion(text)
        answers = [prompts.answer(label) for label in labels]
        begin = [each for each in tokenizer("")["input_ids"][:1] if each == tokenizer.bos_token_id]
        read = encode(tokenizer, [prompt, *(prompt + answer for answer in answers)], add_special_tokens=False)
        alone, *whole = read["input_ids"]
    shared = min(_in_common(alone, ids) for ids in whole)
    if shared + len(begin) == 0:
        raise ModelError("the tokenizer takes the whole prompt and the label for one token.")
    return Question(
        np.array([*begin, *alone[:shared]], np.int64), tuple(np.array(ids[shared:], np.int64) for ids in whole)
    )


def _in_common(prompt: Sequence[int], whole: Sequence[int]) -> int:
    """Return how many tokens two begin with alike, one less than `whole` has at most."""
    alike = 0
    for one, other in zip(prompt, whole[:-1], strict=False):
        if one != other:
            break
        alike += 1
    return alike


@tf32(on=False)
@torch.inference_mode()
def score(
    model: Any,
    questions: Sequence[Question],
    batch_tokens: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Scores:
    """Return the likelihood of each label of each question; `model` must be in evaluation mode.

    `batch_tokens` is the number of tokens of the prompts of a batch, with padding. `advance` is called with
    the number of questions that are done.
    """
    budget = batch_tokens or TOKENS_A_BATCH.get(model.device.type, TOKENS_A_BATCH["cpu"])
    labels = len(questions[0].answers)
    values = np.zeros((len(questions), labels))
    tokens = np.array([[len(answer) for answer in question.answers] for question in questions], np.int64)
    done = 0
    if not _goes_on(model):
        whole = [_whole(question, answer) for question in questions for answer in question.answers]
        told = lambda copies: advance(copies // labels)  # noqa: E731
        found = sums(model, whole, "clm", mask=None, pad=0, batch_tokens=budget, head_dtype=torch.float32, advance=told)
        return _finite(Scores(found.reshape(values.shape), tokens))
    with _exact_logits(model):
        for rows in _batches([len(question.prompt) for question in questions], budget):
            values[rows] = _score_batch(model, [questions[row] for row in rows]).cpu().numpy()
            done += len(rows)
            advance(done)
    return _finite(Scores(values, tokens))


def _goes_on(model: Any) -> bool:
    """Return whether a model can read a prompt once, and each label's tokens after it."""
    recurrent = getattr(model, "_is_stateful", False)
    cached = takes(model, "past_key_values") or takes(model, "cache")
    if recurrent or not cached or not takes(model, "position_ids"):
        return False
    words = np.arange(16) % model.get_output_embeddings().weight.shape[0]
    probes = [Question(words[:7], (words[7:10],)), Question(words[10:13], (words[13:15],))]
    with _exact_logits(model):
        found = _score_batch(model, probes)[:, 0].cpu().numpy()
    expected = sums(model, [_whole(each, each.answers[0]) for each in probes], "clm", mask=None, pad=0)
    return bool(np.abs(found - expected).max() < (0.01 if model.dtype == torch.float32 else 0.5))


def _whole(question: Question, answer: Ids) -> Copies:
    """Return a prompt with a label as one sentence, of which the label is asked for."""
    ids = np.concatenate([question.prompt, answer])
    asked = np.arange(len(question.prompt), len(ids))
    return Copies(ids, asked, asked)


def _finite(scores: Scores) -> Scores:
    if not np.isfinite(scores.log_likelihood).all():
        raise ModelError("the model gives a likelihood that is not a number.", "Try --precision fp32.")
    return scores


@contextmanager
def _exact_logits(model: Any) -> Iterator[None]:
    """Compute a model's last projection in single precision: in halves labels would tie, and the first one be taken."""
    projection = model.get_output_embeddings()
    weight, bias = projection.weight, projection.bias
    if weight.dtype == torch.float32:
        yield
        return

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        parts = weight.split(WORDS)
        logits = torch.cat([functional.linear(hidden.float(), part.float()) for part in parts], -1)
        return logits if bias is None else logits + bias.float()

    projection.forward = forward
    try:
        yield
    finally:
        del projection.forward


def _batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Yield the numbers of questions of about equal length, the longest first: memory runs out at once or never."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    while order:
        size = max(1, budget // lengths[order[0]])
        yield order[:size]
        order = order[size:]


def _score_batch(model: Any, questions: Sequence[Question]) -> torch.Tensor:
    """Return log-likelihoods, (questions, labels), float64."""
    device = model.device
    prompts, there = _padded([question.prompt for question in questions], left=True)
    positions = (there.cumsum(1) - 1).clamp(min=0)
    read = model(
        input_ids=prompts.to(device),
        attention_mask=there.to(device),
        position_ids=positions.to(device),
        use_cache=True,
        **({"logits_to_keep": 1} if takes(model, "logits_to_keep") else {}),
    )
    first = read.logits[:, -1].float().log_softmax(-1)
    cache = "cache" if takes(model, "cache") else "past_key_values"  # transformers 4
    scores = []
    for label in range(len(questions[0].answers)):
        ids, real = _padded([question.answers[label] for question in questions], left=False)
        ids, mask = ids.to(device), real.to(device)
        likelihood = first.gather(1, ids[:, :1]).double()
        if ids.shape[1] > 1:
            steps = torch.arange(ids.shape[1] - 1)
            later = model(
                input_ids=ids[:, :-1],
                attention_mask=torch.cat([there, torch.ones_like(real[:, :-1])], 1).to(device),
                position_ids=(positions[:, -1:] + 1 + steps).to(device),
                use_cache=True,
                **{cache: copy.deepcopy(getattr(read, cache))},  # which the call adds to; not every kind can be cut
            )
            each = later.logits.float().log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
            likelihood = torch.cat([likelihood, each.double() * mask[:, 1:]], 1)
        scores.append(likelihood.sum(1))
    return torch.stack(scores, 1)


def _padded(rows: Sequence[Ids], *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens, and 1 where there is one and 0 where not, both (rows, longest), int64."""
    longest = max(map(len, rows))
    ids, there = np.zeros((2, len(rows), longest), np.int64)
    for row, values in enumerate(rows):
        where = slice(longest - len(values), None) if left else slice(len(values))
        ids[row, where], there[row, where] = values, 1
    return torch.from_numpy(ids), torch.from_numpy(there)
