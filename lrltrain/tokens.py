"""Plain text as tokens, in which no special token is: `<mask>` and `</s>` in a text are letters like others.

Tokenizers look for special tokens in a text before anything else, and some have them among the pieces of their
vocabulary too. So a text that gives one is read by a copy of the tokenizer that knows them under names which no text
has. All else goes through the tokenizer itself. Pure.
"""

import copy
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

from lrldata.errors import ModelError

UNKNOWN = 0.05  # share of unknown tokens at which to warn
# Of private use: no text means anything by them, and normalizers of tokenizers let them be.
_NAME, _PLACE = "\U0010fffd", "\U0010fffc"
_OURS = str.maketrans(dict.fromkeys((_NAME, _PLACE), "\U0010fffb"))  # of a text that has them all the same
_THOUGHT = re.compile(r"<(think|thinking|thought|reasoning)>\s*\Z")
_A_DAY = "26 Jul 2024"  # which the templates of Llama 3 name where they do not know today's
_PARTS = {"%Y": "2024", "%m": "07", "%d": "26", "%B": "July", "%b": "Jul", "%A": "Friday", "%a": "Fri", "%y": "24"}
_CLOCK = {"%H": "12", "%I": "12", "%M": "00", "%S": "00", "%p": "PM", "%j": "208"}
_REPLACED = "".join(f"|replace('{code}', '{value}')" for code, value in (_PARTS | _CLOCK).items())
_ON_A_DAY = f"{{%- macro strftime_now(format='%Y-%m-%d') -%}}{{{{ format{_REPLACED} }}}}{{%- endmacro -%}}"
_PLACED = re.compile(rf"{_PLACE}(\d+){_PLACE}")


@dataclass(frozen=True)
class _Special:
    """The special tokens of a tokenizer, and a copy of it that finds none of them in a text."""

    names: Mapping[str, str]
    ids: frozenset[int]
    unknown: tuple[int, str] | None
    backend: Any
    wrapper: Any

    @cached_property
    def plain(self) -> Any:
        """Return the copy, made when it is first needed: large vocabularies take a second."""
        made = copy.copy(self.wrapper)
        made._tokenizer = type(self.backend).from_str(json.dumps(_renamed(json.loads(self.backend.to_str()), self)))  # noqa: SLF001 -- there is no other way to exchange it
        return made

    @cached_property
    def literals(self) -> re.Pattern[str]:
        """Return what finds special tokens in a text, the longest first as tokenizers do."""
        return re.compile("|".join(map(re.escape, sorted(self.names, key=len, reverse=True))) or r"(?!)")

    def in_text(self, text: str) -> bool:
        """Return whether a special token stands in a text, as it is or in letters of full width."""
        return any(self.literals.search(each) for each in (text, unicodedata.normalize("NFKC", text)))


_KNOWN: WeakKeyDictionary[Any, _Special] = WeakKeyDictionary()


def encode(tokenizer: Any, texts: Sequence[str] | Sequence[Sequence[str]], **options: Any) -> Any:
    """Tokenize plain texts, or with `is_split_into_words` lists of words; `options` are those of the tokenizer.

    The only special tokens of what comes back are those that the tokenizer puts at the ends, and the unknown one.
    """
    special = _special(tokenizer)
    read = tokenizer(list(texts), **options)
    if not _finds(special, read, texts, ends=options.get("add_special_tokens", True)):
        return read
    return special.plain([_translated(text) for text in texts], **options)


def encode_chat(tokenizer: Any, messages: Sequence[Mapping[str, str]], answers: Sequence[str]) -> list[list[int]]:
    """Tokenize a chat up to where the model is to answer, alone and with each of the answers after it.

    The chat template of the model writes special tokens; those in a message or an answer are plain text.
    """
    special = _special(tokenizer)
    if not any(map(special.in_text, [*(message["content"] for message in messages), *answers])):
        prompt = _chat(tokenizer, messages)
        return list(
            tokenizer([prompt, *(prompt + answer for answer in answers)], add_special_tokens=False)["input_ids"]
        )
    held: list[str] = []

    def hold(found: re.Match[str]) -> str:
        held.append(found[0])
        return f"{_PLACE}{len(held) - 1}{_PLACE}"

    plain = [
        {**message, "content": special.literals.sub(hold, message["content"].translate(_OURS))} for message in messages
    ]
    named = special.literals.sub(lambda found: special.names[found[0]], _chat(tokenizer, plain))
    prompt = _PLACED.sub(lambda found: held[int(found[1])], named)
    whole = [prompt, *(prompt + answer.translate(_OURS) for answer in answers)]
    return list(special.plain(whole, add_special_tokens=False)["input_ids"])


