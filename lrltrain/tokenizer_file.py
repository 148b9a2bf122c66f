"""A tokenizer that reads as the model's tokenizer.json says.

For most classes transformers 5 makes a tokenizer again from the vocabulary, and leaves out what else the file says: its
normalizer, what it does before and after, options of its model. transformers 4 takes the file, but for what a class
has as default where tokenizer_config.json does not say. A model was trained with what the file has.
"""

import json
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from tokenizers import Tokenizer, normalizers, pre_tokenizers

FILE, CONFIG = "tokenizer.json", "tokenizer_config.json"
# Texts that tell apart what tokenizers do to spaces, digits, letters of several kinds and long or unknown words.
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
    """Let a fast tokenizer read as its file says; returns how many of the texts of PROBE it read in another way.

    What tokenizer_config.json states of letters and of the space before a text holds, as in transformers 4.
    """
    file, config = (_file_of(location, name, revision) for name in (FILE, CONFIG))
    if file is None:
        return 0
    stated = json.loads(config.read_text("utf-8")) if config else {}
    wanted = Tokenizer.from_file(str(file))
    wanted.no_truncation()
    wanted.no_padding()
    _as_stated(wanted, stated)
    here = tokenizer.backend_tokenizer
    differ = sum(_ids(here, text) != _ids(wanted, text) for text in PROBE)
    if differ:
        here.model, here.normalizer, here.pre_tokenizer = wanted.model, wanted.normalizer, wanted.pre_tokenizer
        if wanted.decoder is not None:
            here.decoder = wanted.decoder
        if not {"add_bos_token", "add_eos_token"} & stated.keys():
            here.post_processor = wanted.post_processor
    return differ


def _file_of(location: str, name: str, revision: str | None) -> Path | None:
    if Path(location).is_dir():
        held: Any = Path(location) / name
        return held if held.is_file() else None
    held = try_to_load_from_cache(location, name, revision=revision)
    return Path(held) if isinstance(held, str) else None


def _ids(backend: Any, text: str) -> list[int]:
    """Return the tokens of a text; none where a tokenizer that was made wrongly cannot read it."""
    try:
        return list(backend.encode(text).ids)
    except Exception:  # noqa: BLE001 -- tokenizers raises nothing narrower
        return []


def _as_stated(wanted: Any, stated: dict[str, Any]) -> None:
    normalizer, before = wanted.normalizer, wanted.pre_tokenizer
    if isinstance(normalizer, normalizers.BertNormalizer):
        for key, attribute in STATED.items():
            if key in stated:
                setattr(normalizer, attribute, stated[key])
        wanted.normalizer = normalizer
    if isinstance(before, pre_tokenizers.ByteLevel) and isinstance(stated.get("add_prefix_space"), bool):
        before.add_prefix_space = stated["add_prefix_space"]
        wanted.pre_tokenizer = before
