"""A fresh task adapter stacked on a frozen language adapter, which can be swapped for another one's (MAD-X).

Pfeiffer et al. (2020), "MAD-X: An Adapter-Based Framework for Multi-Task Cross-Lingual Transfer". A LoRA adapter is
stacked as bottlenecks are: it is applied in the attention, and the task adapter after the feed-forward block, which
gives what merging it into the weights gives.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from lrldata.errors import ModelError
from lrldata.manifest import identity
from lrltrain.artifact import open_adapter
from lrltrain.methods import check_base, load_stack
from lrltrain.models import Base, load_model
from lrltrain.modules.families import base_of
from lrltrain.modules.insert import AdapterStack, FusedStack, insert, take_out
from lrltrain.modules.settings import Bottlenecks

Below = AdapterStack | FusedStack | None


@dataclass(frozen=True)
class LanguageAdapter:
    """An adapter that `lrltrain fit` made, or a base model that it has fully fine-tuned."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def method(self) -> str:
        """Return seq_bn, seq_bn_inv, lora, fusion or full."""
        return str(self.manifest["method"])

    @property
    def language(self) -> str:
        """Return the code of its language."""
        return str(self.manifest["language"]["code"])

    @property
    def name(self) -> str:
        """Return its name, as ug_glotcc_seq_bn."""
        return str(self.manifest["name"])

    @property
    def source(self) -> str:
        """Return the source of the text that it was trained on."""
        if self.manifest.get("source"):
            return str(self.manifest["source"])
        language = self.language.replace("-", "_")
        return self.name.removeprefix(f"{language}_").removesuffix(f"_{self.method}")

    def as_json(self) -> dict[str, Any]:
        """Return what a manifest says of it."""
        return {"name": self.name, "manifest_sha256": identity(self.folder, self.manifest)}


def open_language_adapter(folder: Path) -> LanguageAdapter:
    """Open an adapter's folder. Raises StorageError."""
    return LanguageAdapter(folder, open_adapter(folder))


@dataclass(frozen=True)
class Stacked:
    """An encoder with task adapters above a language adapter; `swap` puts the target language's below them."""

    encoder: Any
    task: AdapterStack
    source: Below
    target: Below

    @property
    def penalty(self) -> Callable[[], Tensor] | None:
        """Return what gives the regularisation of a fusion that trains, (K,); None without one."""
        if isinstance(self.source, FusedStack) and next(self.source.fusions.parameters()).requires_grad:
            return self.source.penalty
        return None

    def swap(self, *, target: bool) -> None:
        """Stack the task adapters on that of the target language, or of the one that is trained in."""
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
) -> Stacked:
    """Load a base model with fresh task adapters on `source`, to be scored on `target`; the same where none transfers.

    There is one a seed, whose weights come from that alone; all else is frozen, but with `learn_fusion` the layers of a
    fusion, which are fresh too. Raises ModelError.
    """
    if base.objective != "mlm":
        raise ModelError(
            f"{base.id}: a decoder gets no task adapter here.",
            "Give an encoder, as XLM-R, or prompt it: `lrltrain prompt --adapter DIR`.",
        )
    transfers = source is not target
    for each in {id(each): each for each in (source, target) if each}.values():
        check_base(each.folder, each.manifest, base)
        if transfers and each.method in ("full", "fusion"):
            raise ModelError(
                f"{each.folder}: {each.method} cannot be swapped below a task adapter.",
                "Transfer wants seq_bn, seq_bn_inv or lora adapters of both languages.",
            )
    full = source is not None and source.method == "full"
    model = load_model(replace(base, location=str(source.folder), revision=None) if source and full else base)
    encoder = base_of(model).requires_grad_(False)
    below = None if full else _load(encoder, source)
    if learn_fusion and isinstance(below, FusedStack):
        below = FusedStack(encoder, list(below.members), len(seeds))
        for number, seed in enumerate(seeds):
            below.draw(seed, number)
    other = below if not transfers else _load(encoder, target)
    task = AdapterStack(encoder, Bottlenecks(reduction_factor=reduction_factor), [f"seed-{seed}" for seed in seeds])
    for number, seed in enumerate(seeds):
        task.draw(seed, number)
    stacked = Stacked(encoder, task, below, other)
    stacked.swap(target=False)
    return stacked


def _load(encoder: Any, adapter: LanguageAdapter | None) -> Below:
    return None if adapter is None else load_stack(adapter.folder, adapter.method, encoder)
