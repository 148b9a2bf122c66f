"""Insert stacks of adapters into a transformers model by hooks, without changing the model's own code."""

from collections.abc import Callable, Sequence
from functools import partial
from threading import get_ident
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from lrldata.errors import ModelError
from lrldata.paths import is_segment
from lrltrain.modules.families import Family, base_of, family_of, layers_of, text_config
from lrltrain.modules.settings import Bottlenecks, Settings
from lrltrain.modules.stacks import Bottleneck, Coupling, Fusion, JoinedLowRank, LowRank

Adding = Callable[[Tensor], Tensor]  # returns what is added to the hidden states
MODULE_NAME = "lrl_adapters"  # the name of the module that holds the inserted stacks
RECORDS_CALLS = int(transformers.__version__.split(".")[0]) >= 5  # transformers 5 records hidden states by hooks


class AdapterStack(nn.Module):
    """K adapters with the same settings, for one model.

    The modules are stored by layer number, so their names show their places; `insert` puts them into the model.
    """

    def __init__(self, model: Any, settings: Settings, names: Sequence[str]) -> None:
        super().__init__()
        self.names, self.settings = list(names), settings
        self.base_id = ""  # the base model's id, according to the files that the adapter was read from
        family, count, hidden = family_of(model), len(names), int(text_config(model).hidden_size)
        self.bottlenecks: Any = nn.ModuleDict()  # by the number of the layer
        self.queries: Any = nn.ModuleDict()
        self.values: Any = nn.ModuleDict()
        self.coupling: Coupling | None = None
        for number, layer in layers_of(model, family):
            if number in settings.leave_out:
                continue
            if isinstance(settings, Bottlenecks):
                inner = max(1, int(hidden // settings.reduction_factor))
                self.bottlenecks[str(number)] = Bottleneck(
                    count, hidden, inner, settings.non_linearity, settings.scaling
                )
                continue
            for key, by_layer, path in (("q", self.queries, family.queries), ("v", self.values, family.values)):
                if key in settings.matrices and not (family.joined and str(number) in self.queries):
                    linear: Any = layer.get_submodule(path)
                    sizes = count, int(linear.in_features), int(linear.out_features), settings.rank, settings.alpha
                    by_layer[str(number)] = (
                        JoinedLowRank(*sizes, settings.matrices) if family.joined else LowRank(*sizes)
                    )
        if isinstance(settings, Bottlenecks) and settings.invertible:
            size = int(getattr(text_config(model), "embedding_size", hidden))
            self.coupling = Coupling(count, size, settings.non_linearity, settings.invertible_reduction_factor)
        self.to(_device_of(model))

    def initialize(self, seed: int, number: int = 0) -> None:
        """Initialize one of the adapters from a seed; its weights do not depend on the size of the stack."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for by_layer in (self.bottlenecks, self.queries, self.values):
                for module in by_layer.values():
                    module.initialize(number)
            if self.coupling is not None:
                self.coupling.initialize(number)


def _device_of(model: Any) -> torch.device:
    """Return the device of a model. Raises ModelError if there are several, or the embeddings are offloaded."""
    if len({parameter.device for parameter in model.parameters() if parameter.device.type != "meta"}) > 1:
        raise ModelError("The model is split across several devices.", 'Load it on one: device_map={"": 0}.')
    device: torch.device = next(model.parameters()).device
    if device.type == "meta" and any(hasattr(module, "_hf_hook") for module in model.modules()):  # hooks of accelerate
        raise ModelError(
            "The model's embeddings are offloaded to disk or to the CPU.", "Place them on a device with device_map."
        )
    return device


class FusedStack(nn.Module):
    """An AdapterFusion over bottlenecks of one model, frozen or not; it uses the first member's coupling, as in MAD-X.

    `members` are stacks of one adapter each. `count` is the number of fusions of them, each applied to its own rows.
    """

    def __init__(self, model: Any, members: Sequence[AdapterStack], count: int = 1) -> None:
        super().__init__()
        self.members: Any = nn.ModuleList(members)
        invalid = next((name for member in members for name in member.names if not is_segment(name)), None)
        if invalid is not None:  # each is saved in a folder with this name
            raise ModelError(
                f"{invalid!r:.200} is a path, not the name of an adapter.", "Check the source of this adapter."
            )
        config = text_config(model)
        dropout = getattr(config, "attention_probs_dropout_prob", getattr(config, "attention_dropout", 0.0))
        shared = [key for key in members[0].bottlenecks if all(key in member.bottlenecks for member in members)]
        if not shared or any(not isinstance(member.settings, Bottlenecks) for member in members):
            raise ModelError("Adapters without bottlenecks cannot be fused.", "Give seq_bn or seq_bn_inv adapters.")
        self.fusions: Any = nn.ModuleDict({key: Fusion(count, int(config.hidden_size), dropout) for key in shared})
        self.to(_device_of(model))

    @property
    def names(self) -> list[str]:
        """Return the names of the fused adapters, in order."""
        return [member.names[0] for member in self._stacks()]

    @property
    def coupling(self) -> Coupling | None:
        """Return the invertible adapter of the first member, if it has one."""
        return self._stacks()[0].coupling

    def initialize(self, seed: int, number: int = 0) -> None:
        """Initialize one of the fusions from a seed, without its members."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for fusion in self.fusions.values():
                fusion.initialize(number)

    def freeze_unused(self) -> None:
        """Freeze the couplings of the other members, for whose gradients DistributedDataParallel would wait."""
        for member in self._stacks()[1:]:
            if member.coupling is not None:
                member.coupling.requires_grad_(requires_grad=False)

    def at(self, key: str) -> Adding:
        """Return the function that computes what is added to the hidden states at a layer."""
        return partial(_fusion_output, self.fusions[key], [member.bottlenecks[key] for member in self._stacks()])

    def penalty(self) -> Tensor:
        """Return the regularisation term for the loss of each fusion, shape (K,)."""
        return torch.stack([fusion.penalty() for fusion in self.fusions.values()]).sum(0)

    def _stacks(self) -> list[AdapterStack]:
        return list(self.members)


class InsertedStacks(nn.ModuleList):
    """The stacks inserted into a model, lowest first; it becomes a module of the model and can be removed again."""

    def __init__(self, model: Any, stacks: Sequence[AdapterStack | FusedStack]) -> None:
        super().__init__(stacks)
        self._handles: list[Any] = []
        try:
            self._hook(model, stacks)
        except BaseException:  # such as an interrupt in a notebook
            self.release()
            raise

    def _hook(self, model: Any, stacks: Sequence[AdapterStack | FusedStack]) -> None:
        family = family_of(model)
        for number, layer in layers_of(model, family):
            self._hook_layer(family, layer, str(number))
        coupling = next((stack.coupling for stack in stacks if stack.coupling is not None), None)
        if coupling is not None:
            embeddings = base_of(model).get_submodule(family.embeddings)
            self._add(embeddings.register_forward_hook(partial(_couple, coupling, _scale_of(model, embeddings))))
            output = model.get_output_embeddings()
            if output is not None:  # an encoder without a head has no output projection
                self._add(output.register_forward_pre_hook(partial(_uncouple, coupling)))

    def release(self) -> None:
        """Remove the hooks from the model."""
        for handle in self._handles:
            handle.remove()

    def _stacks(self) -> list[Any]:
        return list(self)

    def _add(self, handle: Any) -> None:
        self._handles.append(handle)

    def _hook_layer(self, family: Family, layer: nn.Module, key: str) -> None:
        chain: list[Adding] = []
        for stack in self._stacks():
            if isinstance(stack, FusedStack):
                chain += [stack.at(key)] if key in stack.fusions else []
                continue
            chain += [stack.bottlenecks[key]] if key in stack.bottlenecks else []
            for by_layer, path in ((stack.queries, family.queries), (stack.values, family.values)):
                if key in by_layer:
                    self._add(layer.get_submodule(path).register_forward_hook(partial(_add_low_rank, by_layer[key])))
        if not chain:
            return
        if family.placement == "post_norm":
            self._add(layer.get_submodule(family.norm).register_forward_hook(partial(_after_norm, chain)))
        elif family.placement == "pre_norm" and RECORDS_CALLS:  # before the library's own hook, if it has one
            self._add(layer.register_forward_hook(partial(_after_layer, chain), prepend=True))
        else:
            inputs: dict[int, Tensor] = {}
            before = layer.get_submodule(family.before)
            norm = layer.get_submodule(family.norm) if family.norm else nn.Identity()
            self._add(before.register_forward_pre_hook(partial(_keep_input, inputs)))
            projection = layer.get_submodule(family.projection)
            self._add(projection.register_forward_hook(partial(_after_projection, chain, norm, inputs)))


def insert(model: Any, *stacks: AdapterStack | FusedStack) -> None:
    """Insert stacks into a model above those already in it: each bottleneck reads the output of the one below it.

    Raises ModelError if the model's family is not supported.
    """
    holder = InsertedStacks(model, [*take_out(model), *stacks])
    setattr(model, MODULE_NAME, holder.train(model.training))


def inserted(model: Any) -> list[AdapterStack | FusedStack]:
    """Return the stacks in a model, lowest first."""
    return list(getattr(model, MODULE_NAME, []))


def take_out(model: Any) -> list[AdapterStack | FusedStack]:
    """Remove all stacks from a model and return them."""
    stacks = inserted(model)
    if stacks:
        getattr(model, MODULE_NAME).release()
        delattr(model, MODULE_NAME)
    return stacks


def _after_norm(chain: Sequence[Adding], norm: Any, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    total, normed = inputs[0], output
    for adapter in chain:
        total = total + adapter(normed)
        normed = norm.forward(total)  # calling the module would run this hook again
    return normed


def _after_layer(chain: Sequence[Adding], _layer: Any, _inputs: Any, output: Any) -> Any:
    states = output[0] if isinstance(output, tuple) else output
    for adapter in chain:
        states = states + adapter(states)
    return (states, *output[1:]) if isinstance(output, tuple) else states


def _fusion_output(fusion: Fusion, bottlenecks: Sequence[Bottleneck], states: Tensor) -> Tensor:
    return fusion(states, [bottleneck(states) for bottleneck in bottlenecks])


def _thread() -> int:
    """Return the calling thread's id, as several threads may call a model at once; 0 while compiling."""
    return 0 if torch.compiler.is_compiling() else get_ident()


def _keep_input(inputs_by_thread: dict[int, Tensor], _norm: Any, inputs: tuple[Tensor]) -> None:
    inputs_by_thread[_thread()] = inputs[0]


def _after_projection(
    chain: Sequence[Adding], norm: Any, inputs_by_thread: dict[int, Tensor], _linear: Any, _in: Any, output: Tensor
) -> Tensor:
    thread = _thread()  # if a layer's parts are compiled separately, their ids may differ
    residual = inputs_by_thread.pop(thread) if thread in inputs_by_thread else inputs_by_thread.popitem()[1]
    states = output
    for adapter in chain:
        states = states + adapter(norm.forward(states + residual))
    return states


def _add_low_rank(change: LowRank | JoinedLowRank, _linear: Any, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    return output + change(inputs[0])


def _scale_of(model: Any, embeddings: Any) -> float:
    """Return the embedding scale to undo around a coupling: Gemma 2's, which was once applied after the embeddings."""
    scale = getattr(embeddings, "embed_scale", None) if text_config(model).model_type == "gemma2" else None
    return 1.0 if scale is None or torch.as_tensor(scale).is_meta else float(scale)  # meta tensors have no values


def _couple(coupling: Coupling, scale: float, _embeddings: Any, _inputs: Any, output: Tensor) -> Tensor:
    return coupling(output) if scale == 1.0 else coupling(output / scale) * scale


def _uncouple(coupling: Coupling, _projection: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (coupling(inputs[0], inverse=True), *inputs[1:])
