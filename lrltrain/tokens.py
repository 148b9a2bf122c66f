"""Tokenize plain text without special tokens: `<mask>` and `</s>` in a text are read as ordinary characters.

Tokenizers match special tokens in a text before anything else, and some also have them as pieces of their vocabulary.
A text that would produce one is therefore read by a copy of the tokenizer in which the special tokens have names that
occur in no text. All other text is read by the tokenizer itself. Pure.
"""

import copy
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary

from jinja2 import TemplateError

from lrldata.errors import ModelError, one_line

UNKNOWN = 0.05  # share of unknown tokens at which to warn
# What the code of a chat template may raise.
_OF_TEMPLATES = (
    *(TemplateError, TypeError, ValueError, LookupError, AttributeError),
    *(ArithmeticError, RecursionError, MemoryError),
)
# Private-use characters: they have no meaning in text, and normalizers of tokenizers keep them.
_NAME, _PLACE = "\U0010fffd", "\U0010fffc"
_UNMARK = str.maketrans(dict.fromkeys((_NAME, _PLACE), "\U0010fffb"))  # applied to a text that contains them
_OPEN_THOUGHT = re.compile(r"<(think|thinking|thought|reasoning)>\s*\Z")
_FIXED_DATE = "26 Jul 2024"  # the date that the templates of Llama 3 use if they do not know today's
_PARTS = {"%Y": "2024", "%m": "07", "%d": "26", "%B": "July", "%b": "Jul", "%A": "Friday", "%a": "Fri", "%y": "24"}
_CLOCK = {"%H": "12", "%I": "12", "%M": "00", "%S": "00", "%p": "PM", "%j": "208"}
_REPLACEMENTS = "".join(f"|replace('{code}', '{value}')" for code, value in (_PARTS | _CLOCK).items())
_FIXED_DATE_MACRO = f"{{%- macro strftime_now(format='%Y-%m-%d') -%}}{{{{ format{_REPLACEMENTS} }}}}{{%- endmacro -%}}"
_ANSWER = "lrlanswertext"  # no template contains it
_PLACEHOLDER = re.compile(rf"{_PLACE}(\d+){_PLACE}")


@dataclass(frozen=True)
class _Special:
    """The special tokens of a tokenizer, and a copy of the tokenizer that finds none of them in a text."""

    names: Mapping[str, str]
    ids: frozenset[int]
    unknown: tuple[int, str] | None
    backend: Any
    wrapper: Any

    @cached_property
    def plain(self) -> Any:
        """Return the copy, which is made on first use, as a large vocabulary takes a second."""
        plain = copy.copy(self.wrapper)
        plain._tokenizer = type(self.backend).from_str(json.dumps(_renamed(json.loads(self.backend.to_str()), self)))  # noqa: SLF001 -- there is no public setter
        return plain

    @cached_property
    def literals(self) -> re.Pattern[str]:
        """Return a pattern that matches special tokens in a text, longest first as tokenizers do."""
        return re.compile("|".join(map(re.escape, sorted(self.names, key=len, reverse=True))) or r"(?!)")

    def in_text(self, text: str) -> bool:
        """Return whether a text contains a special token, literally or in full-width letters."""
        return any(self.literals.search(form) for form in (text, unicodedata.normalize("NFKC", text)))


_CACHE: WeakKeyDictionary[Any, _Special] = WeakKeyDictionary()


def encode(tokenizer: Any, texts: Sequence[str] | Sequence[Sequence[str]], **options: Any) -> Any:
    """Tokenize plain texts, or lists of words with `is_split_into_words`; `options` are passed to the tokenizer.

    The result contains no special tokens except those that the tokenizer adds at the ends, and the unknown token.
    """
    special = _special(tokenizer)
    encoded = tokenizer(list(texts), **options)
    if not _has_special(special, encoded, texts, ends=options.get("add_special_tokens", True)):
        return encoded
    return special.plain([_without_marks(text) for text in texts], **options)


def encode_chat(tokenizer: Any, messages: Sequence[Mapping[str, str]], answers: Sequence[str]) -> list[list[int]]:
    """Tokenize a chat up to the model's answer, first alone and then followed by each of the answers.

    Special tokens come only from the model's chat template; those in a message or an answer are read as plain text.
    """
    special = _special(tokenizer)
    if not any(map(special.in_text, [*(message["content"] for message in messages), *answers])):
        prompt = _chat(tokenizer, messages)
        return list(
            tokenizer([prompt, *(prompt + answer for answer in answers)], add_special_tokens=False)["input_ids"]
        )
    replaced: list[str] = []

    def replace(match: re.Match[str]) -> str:
        replaced.append(match[0])
        return f"{_PLACE}{len(replaced) - 1}{_PLACE}"

    plain = [
        {**message, "content": special.literals.sub(replace, message["content"].translate(_UNMARK))}
        for message in messages
    ]
    renamed = special.literals.sub(lambda match: special.names[match[0]], _chat(tokenizer, plain))
    prompt = _PLACEHOLDER.sub(lambda match: replaced[int(match[1])], renamed)
    full_texts = [prompt, *(prompt + answer.translate(_UNMARK) for answer in answers)]
    return list(special.plain(full_texts, add_special_tokens=False)["input_ids"])


