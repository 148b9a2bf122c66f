"""The places of adapters in each model family, and the names of these places in the files of `adapters`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from lrldata.errors import ModelError


@dataclass(frozen=True)
class Family:
    """The places of adapters in a model family, as paths from the base model or from one of its layers.

    `placement` says where a bottleneck A is applied. Let s be the sum of a feed-forward block's output h and its input
    x: `post_norm` models (BERT) compute LN(s + A(LN(s))), `pre_norm` models (LLaMA) s + A(s), and `sandwich` models
    (Gemma 2 and 3) x + LN(h + A(LN(s))). In `inner` models (ModernBERT), x is the block's input after its norm, as in
    `adapters`, and the layer adds h + A(s) to its residual. The module `before` receives x, and `projection` returns h.
    `bottleneck` is the module that contains the bottleneck in files of `adapters`. If one matrix produces queries, keys
    and values, `queries` and `values` are the same.
    """

    layers: str
    embeddings: str
    queries: str
    values: str
    bottleneck: str
    placement: Literal["post_norm", "pre_norm", "sandwich", "inner"]
    norm: str = ""
    before: str = ""
    projection: str = ""

    @property
    def joined(self) -> bool:
        """Return whether one matrix produces queries, keys and values."""
        return self.queries == self.values


_BERT = Family(
    layers="encoder.layer",
    embeddings="embeddings",
    queries="attention.self.query",
    values="attention.self.value",
    bottleneck="output",
    placement="post_norm",
    norm="output.LayerNorm",
)
_DISTILBERT = Family(
    layers="transformer.layer",
    embeddings="embeddings",
    queries="attention.q_lin",
    values="attention.v_lin",
    bottleneck="output_adapters",
    placement="post_norm",
    norm="output_layer_norm",
)
_MODERNBERT = Family(
    layers="layers",
    embeddings="embeddings",
    queries="attn.Wqkv",
    values="attn.Wqkv",
    bottleneck="output_adapters",
    placement="inner",
    before="mlp",
    projection="mlp.Wo",
)
_LLAMA = Family(
    layers="layers",
    embeddings="embed_tokens",
    queries="self_attn.q_proj",
    values="self_attn.v_proj",
    bottleneck="output_adapters",
    placement="pre_norm",
    before="post_attention_layernorm",
    projection="mlp",
)
_GEMMA = Family(
    layers="layers",
    embeddings="embed_tokens",
    queries="self_attn.q_proj",
    values="self_attn.v_proj",
    bottleneck="output_adapters",
    placement="sandwich",
    norm="post_feedforward_layernorm",
    before="pre_feedforward_layernorm",
    projection="mlp.down_proj",
)
FAMILIES: dict[str, Family] = {  # by `model_type` of config.json
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": _BERT,
    "distilbert": _DISTILBERT,
    "modernbert": _MODERNBERT,
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
}


def family_of(model: Any) -> Family:
    """Return the family of a transformers model. Raises ModelError, which lists the supported families."""
    return family_named(text_config(model).model_type, model.config.name_or_path or "the model")


def text_config(model: Any) -> Any:
    """Return the configuration of a model, or of its text part if it also reads images, as Gemma 3 does."""
    return model.config.get_text_config()


def family_named(kind: str, name: str) -> Family:
    """Return the family of a model type, as `family_of` does; `name` is the model's name in messages."""
    family = FAMILIES.get(kind)
    if family is None:
        raise ModelError(
            f"{name}: adapters are not supported for models of type {kind!r}.",
            f"Supported types: {', '.join(FAMILIES)}. Other models can be trained as a whole "
            "(`lrltrain fit --method full`) and measured by their perplexity (`lrltrain eval --task pppl`).",
        )
    return family


def base_of(model: Any) -> Any:
    """Return the base model of a transformers model, or that of its text part; it may be the model itself."""
    base = model.base_model
    if base is model and isinstance(getattr(model, "model", None), nn.Module):
        base = model.model  # some types, such as Gemma 3 and Llama 4, name a module that they do not have
    text = getattr(base, "language_model", None) if text_config(model) is not model.config else None
    return base if text is None else text


def layers_of(model: Any, family: Family) -> Iterator[tuple[int, nn.Module]]:
    """Yield the layers of a model with their numbers. Raises ModelError if the model has none."""
    try:
        layers = base_of(model).get_submodule(family.layers)
    except AttributeError as error:  # PEFT's models wrap others, for example
        raise ModelError(
            f"{type(model).__name__}: has no {family.layers}, which models of type {model.config.model_type} have.",
            "Give the transformers model itself; wrap it, as PEFT does, only after load_adapter.",
        ) from error
    yield from enumerate(layers)
