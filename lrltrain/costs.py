"""Estimate the time and memory of one fit by formula, for a base model of any size. IO: config.json.

Per weight and token, training takes 2 floating-point operations in the forward pass, 2 in the backward pass for the
gradient by input, and 2 for the gradient by weight if the weight is trained (Kaplan et al. 2020, arXiv 2001.08361,
section 2.1); validation computes only the forward pass. On a GPU a step takes at least the time of each layer's small
operations, as measured by `tools/gpu_check.py` for a single adapter and in a group of 16.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lrldata.output import note
from lrltrain.config import FitConfig

ALONE, GROUPED = 0.00048, 0.00024  # seconds per layer, step and adapter, in the CUDA graphs of a fit
UPDATE = 4.5e-11  # seconds per weight and step if all are trained: gradient, its norm, AdamW and casts, on an H100
# Bytes that the backward pass needs per token and layer: for each hidden unit, for each unit of a feed-forward block
# (more in a gated block, which has three matrices), and for each attention score, if the scores are kept in memory.
HIDDEN, INNER, GATED, SCORE = 18, 4, 6, 16
BYTES_PER_TRAINED = 20  # per trainable parameter: weight, gradient, two moments, and the best weight so far
LOGITS = 1_024  # positions whose logits are in memory at once, for the loss and for perplexity


@dataclass(frozen=True)
class Shape:
    """The size of a model: total `weights`, vocabulary size `words`, and so on. A `decoder` has a label at every token.

    `feed` is the width of a feed-forward block (0: 4 * hidden), which may be `gated`. `capped_heads` is the number of
    attention heads whose scores are capped. A model with such heads also caps its logits, and keeps all scores and
    logits in memory.
    """

    weights: int
    hidden: int
    layers: int
    words: int
    decoder: bool = False
    feed: int = 0
    gated: bool = False
    capped_heads: int = 0

    @property
    def inner(self) -> int:
        """Return the weights outside the vocabulary's matrix."""
        return self.weights - self.hidden * self.words


KNOWN = {  # from the models' cards and configurations
    "lrl-mini": Shape(1_900_000, 128, 4, 8_002),
    "google-bert/bert-base-multilingual-cased": Shape(177_853_440, 768, 12, 119_547),
    "FacebookAI/xlm-roberta-base": Shape(278_043_648, 768, 12, 250_002),
    "FacebookAI/xlm-roberta-large": Shape(559_890_432, 1_024, 24, 250_002),
    "meta-llama/Meta-Llama-3-8B": Shape(8_030_261_248, 4_096, 32, 128_256, decoder=True, feed=14_336, gated=True),
    "meta-llama/Llama-3.1-8B": Shape(8_030_261_248, 4_096, 32, 128_256, decoder=True, feed=14_336, gated=True),
    "meta-llama/Llama-3.2-1B": Shape(1_235_814_400, 2_048, 16, 128_256, decoder=True, feed=8_192, gated=True),
    "meta-llama/Llama-3.2-3B": Shape(3_212_749_824, 3_072, 28, 128_256, decoder=True, feed=8_192, gated=True),
}
FALLBACK = "FacebookAI/xlm-roberta-base"


@cache
def shape_of(model: str) -> Shape:
    """Return the size of a base model in a folder or on the Hub; if unknown, print a note and return XLM-R base's."""
    if model in KNOWN:
        return KNOWN[model]
    try:
        config = json.loads(_config_text(model))
        return shape_from(_full_config(config), config.get("architectures") or ())
    except Exception:  # noqa: BLE001 -- loading the model later reports the error
        note(f"{model}: its size is unknown; time and memory are estimated as for {FALLBACK}.")
        return KNOWN[FALLBACK]


def _config_text(model: str) -> str:
    folder = Path(model)
    if folder.is_dir():
        return (folder / "config.json").read_text("utf-8")
    from huggingface_hub import (  # noqa: PLC0415 -- needed only for models on the Hub
        get_session,
        hf_hub_url,
        try_to_load_from_cache,
    )
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # noqa: PLC0415

    cached = try_to_load_from_cache(model, "config.json")
    if isinstance(cached, str):
        return Path(cached).read_text("utf-8")
    # A single request: downloading it as a file retries for half a minute if there is no network.
    response = get_session().get(hf_hub_url(model, "config.json"), headers=build_hf_headers(), timeout=5)
    response.raise_for_status()
    return str(response.text)


def _full_config(config: Mapping[str, Any]) -> Any:
    """Return the full configuration: with defaults, and under the attribute names that all architectures share."""
    from transformers import AutoConfig  # noqa: PLC0415 -- takes a second, and only for unknown models

    return AutoConfig.for_model(**config)


