"""K adapters of the same shape as stacked weights: bottleneck, invertible coupling, low rank; and AdapterFusion.

The rows of the hidden states belong to the K adapters in turn: of R rows, the first R / K belong to the first adapter.
They are computed as batched products of shape (K, tokens, hidden). Weights are stacked in the layout of `adapters` and
cast to the type of the hidden states, so a base model may be in bf16 while its adapters are in fp32.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.activations import get_activation

STD = 0.02  # standard deviation of initial weights, as in BERT
PENALTY = 0.01  # weight of the value matrix's squared distance from identity (AdapterFusion in `adapters`)


class Linears(nn.Module):
    """K linear layers: `weight` (K, out, in) and `bias` (K, out), if any."""

    def __init__(self, count: int, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(count, outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(count, outputs)) if bias else None

    @torch.no_grad()
    def initialize(self, number: int) -> None:
        """Initialize one of the layers as BERT does, on the CPU, so that it is the same on every device."""
        self.weight[number].copy_(torch.empty(self.weight[number].shape, device="cpu").normal_(0.0, STD))
        if self.bias is not None:
            self.bias[number].zero_()

    def forward(self, states: Tensor) -> Tensor:
        """Return the outputs (K, tokens, out) for states (K, tokens, in)."""
        weight, bias = self.weight.to(states.dtype), None if self.bias is None else self.bias.to(states.dtype)
        if len(weight) == 1:
            return functional.linear(states, weight.squeeze(0), None if bias is None else bias.squeeze(0))
        if bias is None:
            return torch.bmm(states, weight.transpose(1, 2))
        return torch.baddbmm(bias[:, None], states, weight.transpose(1, 2))


class Bottleneck(nn.Module):
    """K sequential bottlenecks (Pfeiffer et al. 2020): scaling * (U f(D x + b) + c), without the residual.

    Parameter names follow `adapters`.
    """

    def __init__(self, count: int, hidden: int, inner: int, non_linearity: str = "relu", scaling: float = 1.0) -> None:
        super().__init__()
        self.adapter_down: Any = nn.ModuleList([Linears(count, hidden, inner)])
        self.adapter_up = Linears(count, inner, hidden)
        self.activation = get_activation(non_linearity)
        self.scaling = scaling

    def initialize(self, number: int) -> None:
        """Initialize one of the adapters."""
        self.adapter_down[0].initialize(number)
        self.adapter_up.initialize(number)

    def forward(self, states: Tensor) -> Tensor:
        """Return what is added to hidden states (rows, tokens, hidden), of the same shape."""
        grouped = states.reshape(len(self.adapter_up.weight), -1, states.shape[-1])
        up = self.adapter_up(self.activation(self.adapter_down[0](grouped)))
        return (up if self.scaling == 1.0 else up * self.scaling).view(states.shape)


class Coupling(nn.Module):
    """K invertible NICE adapters (Dinh et al. 2015), which MAD-X applies to the embeddings and inverts at the output.

    y1 = x1 + F(x2), y2 = x2 + G(y1), where x1 and x2 are the halves of a hidden state.
    """

    def __init__(self, count: int, hidden: int, non_linearity: str = "relu", reduction_factor: float = 2) -> None:
        super().__init__()
        self.first, second = hidden // 2, hidden - hidden // 2
        self.activation = get_activation(non_linearity)
        inner_f, inner_g = int(second // reduction_factor), int(self.first // reduction_factor)
        self.F: Any = nn.ModuleDict({"0": Linears(count, second, inner_f), "2": Linears(count, inner_f, self.first)})
        self.G: Any = nn.ModuleDict({"0": Linears(count, self.first, inner_g), "2": Linears(count, inner_g, second)})

    def initialize(self, number: int) -> None:
        """Initialize one of the adapters."""
        for net in (self.F, self.G):
            for layer in net.values():
                layer.initialize(number)

    def forward(self, states: Tensor, *, inverse: bool = False) -> Tensor:
        """Return transformed hidden states (rows, tokens, hidden), or the original ones with `inverse`."""
        grouped = states.reshape(len(self.F["0"].weight), -1, states.shape[-1])
        left, right = grouped[..., : self.first], grouped[..., self.first :]
        if inverse:
            right = right - self._net(self.G, left)
            left = left - self._net(self.F, right)
        else:
            left = left + self._net(self.F, right)
            right = right + self._net(self.G, left)
        return torch.cat([left, right], -1).view(states.shape)

    def _net(self, net: Any, states: Tensor) -> Tensor:
        return net["2"](self.activation(net["0"](states)))


class LowRank(nn.Module):
    """K low-rank updates of a linear layer (LoRA, Hu et al. 2021): x A^T B^T * alpha / r."""

    def __init__(self, count: int, inputs: int, outputs: int, rank: int, alpha: float) -> None:
        super().__init__()
        self.lora_A = nn.Parameter(torch.zeros(count, rank, inputs))
        self.lora_B = nn.Parameter(torch.zeros(count, outputs, rank))
        self.scaling = alpha / rank

    def initialize(self, number: int) -> None:
        """Initialize one of the adapters."""
        _draw_low_rank(self.lora_A[number], self.lora_B[number])

    def forward(self, states: Tensor) -> Tensor:
        """Return what is added to the layer's outputs (rows, tokens, out), given its inputs (rows, tokens, in)."""
        grouped = states.reshape(len(self.lora_A), -1, states.shape[-1])
        low, high = self.lora_A.to(states.dtype), self.lora_B.to(states.dtype)
        update = torch.bmm(torch.bmm(grouped, low.transpose(1, 2)), high.transpose(1, 2)) * self.scaling
        return update.view(*states.shape[:-1], update.shape[-1])


