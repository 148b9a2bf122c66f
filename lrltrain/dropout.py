"""The dropout rates of a base model: replaced for training, and restored when the model is saved.

Models keep rates in modules or as plain numbers under many names, or read them from their configuration in each forward
pass. Nearly all take them from the configuration; a few have constants instead.
"""

from collections.abc import Iterator
from typing import Any

import torch
from transformers import PretrainedConfig


def rates_of(config: Any) -> list[float]:
    """Return all dropout rates in a configuration, in a fixed order."""
    return [getattr(part, name) for part, name in _places(config)]


def replace_rates(config: Any, rates: list[float]) -> None:
    """Set all dropout rates in a configuration, in the order of `rates_of`."""
    for (part, name), rate in zip(_places(config), rates, strict=True):
        setattr(part, name, rate)


def replace_constants(model: Any, rate: float) -> None:
    """Set the dropout rates of a model's modules, wherever they come from."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = rate
        elif hasattr(module, "dropout_prob"):  # a number, for scaled_dot_product_attention
            module.dropout_prob = rate
        elif isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = rate


def _places(config: Any) -> Iterator[tuple[Any, str]]:
    for name, value in vars(config).items():
        if isinstance(value, PretrainedConfig):
            yield from _places(value)
        elif ("dropout" in name or "pdrop" in name) and isinstance(value, int | float) and not isinstance(value, bool):
            yield config, name