def _is_decoder(kind: str, architectures: Sequence[str]) -> bool:
    """Return whether a model type is trained as a decoder; never if it has a masked language modelling head."""
    from transformers.models.auto import modeling_auto  # noqa: PLC0415 -- takes a second, and only for unknown models

    if kind in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        return False
    has_decoder_head = any(str(name).endswith(("ForCausalLM", "Generation")) for name in architectures)
    return has_decoder_head or kind in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES


def shape_from(config: Any, architectures: Sequence[str] = ()) -> Shape:
    """Return the size described by a transformers configuration. Raises AttributeError if a value is missing."""
    text = config.get_text_config()

    def size_of(*names: str, default: int | None = None) -> int:
        """Return the first of these attributes that is set; the largest value of one that differs by layer."""
        values = (getattr(text, name, None) for name in names)
        size = next((max(value) if isinstance(value, list) else value for value in values if value), default)
        if size is None:
            raise AttributeError(names[0])
        return int(size)

    hidden, layers, words = size_of("hidden_size"), size_of("num_hidden_layers"), size_of("vocab_size")
    kind = str(text.model_type)
    decoder = _is_decoder(kind, architectures)
    feed = size_of("intermediate_size", "ffn_dim", "hidden_dim", "n_inner", default=4 * hidden)
    gated = hasattr(text, "rms_norm_eps") or kind == "modernbert"
    heads = size_of("num_attention_heads", default=1)
    queries = heads * size_of("head_dim", default=hidden // heads)
    values = queries * size_of("num_key_value_heads", default=heads) // heads
    experts = size_of("num_local_experts", "num_experts", "n_routed_experts", default=1)
    expert_feed = size_of("moe_intermediate_size", default=feed) if experts > 1 else feed
    distinct_layers = size_of("num_hidden_groups", default=layers)  # ALBERT's layers share their weights
    tied = getattr(text, "tie_word_embeddings", True)
    inner = distinct_layers * (2 * hidden * (queries + values) + (3 if gated else 2) * hidden * expert_feed * experts)
    weights = inner + (1 if tied or not decoder else 2) * hidden * words
    return Shape(weights, hidden, layers, words, decoder, feed, gated, heads if kind == "gemma2" else 0)


def fit_seconds(
    config: FitConfig, shape: Shape, tokens: float, *, speed: float, seconds_per_layer: float, eval_blocks: float
) -> float:
    """Return the seconds of a fit with `tokens` per step, at a `speed` in floating-point operations per second.

    `seconds_per_layer` is the minimum time of a layer in a step (ALONE or GROUPED on a GPU, 0 on a CPU); each
    evaluation measures `eval_blocks` blocks.
    """
    passes = 6 if config.method == "full" else 4  # 2 each: forward, gradient by input, gradient by weight
    vocabulary_weights = shape.weights - shape.inner
    operations = passes * (shape.inner * tokens + vocabulary_weights * _labelled(config, shape, tokens))
    evaluations = 1 + -(-config.steps // config.every)
    evaluation_steps = evaluations * eval_blocks / (config.batch_size * config.accumulate) * 2 / passes
    seconds_per_step = max(operations / speed, seconds_per_layer * shape.layers * config.accumulate)
    update = UPDATE * shape.weights if config.method == "full" and seconds_per_layer else 0.0
    return (config.steps + evaluation_steps) * seconds_per_step + config.steps * update


def step_memory(config: FitConfig, shape: Shape, tokens: float, bytes_per_value: int = 2) -> float:
    """Return the bytes that a step of `tokens` keeps in memory, without the weights.

    With two bytes per value (bf16, fp16), a layer keeps about 34 bytes per token and dimension for the backward pass
    (Korthikanti et al. 2022, arXiv 2205.05198, equation 1, without attention scores, which are not kept); 16 of them
    belong to a feed-forward block of the usual width. The loss keeps the logits of some positions.
    """
    labels, capped = _labelled(config, shape, tokens), bool(shape.capped_heads)
    logits = (2 * labels if capped else min(labels, LOGITS)) * 8 * shape.words
    bytes_per_token = HIDDEN * shape.hidden + (GATED if shape.gated else INNER) * (shape.feed or 4 * shape.hidden)
    bytes_per_token += SCORE * shape.capped_heads * config.max_length
    return bytes_per_value / 2 * bytes_per_token * tokens * shape.layers + logits


def _labelled(config: FitConfig, shape: Shape, tokens: float) -> float:
    return tokens if shape.decoder else tokens * config.mask_probability
