"""Tiny random models of every family, and adapter settings for them."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

from lrltrain.modules.settings import Bottlenecks, LowRanks, Settings

SMALL: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
OTHER: dict[str, dict[str, Any]] = {
    "electra": {"embedding_size": 24},
    "modernbert": {"reference_compile": False, "pad_token_id": 0, "local_attention": 8},
}
DECODERS = ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text")
METHODS: dict[str, Settings] = {
    "seq_bn": Bottlenecks(reduction_factor=4),
    "seq_bn_inv": Bottlenecks(reduction_factor=4, invertible=True),
    "lora": LowRanks(rank=4, alpha=12),
}
IDS = torch.randint(5, 64, (3, 9), generator=torch.Generator().manual_seed(1))


def model_of(kind: str, maker: Any = None, **more: Any) -> Any:
    torch.manual_seed(7)
    overrides = OTHER.get(kind, {})
    sizes = SMALL | overrides
    if kind == "distilbert":
        sizes = {"vocab_size": 64, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}
    if kind in DECODERS:
        sizes = sizes | {"num_key_value_heads": 2, "head_dim": 8}
    maker = maker or (AutoModelForCausalLM if kind in DECODERS else AutoModelForMaskedLM)
    model = maker.from_config(AutoConfig.for_model(kind, **sizes | more)).eval()
    model.config.name_or_path = "base"
    return model
