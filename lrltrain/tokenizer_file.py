"""Make a tokenizer read text as the model's tokenizer.json specifies.

For most classes, transformers 5 rebuilds the tokenizer from the vocabulary and ignores the rest of the file: the
normalizer, the pre-tokenizer and post-processor, and options of its model. transformers 4 reads the file, but replaces
some settings with the defaults of the class unless tokenizer_config.json states them. Models were trained as the file
specifies.
"""

import json
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


def read_as_in_file(tokenizer: Any, location: str, revision: str | None) -> int:
    """Make a fast tokenizer read as its file specifies; return how many texts of PROBE it read differently before.

    Statements in tokenizer_config.json about letters and the leading space take precedence, as in transformers 4.
    """
    file, config = (_file_of(location, name, revision) for name in (FILE, CONFIG))
    if file is None:
        return 0
    stated = json.loads(config.read_text("utf-8")) if config else {}
    stored = Tokenizer.from_file(str(file))
    stored.no_truncation()
    stored.no_padding()
    _apply_config(stored, stated)
    backend = tokenizer.backend_tokenizer
    differing = sum(_ids(backend, text) != _ids(stored, text) for text in PROBE)
    if differing:
        backend.model, backend.normalizer, backend.pre_tokenizer = stored.model, stored.normalizer, stored.pre_tokenizer
        if stored.decoder is not None:
            backend.decoder = stored.decoder
        if not {"add_bos_token", "add_eos_token"} & stated.keys():
            backend.post_processor = stored.post_processor
    return differing


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
