"""A task model: an encoder with task adapters and their heads; the part below the first of them is computed once.

K adapters and heads, one a seed, are held as stacked weights, and of R rows the first R / K are those of the first.

Up to the output of the first layer's feed-forward block nothing trains: embeddings, their invertible adapter,
attention, LoRA. That part runs without dropout, so that it gives the same in each epoch, and what it gives is kept for
each item. From there on, dropout of the output of that block included, all is as the model has it, and of the last
layer what the head does not read is not computed. So cached and uncached training are the same to rounding; both differ
from a plain setup in the dropout of the frozen part alone.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lrltrain.modules.stacks import STD, Linears

CLOSE = 1e-4
_LONG = 11  # tokens of the input on which it is tried out


class TaskHeads(nn.Module):
    """K heads as `adapters` makes them: for items two layers over the first token, for tokens one.

    The weights of each come from its seed, and are the same among any number of heads.
    """

    def __init__(self, seeds: Sequence[int], hidden: int, labels: int, dropout: float, *, tokens: bool) -> None:
        super().__init__()
        self.count, self.tokens = len(seeds), tokens
        self.inner = None if tokens else Linears(self.count, hidden, hidden)
        self.output = Linears(self.count, hidden, labels)
        self.dropout = nn.Dropout(dropout)
        for number, seed in enumerate(seeds):
            self._draw(number, seed)

    @torch.no_grad()
    def _draw(self, number: int, seed: int) -> None:
        layers = [each for each in (self.inner, self.output) if each is not None]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = [nn.Linear(each.weight.shape[2], each.weight.shape[1]) for each in layers]  # each draws, as there
            for layer, drawn in zip(layers, made, strict=True):
                layer.weight[number].copy_(nn.init.normal_(drawn.weight, std=STD))

    def forward(self, states: Tensor) -> Tensor:
        """Return logits, (rows, labels) or (rows, length, labels), of states (rows, length, hidden).

        The rows are those of each head in turn.
        """
        read = states if self.tokens else states[:, 0]
        grouped = read.reshape(self.count, -1, states.shape[-1])
        if self.inner is not None:
            grouped = torch.tanh(self.inner(self.dropout(grouped)))
        logits = self.output(self.dropout(grouped))
        return logits.view(*read.shape[:-1], logits.shape[-1])


class TaskModel(nn.Module):
    """An encoder with K task adapters, and their heads.

    `splits` says whether the frozen part can be computed apart, which is tried out; `penalty` returns what is added to
    the loss of each besides, (K,).
    """

    def __init__(self, encoder: Any, head: TaskHeads, penalty: Callable[[], Tensor] | None = None) -> None:
        super().__init__()
        self.encoder, self.head, self.penalty = encoder, head, penalty
        self.splits = False
        self.splits = self._can_split()

    def train(self, mode: bool = True) -> "TaskModel":  # noqa: FBT002 -- as torch has it
        """Set training mode, in which the frozen part stays without dropout."""
        super().train(mode)
        if self.splits:
            self.encoder.embeddings.eval()
            self.encoder.encoder.layer[0].attention.eval()
            self.encoder.encoder.layer[0].intermediate.eval()
        return self

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return logits of tokens (items, length); `mask` is 1 at those that are no padding."""
        return self.upper(self.lower(ids, mask), mask) if self.splits else self.whole(ids, mask)

    def whole(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return logits as the encoder's own forward pass has them."""
        return self.head(self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state)

    def lower(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return what the frozen part gives: output of the first feed-forward block, and its residual.

        Shape (items, length, 2 * hidden).
        """
        first = self.encoder.encoder.layer[0]
        attended = first.attention(self.encoder.embeddings(input_ids=ids), _added(mask, self.encoder.dtype))[0]
        return torch.cat([first.output.dense(first.intermediate(attended)), attended], dim=-1)

    def upper(self, lower: Tensor, mask: Tensor) -> Tensor:
        """Return logits from what `lower` gave."""
        first, *rest = self.encoder.encoder.layer
        states, residual = lower.chunk(2, dim=-1)
        states = first.output.LayerNorm(first.output.dropout(states) + residual)  # where adapters are hooked in
        added = _added(mask, self.encoder.dtype)
        for number, layer in enumerate(rest, 1):
            if number == len(rest) and not self.head.tokens:
                states = _first_alone(layer, states, added)
            else:
                made = layer(states, added)
                states = made[0] if isinstance(made, tuple) else made  # of transformers 4
        return self.head(states)

    @torch.no_grad()
    def _can_split(self) -> bool:
        """Compare both ways on two short inputs a head, of which one is padded."""
        was_training = self.training
        self.eval()
        ids = torch.arange(5, 5 + 2 * _LONG, device=self.encoder.device).view(2, _LONG) % self.encoder.config.vocab_size
        ids = ids.repeat(self.head.count, 1)
        mask = torch.ones_like(ids)
        mask[1::2, _LONG // 2 :] = 0
        ids[1::2, _LONG // 2 :] = self.encoder.config.pad_token_id or 0
        try:
            apart = self.upper(self.lower(ids, mask), mask)
        except torch.OutOfMemoryError:
            raise
        except (AttributeError, TypeError, ValueError, RuntimeError, AssertionError):  # another architecture
            return False
        else:
            whole = self.whole(ids, mask)
            seen = mask.bool() if self.head.tokens else slice(None)
            return bool(torch.allclose(apart[seen], whole[seen], atol=CLOSE, rtol=CLOSE))
        finally:
            super().train(was_training)


def _first_alone(layer: Any, states: Tensor, added: Tensor) -> Tensor:
    """Return what a layer gives at the first token, which is all that the head reads: (items, 1, hidden)."""
    attention, asked = layer.attention.self, states[:, :1]
    queries, keys, values = (
        linear(inputs).unflatten(-1, (attention.num_attention_heads, -1)).transpose(1, 2)
        for linear, inputs in ((attention.query, asked), (attention.key, states), (attention.value, states))
    )
    dropout = attention.dropout.p if attention.training else 0.0
    attended = functional.scaled_dot_product_attention(queries, keys, values, added.to(queries.dtype), dropout)
    attended = layer.attention.output(attended.transpose(1, 2).flatten(2), asked)
    return layer.output(layer.intermediate(attended), attended)


def _added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a mask as what is added to attention scores, (items, 1, 1, length)."""
    return (1.0 - mask[:, None, None, :].to(dtype)) * torch.finfo(dtype).min
