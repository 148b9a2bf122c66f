"""A fresh task adapter stacked on a frozen language adapter, which can be swapped for that of another language (MAD-X).

Pfeiffer et al. (2020), "MAD-X: An Adapter-Based Framework for Multi-Task Cross-Lingual Transfer". A LoRA adapter is
stacked like a bottleneck: it is applied in the attention, and the task adapter after the feed-forward block. The result
equals that of merging it into the weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lrldata.errors import ModelError
from lrltrain.artifact import LanguageAdapter
from lrltrain.methods import check_base, load_full, load_stack
from lrltrain.models import Base, load_model
from lrltrain.modules.families import base_of
from lrltrain.modules.insert import AdapterStack, FusedStack, insert, take_out
from lrltrain.modules.settings import Bottlenecks

Below = AdapterStack | FusedStack | None


@dataclass(frozen=True)
class TaskStack:
    """An encoder with task adapters on a language adapter; `swap` exchanges it for that of the target language."""

    encoder: Any
    task: AdapterStack
    source: Below
    target: Below

    @property
    def penalty(self) -> Callable[[], Tensor] | None:
        """Return the function that computes the regularisation of a trainable fusion, (K,), or None without one."""
        if isinstance(self.source, FusedStack) and next(self.source.fusions.parameters()).requires_grad:
            return self.source.penalty
        return None

    def swap(self, *, target: bool) -> None:
        """Stack the task adapters on the adapter of the target language, or on the one used in training."""
        below = self.target if target else self.source
        take_out(self.encoder)
        for stack in (below, self.task):
            if stack is not None:
                stack.to(self.encoder.device)
        insert(self.encoder, *([below] if below else []), self.task)


def stack(
    base: Base,
    source: LanguageAdapter | None,
    target: LanguageAdapter | None,
    reduction_factor: float,
    seeds: Sequence[int],
    *,
    learn_fusion: bool = False,
) -> TaskStack:
    """Load a base model with fresh task adapters on `source`, to be scored on `target`: the same one without transfer.

    There is one task adapter per seed, and its weights depend only on that seed. Everything else is frozen, except that
    `learn_fusion` also trains the layers of a fusion, which start afresh too. Raises ModelError.
    """
    if base.objective != "mlm":
        raise ModelError(
            f"{base.id}: is a decoder; task adapters are only supported for encoders.",
            "Use an encoder such as XLM-R, or prompt the decoder: `lrltrain prompt --adapter DIR`.",
        )
    transfers = source is not target
    for adapter in {id(adapter): adapter for adapter in (source, target) if adapter}.values():
        check_base(adapter.folder, adapter.manifest, base)
        if transfers and adapter.method in ("full", "fusion"):
            raise ModelError(
                f"{adapter.folder}: method {adapter.method} cannot be swapped below a task adapter.",
                "Use seq_bn, seq_bn_inv or lora adapters of both languages for transfer.",
            )
    full = source is not None and source.method == "full"
    model = load_full(source.folder, source.manifest, base) if source and full else load_model(base)
    encoder = base_of(model).requires_grad_(False)
    source_stack = None if full else _load(encoder, source)
    if learn_fusion and isinstance(source_stack, FusedStack):
        source_stack = FusedStack(encoder, list(source_stack.members), len(seeds))
        for number, seed in enumerate(seeds):
            source_stack.initialize(seed, number)
    target_stack = source_stack if not transfers else _load(encoder, target)
    task = AdapterStack(encoder, Bottlenecks(reduction_factor=reduction_factor), [f"seed-{seed}" for seed in seeds])
    for number, seed in enumerate(seeds):
        task.initialize(seed, number)
    stacked = TaskStack(encoder, task, source_stack, target_stack)
    stacked.swap(target=False)
    return stacked


def _load(encoder: Any, adapter: LanguageAdapter | None) -> Below:
    return None if adapter is None else load_stack(adapter.folder, adapter.manifest, encoder)