def _chat(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> str:
    # Templates without thinking ignore `enable_thinking`. If it were on in others, labels would replace the thoughts.
    options: dict[str, Any] = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
    options["date_string"] = _FIXED_DATE  # the format of Llama 3; a fixed date keeps the prompt the same every day
    try:
        template = tokenizer.get_chat_template()
        if "strftime_now" in template:
            options["chat_template"] = _FIXED_DATE_MACRO + template
        prompt = str(tokenizer.apply_chat_template(list(messages), **options))
    except _OF_TEMPLATES as error:
        reason = f"{tokenizer.name_or_path}: its chat template failed: {one_line(error, 200)}."
        raise ModelError(reason, "Use --form completion.") from error
    if messages[-1]["content"].strip() not in prompt:
        raise ModelError("the model's chat template omits the text of the message.", "Use --form completion.")
    if thought := _OPEN_THOUGHT.search(prompt):  # for a model that always thinks first
        return f"{prompt.rstrip()}\n\n</{thought[1]}>\n\n"
    return prompt + _before_answer(tokenizer, messages, options, prompt)


def _before_answer(
    tokenizer: Any, messages: Sequence[Mapping[str, str]], options: Mapping[str, Any], prompt: str
) -> str:
    """Return what the template writes between a prompt and an answer, such as the space of Llama 2; often nothing."""
    conversation = [*messages, {"role": "assistant", "content": _ANSWER}]
    try:
        whole = str(tokenizer.apply_chat_template(conversation, **{**options, "add_generation_prompt": False}))
    except _OF_TEMPLATES:  # the template is for other chats
        return ""
    between, separator, _ = whole.removeprefix(prompt).partition(_ANSWER)
    return between if separator and whole.startswith(prompt) else ""


def _special(tokenizer: Any) -> _Special:
    if tokenizer not in _CACHE:
        added = {token.content: number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        specials = added | dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
        unknown = (tokenizer.unk_token_id, tokenizer.unk_token) if tokenizer.unk_token_id is not None else None
        _CACHE[tokenizer] = _Special(
            {token: f"{_NAME}{token}{_NAME}" for token in specials if token},
            frozenset(specials.values()) - ({unknown[0]} if unknown else set()),
            unknown,
            tokenizer.backend_tokenizer,
            copy.copy(tokenizer),  # a copy: the tokenizer itself would never leave this weak dictionary
        )
    return _CACHE[tokenizer]


def _has_special(special: _Special, output: Any, texts: Sequence[str] | Sequence[Sequence[str]], *, ends: bool) -> bool:
    """Return whether a special token was found in a text; an unknown token counts only if the text spells it out."""
    ids: set[int] = set()
    if not ends:
        ids = ids.union(*output["input_ids"])
    else:
        for encoding in output.encodings:
            ids.update(token for token, end in zip(encoding.ids, encoding.special_tokens_mask, strict=True) if not end)
    if ids & special.ids:
        return True
    if special.unknown is None or special.unknown[0] not in ids:
        return False
    unknown = re.compile(re.escape(special.unknown[1]))
    words = (word for text in texts for word in ([text] if isinstance(text, str) else text))
    return any(unknown.search(form) for word in words for form in (word, unicodedata.normalize("NFKC", word)))


def _without_marks(text: str | Sequence[str]) -> str | list[str]:
    return text.translate(_UNMARK) if isinstance(text, str) else [word.translate(_UNMARK) for word in text]


def _renamed(tokenizer: dict[str, Any], special: _Special) -> dict[str, Any]:
    """Return a tokenizer's JSON with new names for the special tokens, which keep their ids."""
    names, model = special.names, tokenizer["model"]
    normalizer = special.backend.normalizer
    survives = normalizer is None or f"{_NAME}x{_NAME}" in normalizer.normalize_str(f"{_NAME}x{_NAME}")
    tokenizer["added_tokens"] = [_rename_added(token, names, survives=survives) for token in tokenizer["added_tokens"]]
    if isinstance(model["vocab"], list):  # Unigram
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
    else:
        model["vocab"] = {names.get(piece, piece): number for piece, number in model["vocab"].items()}
    if model.get("unk_token"):
        model["unk_token"] = names.get(model["unk_token"], model["unk_token"])
    if "merges" in model:
        model["merges"] = [pair for pair in model["merges"] if not _merges_special(names, pair)]
    return tokenizer


def _rename_added(token: Mapping[str, Any], names: Mapping[str, str], *, survives: bool) -> dict[str, Any]:
    if token["content"] not in names:
        return dict(token)
    return {**token, "content": names[token["content"]], "normalized": token["normalized"] and survives}


def _merges_special(names: Iterable[str], pair: str | Sequence[str]) -> bool:
    """Return whether a BPE merge has a special token as a part or as its result."""
    left, right = pair.split(" ") if isinstance(pair, str) else pair
    return not {left, right, left + right}.isdisjoint(names)


def _known_texts(tokenizer: Any) -> Iterator[str]:
    yield "a"
    yield from islice(filter(str.isalpha, tokenizer.get_vocab()), 1_000)  # a vocabulary of another script may lack it


def special_tokens_around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the ids of the special tokens that a tokenizer adds before a text, and of those that it adds after it."""
    for text in _known_texts(tokenizer):
        bare = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        full = list(tokenizer(text)["input_ids"])
        starts = [index for index in range(len(full)) if bare and full[index : index + len(bare)] == bare]
        if starts:
            return full[: starts[0]], full[starts[0] + len(bare) :]
    raise ModelError("the tokenizer knows no text.", "Use a model with a complete tokenizer.")
