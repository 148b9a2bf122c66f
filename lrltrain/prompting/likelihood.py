"""Classify with a causal model by the likelihood of each label after the prompt.

A label's score is the sum of log P(token | prompt, tokens before) over its tokens, which is the log-probability that
the model answers with this label. The mean over tokens is an option but not the default: it favours long labels whose
later tokens follow from the first, such as `science/technology`.

The prompt is processed once for all labels, and its keys and values are reused for each label's tokens. Models that
cannot continue a cached prompt by several tokens, such as most with a recurrent state (Mamba, Jamba, RWKV), process the
prompt again for each label.
"""

import copy
from bisect import bisect_right
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
from lrltrain.passes import accepts_argument
from lrltrain.precision import tf32
from lrltrain.prompting.config import Form, Normalise
from lrltrain.prompting.template import Prompts
from lrltrain.tokens import encode, encode_chat, special_tokens_around

_FEWER = "Use fewer --shots."
WORDS = 8_192  # rows of the output matrix that are converted to single precision at once
TOKENS_PER_BATCH = {"cpu": 2_048, "cuda": 16_384}
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Question:
    """The token ids of a prompt, (length,), and of the answer for each label, (tokens of the label,), at least one."""

    prompt: Ids
    answers: tuple[Ids, ...]

    def __len__(self) -> int:
        """Return the number of tokens of the prompt with the longest answer."""
        return len(self.prompt) + max(map(len, self.answers))


@dataclass(frozen=True)
class Scores:
    """The log-likelihood in nats and the number of tokens of each label, (items, labels) each."""

    log_likelihood: NDArray[np.float64]
    tokens: NDArray[np.int64]

    def best(self, normalise: Normalise) -> Ids:
        """Return the index of the most likely label of each item, (items,); the first in case of a tie."""
        values = self.log_likelihood / self.tokens if normalise == "mean" else self.log_likelihood
        return np.asarray(values.argmax(axis=1))


def ask(prompts: Prompts, text: str, tokenizer: Any, form: Form, longest: int) -> tuple[Question, bool]:
    """Return the tokens of a prompt and its labels, and whether the text was truncated to fit `longest` tokens in all.

    A label's tokens start where they first differ from those of the prompt, since a token may span the boundary. Of a
    longer text, as many characters are kept as fit. Raises UsageError if none fits.
    """
    question = _tokens(prompts, text, tokenizer, form)
    if len(question) <= longest:
        return question, False

    def length(characters: int) -> int:
        return len(_tokens(prompts, text[:characters], tokenizer, form))

    kept = bisect_right(range(1, len(text)), longest, key=length)
    while kept and length(kept) > longest:  # a longer text can have fewer tokens, if they span more characters
        kept -= 1
    if not kept:
        raise UsageError(f"the prompt with only one character of the text exceeds {longest} tokens.", _FEWER)
    return _tokens(prompts, text[:kept], tokenizer, form), True


def _tokens(prompts: Prompts, text: str, tokenizer: Any, form: Form) -> Question:
    labels = list(prompts.template.words)
    if form == "chat":
        if not tokenizer.chat_template:
            raise ModelError("the model has no chat template.", "Use --form completion.")
        bos: list[int] = []
        prompt_ids, *full_ids = encode_chat(
            tokenizer, prompts.chat(text), [prompts.answer(label).strip() for label in labels]
        )
    else:
        prompt = prompts.completion(text)
        answers = [prompts.answer(label) for label in labels]
        bos, _ = special_tokens_around(tokenizer)
        encoded = encode(tokenizer, [prompt, *(prompt + answer for answer in answers)], add_special_tokens=False)
        prompt_ids, *full_ids = encoded["input_ids"]
    shared = min(_common_prefix(prompt_ids, ids) for ids in full_ids)
    if shared + len(bos) == 0:
        raise ModelError("the tokenizer merges the whole prompt and the label into one token.")
    return Question(
        np.array([*bos, *prompt_ids[:shared]], np.int64), tuple(np.array(ids[shared:], np.int64) for ids in full_ids)
    )


def _common_prefix(prompt: Sequence[int], whole: Sequence[int]) -> int:
    """Return the length of the common prefix, at most one less than the length of `whole`."""
    length = 0
    for left, right in zip(prompt, whole[:-1], strict=False):
        if left != right:
            break
        length += 1
    return length


