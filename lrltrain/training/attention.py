"""Half-precision attention on a CPU, computed in single precision because its backward pass is faster there."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from lrltrain.precision import HALF


def quick_attention(device: torch.device, computed_in: torch.dtype | None) -> AbstractContextManager[Any]:
    """Return the context for a model's forward pass. It does nothing except for half precision on a CPU."""
    return _SinglePrecisionAttention() if device.type == "cpu" and computed_in in HALF.values() else nullcontext()


class _SinglePrecisionAttention(TorchFunctionMode):
    """Compute attention in single precision while gradients are enabled; return its result in half precision.

    In the backward pass, torch's CPU kernel multiplies the matrices of each item and head separately, and in half
    precision every product has its own setup cost. For 16 items of 48 tokens and 12 heads of size 32, half precision
    takes 7 times as long as single precision.
    """

    def __torch_function__(
        self, function: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if (
            function is not scaled_dot_product_attention
            or not torch.is_grad_enabled()
            or args[0].dtype not in HALF.values()
        ):
            return function(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            converted = {name: _to_single(value) for name, value in kwargs.items()}
            return function(*map(_to_single, args), **converted).to(args[0].dtype)


def _to_single(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype in HALF.values() else value