class JoinedLowRank(nn.Module):
    """LoRA updates of a layer that produces queries, keys and values, for one or two of the three parts.

    Their matrices are concatenated, as in `adapters`: A (K, parts * r, in), B (K, parts * out / 3, r).
    """

    def __init__(self, count: int, inputs: int, outputs: int, rank: int, alpha: float, matrices: Sequence[str]) -> None:
        super().__init__()
        self.changed = [key in matrices for key in ("q", "k", "v")]
        self.rank, self.size, self.scaling = rank, outputs // len(self.changed), alpha / rank
        self.lora_A = nn.Parameter(torch.zeros(count, sum(self.changed) * rank, inputs))
        self.lora_B = nn.Parameter(torch.zeros(count, sum(self.changed) * self.size, rank))

    def initialize(self, number: int) -> None:
        """Initialize one of the adapters as `LowRank` does."""
        _draw_low_rank(self.lora_A[number], self.lora_B[number])

    def forward(self, states: Tensor) -> Tensor:
        """Return what is added to the layer's outputs (rows, tokens, out), given its inputs (rows, tokens, in)."""
        grouped = states.reshape(len(self.lora_A), -1, states.shape[-1])
        low, high = self.lora_A.to(states.dtype), self.lora_B.to(states.dtype)
        inner = torch.bmm(grouped, low.transpose(1, 2)).split(self.rank, dim=-1)
        updates = iter(
            [torch.bmm(*pair) for pair in zip(inner, high.transpose(1, 2).split(self.size, dim=-1), strict=True)]
        )
        unchanged = grouped.new_zeros(*grouped.shape[:-1], self.size)
        parts = [next(updates) * self.scaling if changed else unchanged for changed in self.changed]
        return torch.cat(parts, -1).view(*states.shape[:-1], -1)


@torch.no_grad()
def _draw_low_rank(low: Tensor, high: Tensor) -> None:
    """Initialize A like a linear layer of torch, on the CPU, and B with zeros."""
    low.copy_(nn.init.kaiming_uniform_(torch.empty(low.shape, device="cpu"), a=math.sqrt(5)))
    high.zero_()


class Fusion(nn.Module):
    """K attention modules over the outputs of the same bottlenecks at one layer (AdapterFusion, Pfeiffer et al. 2021).

    The query is the bottlenecks' common input; keys and values are their outputs. `value` starts as the identity.
    """

    def __init__(self, count: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.query = Linears(count, hidden, hidden)
        self.key = Linears(count, hidden, hidden)
        self.value = Linears(count, hidden, hidden, bias=False)
        self.dropout = nn.Dropout(dropout)

    @torch.no_grad()
    def initialize(self, number: int) -> None:
        """Initialize one of the attention modules as `adapters` does."""
        self.query.initialize(number)
        self.key.initialize(number)
        self.value.weight[number].fill_(1e-6).fill_diagonal_(1.0)

    def forward(self, states: Tensor, outputs: list[Tensor]) -> Tensor:
        """Return what is added to hidden states (rows, tokens, hidden), given the outputs of the bottlenecks."""
        shape = len(self.value.weight), -1, states.shape[-1]  # (K, tokens, hidden)
        ups = torch.stack([output.reshape(shape) for output in outputs], dim=-2)  # (K, tokens, adapters, hidden)
        keys, values = (layer(ups.flatten(1, 2)).view(ups.shape) for layer in (self.key, self.value))
        scores = torch.matmul(keys, self.query(states.reshape(shape))[..., None]).squeeze(-1)
        shares = self.dropout(scores).softmax(-1)
        return torch.matmul(shares[..., None, :], values).view(states.shape)

    def penalty(self) -> Tensor:
        """Return the regularisation term for the loss of each, shape (K,)."""
        weight = self.value.weight
        return PENALTY * (torch.eye(weight.shape[-1], device=weight.device) - weight).pow(2).sum((1, 2))
