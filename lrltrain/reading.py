"""Fingerprint the files of a base model, and check its tokenizer against its embeddings. IO."""

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
_TOKENIZER = re.compile(r"tokenizer\.json|tekken\.json|vocab.*|merges.*|.*\.(model|spm|bpe|tiktoken)")
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_ROLES = ("mask", "pad", "bos", "eos", "cls", "sep", "unk")
_NO_TOKENIZER = "Copy the files of its tokenizer, such as tokenizer.json, into the model's folder."
_HINT = "Use the tokenizer that the model was trained with, or resize the model's embeddings: "
_RESIZE = "model.resize_token_embeddings(len(tokenizer))."


def contents_of(folder: Path) -> tuple[str, str]:
    """Return the SHA-256 of all weight files of a model, and of those that transformers reads.

    A copy may lack files that are not read, such as weights in another format or files left by a Trainer.
    """
    weights = {path.name: path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin")}
    hashes = {name: sha256_in_run(weights[name]) for name in sorted(weights)}
    return fingerprint(hashes), fingerprint({name: hashes[name] for name in _files_read(folder, weights)})


def _files_read(folder: Path, weights: Iterable[str]) -> list[str]:
    """Return the names of the weight files that transformers reads, looked up in the same order."""
    for name in _WEIGHTS:
        if name in weights:
            return [name]
        try:
            index = json.loads((folder / f"{name}.index.json").read_text("utf-8"))
            shards = set(map(str, index["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if shards <= set(weights):
            return sorted(shards)
    return sorted(weights)  # transformers will reject this folder


def reading_of(folder: Path) -> str:
    """Return the SHA-256 of the files that determine how a model reads text: its configuration and tokenizer."""
    files = sorted(path for path in folder.iterdir() if _FILES.fullmatch(path.name) and path.is_file())
    return fingerprint({path.name: sha256_of(path) for path in files})


def check_has_tokenizer(name: str, folder: Path) -> None:
    """Raise ModelError if a model's folder has no tokenizer: transformers then makes an empty one for some types."""
    if not any(_TOKENIZER.fullmatch(path.name) for path in folder.iterdir()):
        raise ModelError(f"{name}: has no tokenizer.", _NO_TOKENIZER)


def check_tokenizer(name: str, tokenizer: Any, config: Any, *, masked: bool) -> None:
    """Check that a tokenizer fits a model's configuration. Raises ModelError, which names the token at fault.

    `masked` says whether the model predicts masked tokens. A tokenizer without a padding token, as in most decoders,
    needs an end-of-text token, which is used for padding; padding is masked out.
    """
    if set(tokenizer.get_vocab().values()) <= set(tokenizer.all_special_ids):
        raise ModelError(f"{name}: its tokenizer has no tokens except special ones.", _NO_TOKENIZER)
    settings = config.get_text_config()
    rows = getattr(settings, "vocab_size", None)
    if rows:
        _check_ids(name, tokenizer, int(rows), getattr(settings, "pad_token_id", None))
    if masked and (tokenizer.mask_token_id is None or _is_unknown(tokenizer)):
        raise ModelError(
            f"{name}: the tokenizer has no mask token, which is needed to train or evaluate a masked language "
            f"model{f' (the model has {rows:,} embeddings)' if rows else ''}.",
            "Use the tokenizer that the model was trained with.",
        )
    if tokenizer.pad_token_id is None and tokenizer.eos_token_id is None:
        raise ModelError(
            f"{name}: the tokenizer has neither a padding token nor an end-of-text token, so texts of different "
            "lengths cannot form a batch.",
            "Set pad_token in the model's tokenizer_config.json to one of its tokens.",
        )


def _is_unknown(tokenizer: Any) -> bool:
    """Return whether the mask token is missing from the vocabulary."""
    return bool(tokenizer.mask_token_id == tokenizer.unk_token_id and tokenizer.mask_token != tokenizer.unk_token)


def _check_ids(name: str, tokenizer: Any, rows: int, padding: Any) -> None:
    ids = {role: getattr(tokenizer, f"{role}_token_id") for role in _ROLES}
    special = {number: (f"{role} token", getattr(tokenizer, f"{role}_token")) for role, number in ids.items()}
    out_of_range = {token: number for token, number in tokenizer.get_vocab().items() if number >= rows}
    for number, (role, token) in special.items():
        if number is not None and number >= rows:
            raise ModelError(
                f"{name}: the {role} of the tokenizer, {token!r}, has id {number:,}, but the model has {rows:,} "
                "embeddings.",
                _HINT + _RESIZE,
            )
    if out_of_range:
        token, number = min(out_of_range.items(), key=lambda entry: entry[1])
        raise ModelError(
            f"{name}: the token {token!r} of the tokenizer has id {number:,}, but the model has {rows:,} embeddings"
            f"{f' ({len(out_of_range):,} tokens are out of range)' if len(out_of_range) > 1 else ''}.",
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
            "Correct config.json, or resize the model's embeddings.",
        )
