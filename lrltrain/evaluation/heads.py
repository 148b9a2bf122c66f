"""A task model: an encoder with adapters, and a head; the part below the first task adapter is computed once.

Up to the output of the first layer's feed-forward block nothing trains: embeddings, their invertible adapter,
attention, LoRA. That part runs without dropout, so that it gives the same in each epoch, and what it gives is kept for
each item. From there on, dropout of the output of that block included, all is as the model has it, and of the last
layer what the head does not read is not computed. So cached and uncached training are the same to rounding; both differ
from the paper's scripts in the dropout of the frozen part alone.
"""

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lrltrain.evaluation.features import Features, batches, padded

MOST_BYTES = 2 << 30  # of what is kept, a split; beyond, nothing is
CLOSE = 1e-4
_LONG = 11  # tokens of the input on which it is tried out


class TaskHead(nn.Module):
    """A head as `adapters` makes them: for items two layers over the first token, for tokens one."""

    def __init__(self, hidden: int, labels: int, dropout: float, *, tokens: bool) -> None:
        super().__init__()
        self.tokens = tokens
        inner = [] if tokens else [nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.Tanh()]
        self.layers = nn.Sequential(*inner, nn.Dropout(dropout), nn.Linear(hidden, labels))
        for module in self.layers:
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, states: Tensor) -> Tensor:
        """Return logits, (items, labels) or (items, length, labels), of states (items, length, hidden)."""
        return self.layers(states if self.tokens else states[:, 0])


class TaskModel(nn.Module):
    """An encoder and a head. `splits` says whether the frozen part can be computed apart, which is tried out."""

    def __init__(self, encoder: Any, head: TaskHead) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
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
        """Compare both ways on two short inputs, of which one is padded."""
        was_training = self.training
        self.eval()
        ids = torch.arange(5, 5 + 2 * _LONG, device=self.encoder.device).view(2, _LONG) % self.encoder.config.vocab_size
        mask = torch.ones_like(ids)
        mask[1, _LONG // 2 :] = 0
        ids[1, _LONG // 2 :] = self.encoder.config.pad_token_id or 0
        try:
            apart = self.upper(self.lower(ids, mask), mask)
        except (AttributeError, TypeError, RuntimeError):  # another architecture
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


class Inputs:
    """A split as a task model takes it, with what the frozen part gives of it kept on the model's device."""

    def __init__(self, features: Features, pad: int, device: torch.device) -> None:
        self.features, self.pad, self.device = features, pad, device
        self.lengths = features.lengths
        self.begins = np.concatenate([[0], np.cumsum(self.lengths)])
        self.kept: Tensor | None = None

    @torch.no_grad()
    def keep(self, model: TaskModel, size: int, precision: AbstractContextManager[Any]) -> None:
        """Compute the frozen part for all items, if it fits into MOST_BYTES."""
        hidden = 2 * int(model.encoder.config.hidden_size)
        if not model.splits or int(self.begins[-1]) * hidden * 4 > MOST_BYTES:
            self.kept = None
            return
        was_training = model.training
        model.eval()
        rows: list[Tensor] = []
        order: list[NDArray[np.int64]] = []
        with precision:
            for chosen in batches(self.lengths, size):
                ids, mask = self._tokens(chosen)
                rows.append(model.lower(ids, mask)[mask.bool()])
                order.extend(np.arange(self.begins[item], self.begins[item + 1]) for item in chosen)
        kept = torch.cat(rows)
        self.kept = torch.empty_like(kept)
        self.kept[torch.from_numpy(np.concatenate(order)).to(self.device)] = kept
        model.train(was_training)

    def logits(self, model: TaskModel, chosen: NDArray[np.int64]) -> Tensor:
        """Return the logits of some items: (items, labels), or for ner (items, longest, labels)."""
        if self.kept is None:
            return model(*self._tokens(chosen))
        lengths = self.lengths[chosen]
        places = np.arange(lengths.max())[None]
        mask = torch.from_numpy((places < lengths[:, None]).astype(np.int64)).to(self.device)
        rows = np.where(places < lengths[:, None], self.begins[chosen][:, None] + places, 0)
        return model.upper(self.kept[torch.from_numpy(rows).to(self.device)], mask)

    def labels(self, chosen: NDArray[np.int64], fill: int) -> Tensor:
        """Return the labels of some items, on the CPU: (items,), or for ner (items, longest), `fill` at padding."""
        return padded([self.features.labels[item] for item in chosen], fill)

    def _tokens(self, chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        ids = padded([self.features.ids[item] for item in chosen], self.pad)
        mask = padded([np.ones_like(self.features.ids[item]) for item in chosen], 0)
        return ids.to(self.device), mask.to(self.device)
