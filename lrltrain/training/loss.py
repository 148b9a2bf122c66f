"""The language modelling loss at the labelled positions alone.

Of a masked language model 15 % of the positions carry a label, and the projection onto the vocabulary costs more than
the rest of XLM-R: so the encoder's output is cut down to the labelled positions before the head sees it. The head, with
all that belongs to it, stays the library's own; its last projection and the cross entropy are one step. The loss and
its gradients are those of the full computation.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lrltrain.models import no_cache
from lrltrain.modules.families import base_of
from lrltrain.modules.insert import inserted

IGNORED = -100
ROWS, WORDS = 1024, 4096  # of a piece of the logits on the CPU: its second pass finds it in the cache


def _at(hidden: Tensor, positions: Tensor) -> Tensor:
    """Return the hidden states at positions of a flattened batch, (1, labels, hidden); backward sorts nothing."""
    return hidden.flatten(0, 1).index_select(0, positions)[None]


class LabelledHead:
    """Makes the head of `model` see only chosen positions. Use it as a context around the model's forward pass.

    `model` is a transformers model with a language modelling head, with or without adapters. `dtype` is the precision
    of its last projection; without one it is that of autocast where that is on, else that of the weights. `Step`
    computes the model under autocast and the loss outside of it, and so names the precision here.

    A model that does more to its logits than the last projection, as Gemma 2, which caps them, computes them itself,
    all at once: it has `own_logits`.
    """

    def __init__(self, model: Any, dtype: torch.dtype | None = None) -> None:
        self._dtype = dtype
        self.own_logits = False
        self._projection = model.get_output_embeddings()
        self._positions: Tensor | None = None
        self._is_cut = False
        self._projection_forward: Callable[..., Tensor] = self._projection.forward
        self._projection.forward = self._forward
        self._hook = base_of(model).register_forward_hook(self._cut)
        try:
            self.own_logits = self._changes_logits(model)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the model back as it was."""
        self._hook.remove()
        del self._projection.forward

    def _cut(self, _module: Any, _inputs: Any, output: Any) -> Any:
        if self._positions is None:
            return output
        hidden = output[0]  # (batch, length, hidden)
        output[0 if isinstance(output, tuple) else "last_hidden_state"] = _at(hidden, self._positions)
        self._is_cut = True
        return output

    def _forward(self, hidden: Tensor) -> Tensor:
        if self._positions is not None and not self._is_cut:  # OPT calls what its base model is made of
            hidden = _at(hidden, self._positions)
        return self._projection_forward(hidden) if self._positions is None or self.own_logits else hidden

    @torch.no_grad()
    def _changes_logits(self, model: Any) -> bool:
        """Return whether a model returns something else than what its last projection gives."""
        rows = max((len(stack.names) for stack in inserted(model)), default=1)
        weight, given = self._projection.weight, list[Tensor]()
        ids = (torch.arange(5, 9, device=weight.device) % len(weight)).expand(rows, -1)
        handle = self._projection.register_forward_hook(lambda _module, _inputs, output: given.append(output))
        with self.at(torch.arange(0, ids.numel(), 4, device=weight.device)):
            returned = model(input_ids=ids, **no_cache(model)).logits
        handle.remove()
        return not torch.equal(returned, given[0])

    @contextmanager
    def at(self, positions: Tensor) -> Iterator[None]:
        """Cut the encoder's output down to `positions`, of shape (labels,), into the flattened batch.

        The model then returns as `logits` what would go into its last projection, (1, labels, hidden): for `loss`. One
        that changes its logits returns these.
        """
        self._positions, self._is_cut = positions, False
        try:
            yield
        finally:
            self._positions = None

    def loss(self, hidden: Tensor, labels: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of the losses, each times its share, and the losses in nats, (labels,), without gradient.

        `hidden` (labels, hidden) is what would go into the last projection, `shares` (labels,) what each label counts.
        Those of -100 do not count.
        """
        if self.own_logits:
            losses = functional.cross_entropy(hidden.float(), labels, reduction="none", ignore_index=IGNORED)
            return (losses * shares).sum(), losses.detach()
        hidden, weight, bias = self._operands(hidden)
        return linear_cross_entropy(hidden, weight, bias, labels, shares)

    @torch.no_grad()
    def losses(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Return the cross entropy in nats of each label, (labels,), zero where it is -100; without gradients."""
        if self.own_logits:
            return self.loss(hidden, labels, torch.ones_like(labels))[1]
        hidden, weight, bias = self._operands(hidden)
        parts = zip(hidden.split(ROWS), labels.split(ROWS), strict=True)
        return torch.cat([_entropies(part, weight, bias, wanted)[0] for part, wanted in parts])

    def _operands(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return hidden, weight and bias of the last projection in the precision in which it is computed."""
        weight, bias, kind = self._projection.weight, self._projection.bias, hidden.device.type
        cast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        dtype = self._dtype or cast
        return hidden.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, shares: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the weighted sum and the values of the cross entropy of `hidden @ weight.T + bias` with `labels`, in nats.

    Holds the logits of at most ROWS positions, takes them in pieces that fit the cache, and makes the gradient in the
    same pass; torch's own way goes some ten times over all logits, which on a CPU costs as much as the products.
    """
    parts = zip(hidden.split(ROWS), labels.split(ROWS), shares.split(ROWS), strict=True)
    made = [_LinearCrossEntropy.apply(part, weight, bias, wanted, share) for part, wanted, share in parts]
    return torch.stack([total for total, _ in made]).sum(), torch.cat([losses for _, losses in made])


class _LinearCrossEntropy(torch.autograd.Function):
    """Cross entropy of a linear layer; the gradient, softmax less one-hot, is made while the logits are at hand."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, shares: Tensor
    ) -> tuple[Tensor, Tensor]:
        wants = any(ctx.needs_input_grad)
        losses, norm, pieces = _entropies(hidden, weight, bias, labels, keep=wants)
        if wants:
            ctx.save_for_backward(*_gradients(ctx.needs_input_grad, hidden, weight, pieces, norm, labels, shares))
        ctx.mark_non_differentiable(losses)
        return (losses * shares).sum(), losses

    @staticmethod
    def backward(ctx: Any, outer: Tensor, _losses: Tensor) -> tuple[Tensor | None, ...]:
        kept = iter(ctx.saved_tensors)
        grads = ((next(kept) if needed else None) for needed in ctx.needs_input_grad[:3])
        return (*(None if grad is None else grad * outer.to(grad.dtype) for grad in grads), None, None)


def _entropies(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, *, keep: bool = False
) -> tuple[Tensor, Tensor | None, list[Tensor]]:
    """Return the loss at each position, the logarithm of the norm of its softmax, and, to `keep`, pieces of logits.

    Without a norm the one piece holds logarithms of probabilities.
    """
    counts = labels != IGNORED
    wanted = labels.where(counts, 0)
    words = WORDS if hidden.device.type == "cpu" else len(weight)
    if words >= len(weight):  # nothing is gained by pieces: one kernel goes over all logits
        logits = functional.linear(hidden, weight, bias).log_softmax(-1, dtype=torch.float32)
        return -logits.gather(1, wanted[:, None]).squeeze(1) * counts, None, [logits] if keep else []
    pieces: list[Tensor] = []
    norm = hidden.new_full((len(hidden),), -torch.inf, dtype=torch.float32)
    target = hidden.new_zeros((len(hidden),), dtype=torch.float32)
    for start in range(0, len(weight), words):
        end = start + words
        logits = functional.linear(hidden, weight[start:end], None if bias is None else bias[start:end]).float()
        norm = torch.logaddexp(norm, logits.logsumexp(-1))
        inside = (wanted >= start) & (wanted < end)
        target += logits.gather(1, (wanted - start).clamp(0, logits.shape[1] - 1)[:, None]).squeeze(1) * inside
        if keep:
            pieces.append(logits)
    return (norm - target) * counts, norm, pieces


def _gradients(
    needed: tuple[bool, ...],
    hidden: Tensor,
    weight: Tensor,
    pieces: list[Tensor],
    norm: Tensor | None,
    labels: Tensor,
    shares: Tensor,
) -> list[Tensor]:
    """Return the gradients of the weighted sum of losses by hidden, weight and bias, as far as they are needed.

    What a label counts is multiplied into its hidden state, which has fewer numbers than its logits.
    """
    counts = torch.where(labels != IGNORED, shares, 0.0)[:, None]
    scaled = (hidden * counts).to(hidden.dtype)
    of_hidden = torch.zeros_like(hidden)
    of_weight = torch.empty_like(weight) if needed[1] else None
    of_bias = torch.empty_like(weight[:, 0]) if needed[2] else None
    start = 0
    for logits in pieces:
        end = start + logits.shape[1]
        error = _error(logits if norm is None else logits.sub_(norm[:, None]), labels - start, hidden.dtype)
        of_hidden.addmm_(error, weight[start:end].to(hidden.dtype))
        if of_weight is not None:
            of_weight[start:end] = error.T @ scaled
        if of_bias is not None:
            of_bias[start:end] = (counts.T.to(error.dtype) @ error)[0]
        start = end
    return [each for each in ((of_hidden * counts).to(hidden.dtype), of_weight, of_bias) if each is not None]


def _error(log_p: Tensor, labels: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the softmax less one-hot, in `dtype`; overwrites `log_p`. A label outside of it is another piece's."""
    column = labels.clamp(0, log_p.shape[1] - 1)[:, None]
    at_label = log_p.gather(1, column).exp() - (column == labels[:, None]).float()
    error = torch.exp(log_p, out=log_p if log_p.dtype == dtype else torch.empty_like(log_p, dtype=dtype))
    return error.scatter_(1, column, at_label.to(dtype))
