"""Make a tokenizer read text as the model's files specify, with which the model was trained.

For most classes, transformers 5 rebuilds the tokenizer from the vocabulary and ignores the rest of tokenizer.json: the
normalizer, the pre-tokenizer and post-processor, and options of its model. transformers 4 reads the file, but replaces
some settings with the defaults of the class unless tokenizer_config.json states them. For a SentencePiece model without
tokenizer.json, such as mDeBERTa's, transformers 5 may leave out its normalization.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from tokenizers import Tokenizer, normalizers, pre_tokenizers

FILE, CONFIG = "tokenizer.json", "tokenizer_config.json"
# Texts that reveal how a tokenizer treats spaces, digits, letters of several scripts, and long or unknown words.
PROBE = (
    "Un text, scris SIMPLU: cu 12345 de cifre și 3,14.", " spaces  at   both ends ", "a  1", "a\tb\nc",
    "Ĳsselmeer ﬁn ｆｕｌｌ ½ ① ª e\u0301 É", "İstanbul Straße ÇA VA ΣΊΣΥΦΟΣ ЁЖ", "አማርኛ ትርጉም፡ ነው።",  # noqa: RUF001
    "བོད་ཡིག 中文字漢字 ひらがな 한국어", "ئۇيغۇر تىلى، نئی دلّی", "ไทยไม่มีช่องว่าง ქართული हिन्दी", "don't we'll I'M they're",
    "x" * 120, "aaaa" * 40 + " b", "\u200bzero\u200dwidth\ufeff \u00a0nbsp \x07 bell",
    "\U0001f469\u200d\U0001f33e \U0001d518 \ue000", "a_b-c/d@e.f #tag & <x> [y] {z}", "1 22 333 4444 55555",
    "በ፲፰፻፺፱ ፱ቀን ٣٤٥٦ ۱۲۳ १२३४ ১২৩ ๑๒๓ ༡༢༣",
    "ALL CAPS and lower", "‘quotes’ “double” …", "▁low line ▁▁", "ĠG Ċ",  # noqa: RUF001
)  # fmt: skip
STATED = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}


def read_as_in_file(tokenizer: Any, location: str, revision: str | None) -> tuple[str, int]:
    """Make a fast tokenizer read as its file specifies.

    Returns the name of the file, and how many texts of PROBE were read differently before. Statements in
    tokenizer_config.json about letters and the leading space take precedence, as in transformers 4.
    """
    backend = tokenizer.backend_tokenizer
    before = [_ids(backend, text) for text in PROBE]
    name = FILE if _file_of(location, FILE, revision) else type(tokenizer).vocab_files_names.get("vocab_file", "")
    file = _file_of(location, name, revision) if name else None
    if file is not None and name == FILE:
        _follow_file(backend, file, _file_of(location, CONFIG, revision))
    elif file is not None and file.suffix == ".model":
        _add_normalization(backend, file)
    return name, sum(_ids(backend, text) != ids for text, ids in zip(PROBE, before, strict=True))


def _follow_file(backend: Any, file: Path, config: Path | None) -> None:
    """Give a tokenizer the parts of tokenizer.json if it reads differently without them."""
    stated = json.loads(config.read_text("utf-8")) if config else {}
    stored = Tokenizer.from_file(str(file))
    stored.no_truncation()
    stored.no_padding()
    _apply_config(stored, stated)
    if any(_ids(backend, text) != _ids(stored, text) for text in PROBE):
        backend.model, backend.normalizer, backend.pre_tokenizer = stored.model, stored.normalizer, stored.pre_tokenizer
        if stored.decoder is not None:
            backend.decoder = stored.decoder
        if not {"add_bos_token", "add_eos_token"} & stated.keys():
            backend.post_processor = stored.post_processor


def _add_normalization(backend: Any, file: Path) -> None:
    """Add the normalization of a SentencePiece model to a tokenizer that was built without it."""
    normalizer = backend.normalizer
    charsmap = charsmap_of(file.read_bytes())
    if charsmap and "Precompiled" not in str(normalizer):
        first = normalizers.Precompiled(charsmap)
        backend.normalizer = normalizers.Sequence([first, normalizer]) if normalizer else first


def charsmap_of(model: bytes) -> bytes:
    """Return the compiled normalization rules of a SentencePiece model; empty if it has none.

    They are field 2 of its normalizer_spec, field 3 of ModelProto (sentencepiece_model.proto).
    """
    specification = next((value for field, value in _fields(model) if field == 3), b"")
    return next((value for field, value in _fields(specification) if field == 2), b"")


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the numbers and contents of the fields of a Protocol Buffers message that have a length."""
    at = 0
    while at < len(message):
        key, at = _number(message, at)
        field, kind = key >> 3, key & 7
        if kind == 2:  # content after its length
            length, at = _number(message, at)
            yield field, message[at : at + length]
            at += length
        elif kind == 0:  # a number
            _, at = _number(message, at)
        else:  # 4 or 8 bytes
            at += 4 if kind == 5 else 8


def _number(message: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at a byte, of which each byte holds seven bits, and where it ends."""
    value = shift = 0
    while message[at] >= 0x80:
        value |= (message[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | message[at] << shift, at + 1


def _file_of(location: str, name: str, revision: str | None) -> Path | None:
    if Path(location).is_dir():
        path: Any = Path(location) / name
        return path if path.is_file() else None
    path = try_to_load_from_cache(location, name, revision=revision)
    return Path(path) if isinstance(path, str) else None


def _ids(backend: Any, text: str) -> list[int]:
    """Return the token ids of a text; none if a wrongly built tokenizer cannot read it."""
    try:
        return list(backend.encode(text).ids)
    except Exception:  # noqa: BLE001 -- tokenizers raises nothing more specific
        return []


def _apply_config(backend: Any, stated: dict[str, Any]) -> None:
    normalizer, pre_tokenizer = backend.normalizer, backend.pre_tokenizer
    if isinstance(normalizer, normalizers.BertNormalizer):
        for key, attribute in STATED.items():
            if key in stated:
                setattr(normalizer, attribute, stated[key])
        backend.normalizer = normalizer
    if isinstance(pre_tokenizer, pre_tokenizers.ByteLevel) and isinstance(stated.get("add_prefix_space"), bool):
        pre_tokenizer.add_prefix_space = stated["add_prefix_space"]
        backend.pre_tokenizer = pre_tokenizer