def _chat(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> str:
    # A template that knows no thinking does not read that it is off; else a label would stand where thoughts begin.
    options: dict[str, Any] = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
    options["date_string"] = _A_DAY  # as Llama 3 has it; tomorrow it is to be the same prompt
    template = tokenizer.get_chat_template()
    if "strftime_now" in template:
        options["chat_template"] = _ON_A_DAY + template
    prompt = str(tokenizer.apply_chat_template(list(messages), **options))
    if messages[-1]["content"].strip() not in prompt:
        raise ModelError("the chat template of the model leaves the text out.", "Use --form completion.")
    begun = _THOUGHT.search(prompt)  # of a model that always thinks first
    return f"{prompt.rstrip()}\n\n</{begun[1]}>\n\n" if begun else prompt


def _special(tokenizer: Any) -> _Special:
    if tokenizer not in _KNOWN:
        added = {token.content: number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        named = added | dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
        unknown = (tokenizer.unk_token_id, tokenizer.unk_token) if tokenizer.unk_token_id is not None else None
        _KNOWN[tokenizer] = _Special(
            {token: f"{_NAME}{token}{_NAME}" for token in named if token},
            frozenset(named.values()) - ({unknown[0]} if unknown else set()),
            unknown,
            tokenizer.backend_tokenizer,
            copy.copy(tokenizer),  # not the tokenizer, which would be kept for as long as the process runs
        )
    return _KNOWN[tokenizer]


def _finds(special: _Special, read: Any, texts: Sequence[str] | Sequence[Sequence[str]], *, ends: bool) -> bool:
    """Return whether a special token was found in one of the texts. An unknown one may be a letter that is unknown."""
    found: set[int] = set()
    if not ends:
        found = found.union(*read["input_ids"])
    else:
        for each in read.encodings:
            found.update(number for number, end in zip(each.ids, each.special_tokens_mask, strict=True) if not end)
    if found & special.ids:
        return True
    if special.unknown is None or special.unknown[0] not in found:
        return False
    unknown = re.compile(re.escape(special.unknown[1]))
    words = (word for text in texts for word in ([text] if isinstance(text, str) else text))
    return any(unknown.search(each) for word in words for each in (word, unicodedata.normalize("NFKC", word)))


def _translated(text: str | Sequence[str]) -> str | list[str]:
    return text.translate(_OURS) if isinstance(text, str) else [word.translate(_OURS) for word in text]


def _renamed(tokenizer: dict[str, Any], special: _Special) -> dict[str, Any]:
    """Return a tokenizer as its file has it, with other names for the special tokens, which keep their ids."""
    names, model = special.names, tokenizer["model"]
    normalizer = special.backend.normalizer
    survives = normalizer is None or f"{_NAME}x{_NAME}" in normalizer.normalize_str(f"{_NAME}x{_NAME}")
    tokenizer["added_tokens"] = [_added(token, names, survives=survives) for token in tokenizer["added_tokens"]]
    if isinstance(model["vocab"], list):  # Unigram
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
    else:
        model["vocab"] = {names.get(piece, piece): number for piece, number in model["vocab"].items()}
    if model.get("unk_token"):
        model["unk_token"] = names.get(model["unk_token"], model["unk_token"])
    if "merges" in model:
        model["merges"] = [pair for pair in model["merges"] if not _makes(names, pair)]
    return tokenizer


def _added(token: Mapping[str, Any], names: Mapping[str, str], *, survives: bool) -> dict[str, Any]:
    if token["content"] not in names:
        return dict(token)
    return {**token, "content": names[token["content"]], "normalized": token["normalized"] and survives}


def _makes(names: Iterable[str], pair: str | Sequence[str]) -> bool:
    """Return whether a merge of BPE is of or into a special token."""
    left, right = pair.split(" ") if isinstance(pair, str) else pair
    return not {left, right, left + right}.isdisjoint(names)


def special_tokens_around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the special tokens that a tokenizer puts before a text, and those that it puts after it."""
    bare = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    whole = list(tokenizer("a")["input_ids"])
    start = next(at for at in range(len(whole)) if whole[at : at + len(bare)] == bare)
    return whole[:start], whole[start + len(bare) :]
