"""What training takes, by formula: seconds and memory of one fit, of a base model of any size. IO: config.json.

Training computes 2 products a weight and token forward, as many backward by input, and as many by weight where that
trains (Kaplan et al. 2020, arXiv 2001.08361, section 2.1); validation computes those forward. On a GPU a step takes at
least the time of each layer's small operations, as `tools/gpu_check.py` measured it, alone and in a group of 16.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lrldata.output import note
from lrltrain.config import FitConfig

ALONE, GROUPED = 0.00048, 0.00024  # seconds a layer and step, in the graphs of a fit, of each adapter
# Bytes that the backward pass needs of a token and layer: of a hidden unit, of one of the feed-forward block, which a
# gated block has three times, and of attention's score of another token, where these are in memory.
HIDDEN, INNER, GATED, SCORE = 18, 4, 6, 16
LOGITS = 1_024  # positions whose logits are in memory at once, of a loss and of perplexity


@dataclass(frozen=True)
class Shape:
    """A model's size: `weights` in all, and what the vocabulary's matrix is made of; a `decoder` labels every token.

    `feed` is the width of a feed-forward block, 4 * hidden by default, which may be `gated`. A model with
    `capped_heads` caps the scores of so many, and its logits, and so has all of them in memory.
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


KNOWN = {  # as their own cards and configurations say
    "lrl-mini": Shape(1_900_000, 128, 4, 8_002),
    "google-bert/bert-base-multilingual-cased": Shape(177_853_440, 768, 12, 119_547),
    "FacebookAI/xlm-roberta-base": Shape(278_043_648, 768, 12, 250_002),
    "FacebookAI/xlm-roberta-large": Shape(559_890_432, 1_024, 24, 250_002),
    "meta-llama/Meta-Llama-3-8B": Shape(8_030_261_248, 4_096, 32, 128_256, decoder=True, feed=14_336, gated=True),
    "meta-llama/Llama-3.1-8B": Shape(8_030_261_248, 4_096, 32, 128_256, decoder=True, feed=14_336, gated=True),
    "meta-llama/Llama-3.2-1B": Shape(1_235_814_400, 2_048, 16, 128_256, decoder=True, feed=8_192, gated=True),
    "meta-llama/Llama-3.2-3B": Shape(3_212_749_824, 3_072, 28, 128_256, decoder=True, feed=8_192, gated=True),
}
USUAL = "FacebookAI/xlm-roberta-base"


@cache
def shape_of(model: str) -> Shape:
    """Return the size of a base model, which is a folder or on the Hub; else, with a note, that of XLM-R base."""
    if model in KNOWN:
        return KNOWN[model]
    try:
        told = json.loads(_config_of(model))
        return shape_from(_whole(told), told.get("architectures") or ())
    except Exception:  # noqa: BLE001 -- whatever it is, a model that cannot be read is refused where it is used
        note(f"note: {model}: its size is not known here: time and memory are told as those of {USUAL}.")
        return KNOWN[USUAL]


def _config_of(model: str) -> str:
    folder = Path(model)
    if folder.is_dir():
        return (folder / "config.json").read_text("utf-8")
    from huggingface_hub import (  # noqa: PLC0415 -- of models on the Hub alone
        get_session,
        hf_hub_url,
        try_to_load_from_cache,
    )
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # noqa: PLC0415

    held = try_to_load_from_cache(model, "config.json")
    if isinstance(held, str):
        return Path(held).read_text("utf-8")
    # Asked once: to fetch it as a file takes half a minute of retries where there is no network.
    answer = get_session().get(hf_hub_url(model, "config.json"), headers=build_hf_headers(), timeout=5)
    answer.raise_for_status()
    return str(answer.text)


def _whole(told: Mapping[str, Any]) -> Any:
    """Return a configuration with what config.json leaves out, by the names that all architectures share."""
    from transformers import AutoConfig  # noqa: PLC0415 -- a second, of models that are not known

    return AutoConfig.for_model(**told)


