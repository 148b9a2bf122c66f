"""The settings of an adapter, as `adapters` writes them to adapter_config.json, and the values supported here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers.activations import ACT2FN

from lrldata.errors import ModelError

VERSION = "adapters.1.3.0"  # the version whose format is written
# What `adapters` 1.3 writes for its SeqBnConfig and LoRAConfig. The settings of a loaded adapter may differ from these
# only in the fields of Bottlenecks and LowRanks, and in fields that have no effect (_IRRELEVANT and _PHM).
_BOTTLENECK = {
    "adapter_residual_before_ln": False,
    "cross_adapter": False,
    "dropout": 0.0,
    "factorized_phm_W": True,
    "factorized_phm_rule": False,
    "hypercomplex_nonlinearity": "glorot-uniform",
    "init_weights": "bert",
    "init_weights_seed": None,
    "inv_adapter": None,
    "inv_adapter_reduction_factor": None,
    "is_parallel": False,
    "learn_phm": True,
    "leave_out": [],
    "ln_after": False,
    "ln_before": False,
    "mh_adapter": False,
    "non_linearity": "relu",
    "original_ln_after": True,
    "original_ln_before": True,
    "output_adapter": True,
    "phm_bias": True,
    "phm_c_init": "normal",
    "phm_dim": 4,
    "phm_init_range": 0.0001,
    "phm_layer": False,
    "phm_rank": 1,
    "reduction_factor": 16.0,
    "residual_before_ln": True,
    "scaling": 1.0,
    "shared_W_phm": False,
    "shared_phm_rule": True,
    "stochastic_depth": 0.0,
    "use_gating": False,
}
_LORA = {
    "alpha": 8,
    "architecture": "lora",
    "attn_matrices": ["q", "v"],
    "composition_mode": "add",
    "dropout": 0.0,
    "dtype": None,
    "init_weights": "lora",
    "init_weights_seed": None,
    "intermediate_lora": False,
    "leave_out": [],
    "output_lora": False,
    "r": 8,
    "selfattn_lora": True,
    "use_dora": False,
    "use_gating": False,
    "vera_b": None,
    "vera_d": None,
}
# Fields without effect on the computation: the initialization of weights, and the behaviour of other kinds of layers.
_IRRELEVANT = {"init_weights", "init_weights_seed", "cross_adapter"}
_PHM = {key for key in _BOTTLENECK if "phm" in key or key == "hypercomplex_nonlinearity"} - {"phm_layer"}


@dataclass(frozen=True)
class Bottlenecks:
    """Sequential bottlenecks in all layers except `leave_out`, and an adapter at the embeddings if `invertible`."""

    reduction_factor: float = 16.0
    invertible: bool = False
    invertible_reduction_factor: float = 2
    non_linearity: str = "relu"
    scaling: float = 1.0
    leave_out: tuple[int, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the value of `config` in adapter_config.json."""
        factor = self.invertible_reduction_factor if self.invertible else None
        return _BOTTLENECK | {
            "inv_adapter": "nice" if self.invertible else None,
            "inv_adapter_reduction_factor": factor,
            "leave_out": list(self.leave_out),
            "non_linearity": self.non_linearity,
            "reduction_factor": self.reduction_factor,
            "scaling": self.scaling,
        }


@dataclass(frozen=True)
class LowRanks:
    """LoRA on queries, values or both, in all layers except `leave_out`."""

    rank: int = 8
    alpha: float = 8
    matrices: tuple[str, ...] = ("q", "v")
    leave_out: tuple[int, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """Return the value of `config` in adapter_config.json."""
        return _LORA | {
            "alpha": self.alpha,
            "attn_matrices": list(self.matrices),
            "leave_out": list(self.leave_out),
            "r": self.rank,
        }


Settings = Bottlenecks | LowRanks


def read_settings(config: Any, where: str) -> Settings:
    """Read the value of `config` in adapter_config.json. Raises ModelError, which names an unsupported setting."""
    if not isinstance(config, Mapping):
        raise ModelError(f"{where}: has no `config` of an adapter.", "It was not written by `adapters`.")
    if config.get("architecture") == "lora":
        matrices = config.get("attn_matrices", ["q", "v"])
        _check(config, _LORA, {"alpha", "attn_matrices", "leave_out", "r"}, where)
        if not isinstance(matrices, list) or not matrices or not {"q", "v"}.issuperset(map(str, matrices)):
            raise _unsupported(where, "attn_matrices", matrices)
        rank, alpha = _number(config, "r", 8, where), _number(config, "alpha", 8, where)
        if rank != int(rank):
            raise _unsupported(where, "r", rank)
        return LowRanks(int(rank), alpha, tuple(matrices), _left_out(config, where))
    if config.get("architecture"):
        raise _unsupported(where, "architecture", config["architecture"])
    supported = {
        "inv_adapter",
        "inv_adapter_reduction_factor",
        "leave_out",
        "non_linearity",
        "reduction_factor",
        "scaling",
    }
    _check(config, _BOTTLENECK, supported | _PHM, where)
    inverse, activation = config.get("inv_adapter"), str(config.get("non_linearity", "relu")).lower()
    if inverse not in (None, "nice"):
        raise _unsupported(where, "inv_adapter", inverse)
    if activation not in ACT2FN:
        raise _unsupported(where, "non_linearity", activation)
    return Bottlenecks(
        reduction_factor=_number(config, "reduction_factor", 16.0, where),
        invertible=inverse is not None,
        invertible_reduction_factor=_number(config, "inv_adapter_reduction_factor", 2, where) if inverse else 2,
        non_linearity=activation,
        scaling=_number(config, "scaling", 1.0, where),
        leave_out=_left_out(config, where),
    )


def _check(config: Mapping[str, Any], defaults: Mapping[str, Any], supported: set[str], where: str) -> None:
    for key, value in config.items():
        if key in supported | _IRRELEVANT:
            continue
        if value != defaults.get(key):  # an unknown key may only be null
            raise _unsupported(where, key, value)


def _number(config: Mapping[str, Any], key: str, default: float, where: str) -> float:
    value = config.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
        raise _unsupported(where, key, value)
    return value


def _left_out(config: Mapping[str, Any], where: str) -> tuple[int, ...]:
    value = config.get("leave_out") or []
    if not isinstance(value, list) or not all(isinstance(layer, int) for layer in value):
        raise _unsupported(where, "leave_out", value)
    return tuple(value)


def _unsupported(where: str, key: str, value: Any) -> ModelError:
    return ModelError(
        f"{where}: {key} is {str(value)[:80]}, which is not supported here.",
        "Supported are sequential bottlenecks, with or without an invertible adapter, and LoRA on queries and values. "
        "The library `adapters` loads others.",
    )
