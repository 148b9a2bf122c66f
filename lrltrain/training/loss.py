"""The language modelling loss, computed at the labelled positions only.

In masked language modelling, 15 % of the positions carry a label, and the projection onto the vocabulary costs more
than the rest of XLM-R. The encoder's output is therefore reduced to the labelled positions before the head sees it.
The rest of the head remains the library's own; its last projection and the cross entropy are fused into one step. The
loss and its gradients equal those of the full computation.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lrltrain.modules.families import base_of
from lrltrain.modules.insert import inserted
from lrltrain.passes import no_cache

IGNORED = -100
ROWS, WORDS = 1024, 4096  # size of a piece of the logits on the CPU, which stays in the cache for the second pass


def _at(hidden: Tensor, positions: Tensor) -> Tensor:
    """Return the hidden states at positions of a flattened batch, (1, labels, hidden), without a sort in backward."""
    return hidden.flatten(0, 1).index_select(0, positions)[None]


class LabelledHead:
    """Restricts the head of `model` to chosen positions, within the context that `at` returns.

    `model` is a transformers model with a language modelling head, with or without adapters. `dtype` is the precision
    of the last projection; by default, it is that of autocast if enabled, otherwise that of the weights. `Step` has to
    pass it, because it computes the loss outside of autocast.

    Some models change their logits after the last projection, or do without it: Gemma 2 caps them, ESM adds a bias, and
    MobileBERT multiplies by two matrices. Such a model sets `own_logits` and computes all of its logits at once.
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
        """Restore the model to its original state."""
        self._hook.remove()
        del self._projection.forward

    def _cut(self, _module: Any, _inputs: Any, output: Any) -> Any:
        if self._positions is None:
            return output
        hidden = output[0]  # (batch, length, hidden)
        output["last_hidden_state"] = _at(hidden, self._positions)
        self._is_cut = True
        return output

    def _forward(self, hidden: Tensor) -> Tensor:
        if self._positions is not None and not self._is_cut:  # OPT does not call its base model as a whole
            hidden = _at(hidden, self._positions)
        return self._projection_forward(hidden) if self._positions is None or self.own_logits else hidden

    @torch.no_grad()
    def _changes_logits(self, model: Any) -> bool:
        """Return whether a model does more with its logits than to return the output of its last projection."""
        rows = max((len(stack.names) for stack in inserted(model)), default=1)
        weight, projected = self._projection.weight, list[Tensor]()
        ids = (torch.arange(5, 9, device=weight.device) % len(weight)).expand(rows, -1)
        handle = self._projection.register_forward_hook(lambda _module, _inputs, output: projected.append(output))
        try:
            with self.at(torch.arange(0, ids.numel(), 4, device=weight.device)):
                returned = model(input_ids=ids, **no_cache(model)).logits
        except RuntimeError:  # hidden states cannot be added to a bias of the size of the vocabulary
            return True
        finally:
            handle.remove()
        return not (projected and torch.equal(returned, projected[0]))

    @contextmanager
    def at(self, positions: Tensor) -> Iterator[None]:
        """Reduce the encoder's output to `positions`, (labels,), which index the flattened batch.

        In this context, the model's `logits` are the input of its last projection, (1, labels, hidden), as `loss`
        expects. A model with `own_logits` returns its logits.
        """
        self._positions, self._is_cut = positions, False
        try:
            yield
        finally:
            self._positions = None

    def loss(self, hidden: Tensor, labels: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of the losses weighted by `shares`, and the losses in nats, (labels,), without gradient.

        `hidden` (labels, hidden) is the input of the last projection; `shares` (labels,) is the weight of each label.
        Labels of -100 are ignored.
        """
        if self.own_logits:
            losses = functional.cross_entropy(hidden.float(), labels, reduction="none", ignore_index=IGNORED)
            return (losses * shares).sum(), losses.detach()
        hidden, weight, bias = self._operands(hidden)
        return linear_cross_entropy(hidden, weight, bias, labels, shares)

    @torch.no_grad()
    def losses(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Return the cross entropy in nats of each label, (labels,), or zero for the label -100; without gradients."""
        if self.own_logits:
            return self.loss(hidden, labels, torch.ones_like(labels))[1]
        hidden, weight, bias = self._operands(hidden)
        parts = zip(hidden.split(ROWS), labels.split(ROWS), strict=True)
        return torch.cat([_entropies(part, weight, bias, labels_part)[0] for part, labels_part in parts])

    def _operands(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the last projection's input, weight and bias in the precision of its computation."""
        weight, bias, kind = self._projection.weight, self._projection.bias, hidden.device.type
        cast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        dtype = self._dtype or cast
        return hidden.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, shares: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the weighted sum and the values of the cross entropy of `hidden @ weight.T + bias` with `labels`, in nats.

    At most ROWS positions have logits in memory, in pieces that fit into the cache, and the gradient is computed in the
    same pass. Torch's own implementation passes about ten times over all logits, which on a CPU costs as much as the
    matrix products.
    """
    parts = zip(hidden.split(ROWS), labels.split(ROWS), shares.split(ROWS), strict=True)
    results = [_LinearCrossEntropy.apply(part, weight, bias, labels_part, share) for part, labels_part, share in parts]
    return torch.stack([total for total, _ in results]).sum(), torch.cat([losses for _, losses in results])


class _LinearCrossEntropy(torch.autograd.Function):
    """Cross entropy of a linear layer. Forward also computes the gradient, softmax minus one-hot, from its logits."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, shares: Tensor
    ) -> tuple[Tensor, Tensor]:
        needs_gradient = any(ctx.needs_input_grad)
        losses, norm, pieces = _entropies(hidden, weight, bias, labels, keep=needs_gradient)
        if needs_gradient:
            ctx.save_for_backward(*_gradients(ctx.needs_input_grad, hidden, weight, pieces, norm, labels, shares))
        ctx.mark_non_differentiable(losses)
        return (losses * shares).sum(), losses

    @staticmethod
    def backward(ctx: Any, outer: Tensor, _losses: Tensor) -> tuple[Tensor | None, ...]:
        saved = iter(ctx.saved_tensors)
        grads = ((next(saved) if needed else None) for needed in ctx.needs_input_grad[:3])
        return (*(None if grad is None else grad * outer.to(grad.dtype) for grad in grads), None, None)


def _entropies(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, *, keep: bool = False
) -> tuple[Tensor, Tensor | None, list[Tensor]]:
    """Return the loss at each position, the log of its softmax's normalizer, and with `keep` the pieces of logits.

    If the normalizer is None, there is one piece, and it holds log-probabilities.
    """
    is_labelled = labels != IGNORED
    safe_labels = labels.where(is_labelled, 0)
    words = WORDS if hidden.device.type == "cpu" else len(weight)
    if words >= len(weight):  # pieces gain nothing here: one kernel handles all logits
        logits = functional.linear(hidden, weight, bias).log_softmax(-1, dtype=torch.float32)
        return -logits.gather(1, safe_labels[:, None]).squeeze(1) * is_labelled, None, [logits] if keep else []
    pieces: list[Tensor] = []
    norm = hidden.new_full((len(hidden),), -torch.inf, dtype=torch.float32)
    target = hidden.new_zeros((len(hidden),), dtype=torch.float32)
    for start in range(0, len(weight), words):
        end = start + words
        logits = functional.linear(hidden, weight[start:end], None if bias is None else bias[start:end]).float()
        norm = torch.logaddexp(norm, logits.logsumexp(-1))
        in_piece = (safe_labels >= start) & (safe_labels < end)
        target += logits.gather(1, (safe_labels - start).clamp(0, logits.shape[1] - 1)[:, None]).squeeze(1) * in_piece
        if keep:
            pieces.append(logits)
    return (norm - target) * is_labelled, norm, pieces


def _gradients(
    needed: tuple[bool, ...],
    hidden: Tensor,
    weight: Tensor,
    pieces: list[Tensor],
    norm: Tensor | None,
    labels: Tensor,
    shares: Tensor,
) -> list[Tensor]:
    """Return the gradients of the weighted sum of losses with respect to hidden, weight and bias, if needed.

    The weight of a label is multiplied into its hidden state, which has fewer elements than its logits.
    """
    label_weights = torch.where(labels != IGNORED, shares, 0.0)[:, None]
    scaled = (hidden * label_weights).to(hidden.dtype)
    hidden_gradient = torch.zeros_like(hidden)
    weight_gradient = torch.empty_like(weight) if needed[1] else None
    bias_gradient = torch.empty_like(weight[:, 0]) if needed[2] else None
    start = 0
    for logits in pieces:
        end = start + logits.shape[1]
        error = _error(logits if norm is None else logits.sub_(norm[:, None]), labels - start, hidden.dtype)
        hidden_gradient.addmm_(error, weight[start:end].to(hidden.dtype))
        if weight_gradient is not None:
            weight_gradient[start:end] = error.T @ scaled
        if bias_gradient is not None:
            bias_gradient[start:end] = (label_weights.T.to(error.dtype) @ error)[0]
        start = end
    return [
        gradient
        for gradient in ((hidden_gradient * label_weights).to(hidden.dtype), weight_gradient, bias_gradient)
        if gradient is not None
    ]


def _error(log_p: Tensor, labels: Tensor, dtype: torch.dtype) -> Tensor:
    """Return softmax minus one-hot in `dtype`; overwrites `log_p`. A label out of range belongs to another piece."""
    column = labels.clamp(0, log_p.shape[1] - 1)[:, None]
    at_label = log_p.gather(1, column).exp() - (column == labels[:, None]).float()
    error = torch.exp(log_p, out=log_p if log_p.dtype == dtype else torch.empty_like(log_p, dtype=dtype))
    return error.scatter_(1, column, at_label.to(dtype))