@tf32(on=False)
@torch.inference_mode()
def score(
    model: Any,
    questions: Sequence[Question],
    batch_tokens: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Scores:
    """Return the likelihood of each label of each question; `model` must be in evaluation mode.

    `batch_tokens` is the maximum number of prompt tokens in a batch, including padding. `advance` is called with the
    number of questions scored so far.
    """
    budget = batch_tokens or TOKENS_PER_BATCH.get(model.device.type, TOKENS_PER_BATCH["cpu"])
    labels = len(questions[0].answers)
    values = np.zeros((len(questions), labels))
    tokens = np.array([[len(answer) for answer in question.answers] for question in questions], np.int64)
    done = 0
    if not _can_continue(model):
        sentences = [_as_sentence(question, answer) for question in questions for answer in question.answers]
        report = lambda copies: advance(copies // labels)  # noqa: E731
        likelihoods = sums(
            model, sentences, "clm", mask=None, pad=0, batch_tokens=budget, head_dtype=torch.float32, advance=report
        )
        return _finite(Scores(likelihoods.reshape(values.shape), tokens))
    with _exact_logits(model):
        for rows in _batches([len(question.prompt) for question in questions], budget):
            values[rows] = _score_batch(model, [questions[row] for row in rows]).cpu().numpy()
            done += len(rows)
            advance(done)
    return _finite(Scores(values, tokens))


def _can_continue(model: Any) -> bool:
    """Return whether a model can continue a cached prompt with each label's tokens."""
    recurrent = getattr(model, "_is_stateful", False)
    cached = accepts_argument(model, "past_key_values") or accepts_argument(model, "cache")
    if recurrent or not cached or not accepts_argument(model, "position_ids"):
        return False
    ids = np.arange(16) % model.get_output_embeddings().weight.shape[0]
    probes = [Question(ids[:7], (ids[7:10],)), Question(ids[10:13], (ids[13:15],))]
    with _exact_logits(model):
        continued = _score_batch(model, probes)[:, 0].cpu().numpy()
    expected = sums(model, [_as_sentence(probe, probe.answers[0]) for probe in probes], "clm", mask=None, pad=0)
    return bool(np.abs(continued - expected).max() < (0.01 if model.dtype == torch.float32 else 0.5))


def _as_sentence(question: Question, answer: Ids) -> Copies:
    """Return a prompt with a label as one sentence in which only the label is scored."""
    ids = np.concatenate([question.prompt, answer])
    scored = np.arange(len(question.prompt), len(ids))
    return Copies(ids, scored, scored)


def _finite(scores: Scores) -> Scores:
    if not np.isfinite(scores.log_likelihood).all():
        raise ModelError("the model returned a likelihood that is not finite.", "Try --precision fp32.")
    return scores


@contextmanager
def _exact_logits(model: Any) -> Iterator[None]:
    """Compute a model's last projection in single precision: in half precision, ties between labels are common."""
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
    """Yield batches of question indices of similar length, longest first, so that memory runs out at once or never."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    while order:
        size = max(1, budget // lengths[order[0]])
        yield order[:size]
        order = order[size:]


def _score_batch(model: Any, questions: Sequence[Question]) -> torch.Tensor:
    """Return the log-likelihoods, (questions, labels), as float64."""
    device = model.device
    prompts, prompt_mask = _padded([question.prompt for question in questions], left=True)
    positions = (prompt_mask.cumsum(1) - 1).clamp(min=0)
    prompt_output = model(
        input_ids=prompts.to(device),
        attention_mask=prompt_mask.to(device),
        position_ids=positions.to(device),
        use_cache=True,
        **({"logits_to_keep": 1} if accepts_argument(model, "logits_to_keep") else {}),
    )
    first = prompt_output.logits[:, -1].float().log_softmax(-1)
    cache = "cache" if accepts_argument(model, "cache") else "past_key_values"  # transformers 4
    scores = []
    for label in range(len(questions[0].answers)):
        ids, is_token = _padded([question.answers[label] for question in questions], left=False)
        ids, mask = ids.to(device), is_token.to(device)
        likelihood = first.gather(1, ids[:, :1]).double()
        if ids.shape[1] > 1:
            steps = torch.arange(ids.shape[1] - 1)
            later = model(
                input_ids=ids[:, :-1],
                attention_mask=torch.cat([prompt_mask, torch.ones_like(is_token[:, :-1])], 1).to(device),
                position_ids=(positions[:, -1:] + 1 + steps).to(device),
                use_cache=True,
                **{
                    cache: copy.deepcopy(getattr(prompt_output, cache))
                },  # the call extends it, and not every kind can be truncated
            )
            later_likelihood = later.logits.float().log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
            likelihood = torch.cat([likelihood, later_likelihood.double() * mask[:, 1:]], 1)
        scores.append(likelihood.sum(1))
    return torch.stack(scores, 1)


def _padded(rows: Sequence[Ids], *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return padded token ids and a mask with 1 for tokens and 0 for padding, (rows, longest) each, as int64."""
    longest = max(map(len, rows))
    ids, is_token = np.zeros((2, len(rows), longest), np.int64)
    for row, values in enumerate(rows):
        columns = slice(longest - len(values), None) if left else slice(len(values))
        ids[row, columns], is_token[row, columns] = values, 1
    return torch.from_numpy(ids), torch.from_numpy(is_token)
