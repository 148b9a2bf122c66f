"""How a base model reads: the files that shape it, and its tokenizer checked against its embeddings."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lrldata.errors import ModelError
from lrldata.manifest import fingerprint, sha256_in_run, sha256_of

_FILES = re.compile(
    r"config(\.[\w.-]+)?\.json|tokenizer.*|special_tokens_map\.json|added_tokens\.json|vocab.*|merges.*"
    r"|.*\.(model|spm|bpe|tiktoken)"
)
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_ROLES = ("mask", "pad", "bos", "eos", "cls", "sep", "unk")
_HINT = "Use the tokenizer that the model was trained with, or give the model as many embeddings: "
_RESIZE = "model.resize_token_embeddings(len(tokenizer))."


def contents_of(folder: Path) -> tuple[str, str]:
    """Return the SHA-256 of all files of weights of a model, and of those that transformers reads.

    A copy may lack what is not read, as weights in another format, or what a Trainer leaves.
    """
    weights = {path.name: path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin")}
    every = {name: sha256_in_run(weights[name]) for name in sorted(weights)}
    return fingerprint(every), fingerprint({name: every[name] for name in _read_of(folder, weights)})


def _read_of(folder: Path, weights: Iterable[str]) -> list[str]:
    """Return the names of the files of weights that transformers reads, in the order in which it looks for them."""
    for name in _WEIGHTS:
        if name in weights:
            return [name]
        try:
            index = json.loads((folder / f"{name}.index.json").read_text("utf-8"))
            parts = set(map(str, index["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if parts <= set(weights):
            return sorted(parts)
    return sorted(weights)  # of a folder that transformers will refuse


def reading_of(folder: Path) -> str:
    """Return the SHA-256 of the files of a model that shape how it reads: its configuration and its tokenizer's."""
    files = sorted(path for path in folder.iterdir() if _FILES.fullmatch(path.name) and path.is_file())
    return fingerprint({path.name: sha256_of(path) for path in files})


def check_tokenizer(name: str, tokenizer: Any, config: Any, *, masked: bool) -> None:
    """Make sure that a tokenizer is of the model of this configuration. Raises ModelError, which names the token.

    `masked` is whether the model is to predict masked tokens. A tokenizer without a padding token, which few decoders
    have, pads with the token that ends a text: what is padded is not seen.
    """
    settings = config.get_text_config()
    rows = getattr(settings, "vocab_size", None)
    if rows:
        _check_ids(name, tokenizer, int(rows), getattr(settings, "pad_token_id", None))
    if masked and (tokenizer.mask_token_id is None or _is_unknown(tokenizer)):
        raise ModelError(
            f"{name}: the tokenizer has no mask token, without which a model of masked tokens cannot be trained or "
            f"measured{f' (the model has {rows:,} embeddings)' if rows else ''}.",
            "Use the tokenizer that the model was trained with.",
        )
    if tokenizer.pad_token_id is None and tokenizer.eos_token_id is None:
        raise ModelError(
            f"{name}: the tokenizer has neither a padding token nor one that ends a text, so that texts of several "
            "lengths make no batch.",
            "Name one of its tokens as pad_token in the model's tokenizer_config.json.",
        )


def _is_unknown(tokenizer: Any) -> bool:
    """Return whether the mask is a token that the vocabulary does not have."""
    return bool(tokenizer.mask_token_id == tokenizer.unk_token_id and tokenizer.mask_token != tokenizer.unk_token)


def _check_ids(name: str, tokenizer: Any, rows: int, padding: Any) -> None:
    ids = {role: getattr(tokenizer, f"{role}_token_id") for role in _ROLES}
    named = {number: (f"{role} token", getattr(tokenizer, f"{role}_token")) for role, number in ids.items()}
    beyond = {token: number for token, number in tokenizer.get_vocab().items() if number >= rows}
    for number, (role, token) in named.items():
        if number is not None and number >= rows:
            raise ModelError(
                f"{name}: the {role} of the tokenizer, {token!r}, has id {number:,}, but the model has {rows:,} "
                "embeddings.",
                _HINT + _RESIZE,
            )
    if beyond:
        token, number = min(beyond.items(), key=lambda each: each[1])
        raise ModelError(
            f"{name}: the token {token!r} of the tokenizer has id {number:,}, but the model has {rows:,} embeddings"
            f"{f' ({len(beyond):,} tokens are beyond them)' if len(beyond) > 1 else ''}.",
            _HINT + _RESIZE,
        )
    if len(tokenizer) > rows:
        raise ModelError(
            f"{name}: the tokenizer has {len(tokenizer):,} tokens, but the model has {rows:,} embeddings.",
            _HINT + _RESIZE,
        )
    if isinstance(padding, int) and padding >= rows:
        raise ModelError(
            f"{name}: pad_token_id in config.json is {padding:,}, but the model has {rows:,} embeddings.",
            "Correct it there, or give the model as many embeddings.",
        )
