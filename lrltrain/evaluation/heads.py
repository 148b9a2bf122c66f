"""A task model: an encoder with task adapters and heads, whose part below the first task adapter is computed only once.

K adapters and heads, one per seed, are held as stacked weights. Of R rows, the first R / K belong to the first seed.

Nothing trains up to the output of the first layer's feed-forward block: embeddings, their invertible adapter,
attention, LoRA. This frozen part runs without dropout, so its output is the same in every epoch and is cached for each
item. From there on, including the dropout of that output, everything runs as in the original model, except that
outputs of the last layer that the head does not read are not computed. So cached and uncached training agree up to
rounding. Both differ from a plain setup only in the dropout of the frozen part.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lrltrain.modules.stacks import STD, Linears

CLOSE = 1e-4
_LONG = 11  # tokens of the inputs that are used to compare both ways


class TaskHeads(nn.Module):
    """K heads with the layers of the `adapters` library: two over the first token for items, one for tokens.

    The weights of each head depend only on its seed, whatever the number of heads.
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
        layers = [layer for layer in (self.inner, self.output) if layer is not None]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            # Creating the layers draws random numbers, as in `adapters`.
            linears = [nn.Linear(layer.weight.shape[2], layer.weight.shape[1]) for layer in layers]
            for layer, linear in zip(layers, linears, strict=True):
                layer.weight[number].copy_(nn.init.normal_(linear.weight, std=STD))

    def forward(self, states: Tensor) -> Tensor:
        """Return logits, (rows, labels) or (rows, length, labels), for states (rows, length, hidden).

        Rows are grouped by head, in order.
        """
        inputs = states if self.tokens else states[:, 0]
        grouped = inputs.reshape(self.count, -1, states.shape[-1])
        if self.inner is not None:
            grouped = torch.tanh(self.inner(self.dropout(grouped)))
        logits = self.output(self.dropout(grouped))
        return logits.view(*inputs.shape[:-1], logits.shape[-1])


class TaskModel(nn.Module):
    """An encoder with K task adapters and their heads.

    `splits` says whether the frozen part can be computed separately, which is found out by trying it. `penalty` returns
    an additional term for the loss of each seed, (K,).
    """

    def __init__(self, encoder: Any, head: TaskHeads, penalty: Callable[[], Tensor] | None = None) -> None:
        super().__init__()
        self.encoder, self.head, self.penalty = encoder, head, penalty
        self.splits = False
        self.splits = self._can_split()

    def train(self, mode: bool = True) -> "TaskModel":  # noqa: FBT002 -- torch's signature
        """Set training mode, in which the frozen part still runs without dropout."""
        super().train(mode)
        if self.splits:
            self.encoder.embeddings.eval()
            self.encoder.encoder.layer[0].attention.eval()
            self.encoder.encoder.layer[0].intermediate.eval()
        return self

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return logits for tokens (items, length); `mask` is 1 except at padding."""
        return self.upper(self.lower(ids, mask), mask) if self.splits else self.whole(ids, mask)

    def whole(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return logits by the encoder's own forward pass."""
        return self.head(self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state)

    def lower(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the output of the frozen part: the output of the first feed-forward block, and its residual.

        Shape (items, length, 2 * hidden).
        """
        first = self.encoder.encoder.layer[0]
        attended = first.attention(self.encoder.embeddings(input_ids=ids), _attention_bias(mask, self.encoder.dtype))[0]
        return torch.cat([first.output.dense(first.intermediate(attended)), attended], dim=-1)

    def upper(self, lower: Tensor, mask: Tensor) -> Tensor:
        """Return logits from the output of `lower`."""
        first, *rest = self.encoder.encoder.layer
        states, residual = lower.chunk(2, dim=-1)
        states = first.output.LayerNorm(first.output.dropout(states) + residual)  # runs the hooks of the adapters
        bias = _attention_bias(mask, self.encoder.dtype)
        for number, layer in enumerate(rest, 1):
            if number == len(rest) and not self.head.tokens:
                states = _first_token_output(layer, states, bias)
            else:
                output = layer(states, bias)
                states = output[0] if isinstance(output, tuple) else output  # transformers 4 returns a tuple
        return self.head(states)

    @torch.no_grad()
    def _can_split(self) -> bool:
        """Compare both ways on two short inputs per head, one of them padded."""
        was_training = self.training
        self.eval()
        ids = torch.arange(5, 5 + 2 * _LONG, device=self.encoder.device).view(2, _LONG) % self.encoder.config.vocab_size
        ids = ids.repeat(self.head.count, 1)
        mask = torch.ones_like(ids)
        mask[1::2, _LONG // 2 :] = 0
        ids[1::2, _LONG // 2 :] = self.encoder.config.pad_token_id or 0
        try:
            split = self.upper(self.lower(ids, mask), mask)
        except torch.OutOfMemoryError:
            raise
        except (AttributeError, TypeError, ValueError, RuntimeError, AssertionError):  # another architecture
            return False
        else:
            whole = self.whole(ids, mask)
            compared = mask.bool() if self.head.tokens else slice(None)
            return bool(torch.allclose(split[compared], whole[compared], atol=CLOSE, rtol=CLOSE))
        finally:
            super().train(was_training)


def _first_token_output(layer: Any, states: Tensor, bias: Tensor) -> Tensor:
    """Return a layer's output at the first token, which is all that the head reads: (items, 1, hidden)."""
    attention, first = layer.attention.self, states[:, :1]
    queries, keys, values = (
        linear(inputs).unflatten(-1, (attention.num_attention_heads, -1)).transpose(1, 2)
        for linear, inputs in ((attention.query, first), (attention.key, states), (attention.value, states))
    )
    dropout = attention.dropout.p if attention.training else 0.0
    attended = functional.scaled_dot_product_attention(queries, keys, values, bias.to(queries.dtype), dropout)
    attended = layer.attention.output(attended.transpose(1, 2).flatten(2), first)
    return layer.output(layer.intermediate(attended), attended)


def _attention_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a mask as the bias that is added to attention scores, (items, 1, 1, length)."""
    return (1.0 - mask[:, None, None, :].to(dtype)) * torch.finfo(dtype).min