def _is_decoder(kind: str, architectures: Sequence[str]) -> bool:
    """Return whether a type of models is trained as a decoder; one with a head for masks is not, whatever it names."""
    from transformers.models.auto import modeling_auto  # noqa: PLC0415 -- a second, of models that are not known

    if kind in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        return False
    named = any(str(name).endswith(("ForCausalLM", "Generation")) for name in architectures)
    return named or kind in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES


def shape_from(config: Any, architectures: Sequence[str] = ()) -> Shape:
    """Return the size that a configuration of transformers tells. Raises AttributeError for one that does not."""
    text = config.get_text_config()

    def told(*names: str, usual: int | None = None) -> int:
        """Return the first of these that it says; of one that differs by layer, the largest."""
        values = (getattr(text, name, None) for name in names)
        found = next((max(value) if isinstance(value, list) else value for value in values if value), usual)
        if found is None:
            raise AttributeError(names[0])
        return int(found)

    hidden, layers, words = told("hidden_size"), told("num_hidden_layers"), told("vocab_size")
    kind = str(text.model_type)
    decoder = _is_decoder(kind, architectures)
    feed = told("intermediate_size", "ffn_dim", "hidden_dim", "n_inner", usual=4 * hidden)
    gated = hasattr(text, "rms_norm_eps") or kind == "modernbert"
    heads = told("num_attention_heads", usual=1)
    queries = heads * told("head_dim", usual=hidden // heads)
    values = queries * told("num_key_value_heads", usual=heads) // heads
    experts = told("num_local_experts", "num_experts", "n_routed_experts", usual=1)
    each = told("moe_intermediate_size", usual=feed) if experts > 1 else feed
    own_layers = told("num_hidden_groups", usual=layers)  # of ALBERT, whose layers share their weights
    tied = getattr(text, "tie_word_embeddings", True)
    inner = own_layers * (2 * hidden * (queries + values) + (3 if gated else 2) * hidden * each * experts)
    weights = inner + (1 if tied or not decoder else 2) * hidden * words
    return Shape(weights, hidden, layers, words, decoder, feed, gated, heads if kind == "gemma2" else 0)


def fit_seconds(
    config: FitConfig, shape: Shape, tokens: float, *, speed: float, a_layer: float, eval_blocks: float
) -> float:
    """Return the seconds of a fit of `tokens` a step, where `speed` products are done a second.

    `a_layer` is the least time of a layer in a step (ALONE or GROUPED on a GPU, 0 on a CPU); `eval_blocks` blocks are
    validated at each evaluation.
    """
    passes = 6 if config.method == "full" else 4  # forward, gradient by input, gradient by weight: two each
    of_words = shape.weights - shape.inner
    products = passes * (shape.inner * tokens + of_words * _labelled(config, shape, tokens))
    evaluations = 1 + -(-config.steps // config.every)
    as_steps = evaluations * eval_blocks / (config.batch_size * config.accumulate) * 2 / passes
    return (config.steps + as_steps) * max(products / speed, a_layer * shape.layers * config.accumulate)


def step_memory(config: FitConfig, shape: Shape, tokens: float) -> float:
    """Return the bytes that a step keeps of `tokens`, beside the weights.

    In bf16 a layer keeps some 34 bytes a token and dimension for the backward pass (Korthikanti et al. 2022, arXiv
    2205.05198, equation 1, without attention's scores, which are not kept), of which 16 are those of a feed-forward
    block of the usual width; the loss has the logits of some positions.
    """
    labels, capped = _labelled(config, shape, tokens), bool(shape.capped_heads)
    logits = (2 * labels if capped else min(labels, LOGITS)) * 8 * shape.words
    a_token = HIDDEN * shape.hidden + (GATED if shape.gated else INNER) * (shape.feed or 4 * shape.hidden)
    return (a_token + SCORE * shape.capped_heads * config.max_length) * tokens * shape.layers + logits


def _labelled(config: FitConfig, shape: Shape, tokens: float) -> float:
    return tokens if shape.decoder else tokens * config.mask_probability
