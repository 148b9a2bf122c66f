"""Parse the untrusted responses of an endpoint, and find the label that an answer names."""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from lrltrain.prompting.cache import Answer, is_count
from lrltrain.prompting.config import Form

LONGEST = 20_000  # characters of an answer in which labels are searched; a longer answer counts as naming none
_LONGEST_FINISH = 64  # characters of a finish reason; `content_filter` has 14
_NEGATION_REACH = 64  # characters before a label in which a negation is searched
_REJECTED = {400, 413, 422}  # statuses
_TOO_LONG = re.compile(r"context (?:length|size|window)|(?:input|prompt|text) is too long", re.IGNORECASE)
_TOO_MANY_TOKENS = re.compile(r"max_(?:completion_|new_)?tokens\W+(?:is too large|must be)", re.IGNORECASE)
_DIGITS = 18  # of an integer; longer ones are no valid counts, and converting them is slow or fails
_SURROGATES = re.compile("[\ud800-\udfff]")
_THINKING_TAGS = "think|thinking|thought|reasoning"
# The model's visible reasoning: everything up to the last closing tag, since the opening tag may be in the prompt; and
# everything from an opening tag that is never closed.
_FINISHED_THOUGHTS = re.compile(rf"\A.*(?:</(?:{_THINKING_TAGS})>|\[/THINK\]|◁/think▷)", re.DOTALL | re.IGNORECASE)
_UNFINISHED_THOUGHT = re.compile(rf"(?:<(?:{_THINKING_TAGS})>|\[THINK\]|◁think▷).*\Z", re.DOTALL | re.IGNORECASE)
_SPACELESS = "\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"  # scripts written without spaces
# Marks of emoji and symbols, and the optional vowel signs of Hebrew and Arabic.
_NOT_IN_WORDS = "\ufe00-\ufe0f\u20d0-\u20ff\u0591-\u05c7\u064b-\u0652\u0670"
_NEGATION = re.compile(r"\b(?:not|never|neither|nor|isn['’]t)\s+(?:an?\s+|about\s+|the\s+)?['\"“‘*`]*$")  # noqa: RUF001


def parse(body: bytes) -> dict[str, Any]:
    """Parse the body of a response. Raises ValueError if it is not a JSON object or is nested too deeply."""
    try:
        value = json.loads(body, parse_int=lambda digits: int(digits) if len(digits) <= _DIGITS else None)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 -- about the body, not the call
    return value


def answer_in(body: Mapping[str, Any], form: Form) -> Answer:
    """Return the answer in a response body. Values of an unexpected type are treated as missing."""
    usage = body.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    tokens = [counts.get(name) for name in ("prompt_tokens", "completion_tokens")]
    read, written = (count if is_count(count) else None for count in tokens)
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    if choice is None:
        return Answer("", "none", read, written)
    message = choice.get("message")
    text = message.get("content") if form == "chat" and isinstance(message, dict) else choice.get("text")
    if isinstance(text, list):  # some servers send a list of parts
        parts = [part.get("text") for part in text if isinstance(part, dict)]
        text = "".join(part for part in parts if isinstance(part, str))
    finish = "error" if choice.get("error") else choice.get("finish_reason")
    finish = (
        replace_surrogates(finish)[:_LONGEST_FINISH] if isinstance(finish, str) and finish not in ("", "none") else None
    )
    return Answer(replace_surrogates(text) if isinstance(text, str) else "", finish, read, written)


def error_in(body: Mapping[str, Any]) -> tuple[str, str]:
    """Return the message and code of the error in a response body; both are empty if there is none.

    Servers put them into `error`, or next to it (vLLM, FastAPI); a numeric code repeats the status.
    """
    error = body.get("error") or body.get("detail") or (body.get("object") == "error" and body)
    if not error:
        return "", ""
    details = error if isinstance(error, dict) else {"message": error}
    message = details.get("message")
    message = message if message and isinstance(message, str) else "an error"
    codes = (details.get(name) for name in ("code", "type"))
    return message, next((code for code in codes if code and isinstance(code, str)), "")


def is_too_long(status: int, message: str) -> bool:
    """Return whether an error says that one text is too long, for servers that have no code for this."""
    return status in _REJECTED and bool(_TOO_LONG.search(message)) and not _TOO_MANY_TOKENS.search(message)


def is_moderated(body: Mapping[str, Any]) -> bool:
    """Return whether a response body lists reasons for refusing a text, as OpenRouter does."""
    error = body.get("error")
    metadata = error.get("metadata") if isinstance(error, dict) else None
    return isinstance(metadata, dict) and bool(metadata.get("reasons"))


def replace_surrogates(text: str) -> str:
    """Return a text with lone surrogates, which cannot be written to a file, replaced by U+FFFD."""
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)


def printable(text: str) -> str:
    """Return a text on one line, without control characters and other unprintable ones."""
    return " ".join("".join(filter(str.isprintable, word)) for word in replace_surrogates(text).split())


def label_in(answer: str, labels: Mapping[str, Sequence[str]], *, one_line: bool = False) -> str | None:
    """Return the label that an answer names, or None if it names none or several, or denies one.

    `labels` maps each label to its words. Case, punctuation and surrounding text do not matter; only whole words count,
    and longer words match first. Reasoning in <think> or similar tags is ignored. With `one_line`, only the first
    non-empty line is read, since a model that continues a text goes on to invent further examples.
    """
    labels_named: set[str] = set()
    for label, is_denied in _mentions(answer, labels, one_line=one_line):
        if is_denied:
            return None
        labels_named.add(label)
    return labels_named.pop() if len(labels_named) == 1 else None


def first_label_in(answer: str, labels: Mapping[str, Sequence[str]]) -> str | None:
    """Return the first label that an answer names without denying it, whatever it names later."""
    return next((label for label, is_denied in _mentions(answer, labels) if not is_denied), None)


def _mentions(
    answer: str, labels: Mapping[str, Sequence[str]], *, one_line: bool = False
) -> Iterator[tuple[str, bool]]:
    """Yield the labels that an answer names, in order, and whether the answer denies each."""
    visible = _UNFINISHED_THOUGHT.sub("", _FINISHED_THOUGHTS.sub("", answer)).strip()
    if one_line:
        visible = visible.split("\n", maxsplit=1)[0]
    if len(visible) > LONGEST:  # normalizing many combining marks takes quadratic time
        return
    folded = _folded(visible)
    label_of = {_folded(word): label for label in labels for word in labels[label]}
    longest_first = sorted(label_of, key=len, reverse=True)
    letter = _letter()
    for match in re.finditer(rf"(?<!{letter})(?:{'|'.join(map(re.escape, longest_first))})(?!{letter})", folded):
        yield label_of[match[0]], bool(_NEGATION.search(folded, max(0, match.start() - _NEGATION_REACH), match.start()))


@cache
def _letter() -> str:
    """Return a pattern of the letters and marks that continue a word, among them the vowel signs of Devanagari.

    Excludes the underscore, which marks emphasis, and scripts written without spaces.
    """
    characters = map(chr, range(0x300, 0x1F000))
    marks = "".join(character for character in characters if unicodedata.category(character)[0] == "M")
    inside = re.sub(f"[{_SPACELESS}{_NOT_IN_WORDS}]", "", marks)
    return f"(?:[^\\W_{_SPACELESS}]|[{inside}])"


def _folded(text: str) -> str:
    """Return a text with case folded, also for Turkish and Azerbaijani, which have a dotted and a dotless I."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return folded.replace("\N{COMBINING DOT ABOVE}", "").replace("\N{LATIN SMALL LETTER DOTLESS I}", "i").strip()
