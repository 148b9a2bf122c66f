"""Read what an endpoint sends, which may be anything: its answer, and the label in it."""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lrltrain.prompting.cache import Answer, is_count
from lrltrain.prompting.config import Form

LONGEST = 20_000  # characters in which a label is looked for; what says more than that names none
_WORD = 64  # characters of a reason to finish; `content_filter` has 14
_REACH = 64  # characters before a label in which a negation may stand
_DIGITS = 18  # of an integer; more count nothing, and hold up or refuse their conversion
_HALVES = re.compile("[\ud800-\udfff]")
_THINKS = "think|thinking|thought|reasoning"
# What a model thinks aloud, up to where it last ends; where it begins may be in the prompt. And what it did not end.
_THOUGHTS = re.compile(rf"\A.*(?:</(?:{_THINKS})>|\[/THINK\]|◁/think▷)", re.DOTALL | re.IGNORECASE)
_UNENDED = re.compile(rf"(?:<(?:{_THINKS})>|\[THINK\]|◁think▷).*\Z", re.DOTALL | re.IGNORECASE)
# Letters that words go on with; not an underscore, which marks emphasis, nor letters of scripts without spaces.
_LETTER = "[^\\W_\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]"
_NOT = re.compile(r"\b(?:not|never|neither|nor|isn['’]t)\s+(?:an?\s+|about\s+|the\s+)?['\"“‘*`]*$")  # noqa: RUF001


def parse(body: bytes) -> dict[str, Any]:
    """Read the body of an answer. Raises ValueError for what is not a JSON object, or nested too deep to be read."""
    try:
        value = json.loads(body, parse_int=lambda digits: int(digits) if len(digits) <= _DIGITS else None)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 -- of the body, not of the call
    return value


def answer_in(body: Mapping[str, Any], form: Form) -> Answer:
    """Return the answer in a body; whatever is not of its kind counts as not there."""
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
    if isinstance(text, list):  # parts, as some servers have them
        parts = [part.get("text") for part in text if isinstance(part, dict)]
        text = "".join(part for part in parts if isinstance(part, str))
    finish = "error" if choice.get("error") else choice.get("finish_reason")
    finish = valid(finish)[:_WORD] if isinstance(finish, str) and finish not in ("", "none") else None
    return Answer(valid(text) if isinstance(text, str) else "", finish, read, written)


def error_in(body: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a body says of an error, and its code; both are empty where there is none."""
    error = body.get("error")
    if not error:
        return "", ""
    message, code = error, None
    if isinstance(error, dict):
        message, code = error.get("message"), error.get("code") or error.get("type")
    return message if message and isinstance(message, str) else "an error", code if isinstance(code, str) else ""


def is_moderated(body: Mapping[str, Any]) -> bool:
    """Return whether a body gives reasons for which a text was refused, as OpenRouter does."""
    error = body.get("error")
    metadata = error.get("metadata") if isinstance(error, dict) else None
    return isinstance(metadata, dict) and bool(metadata.get("reasons"))


def valid(text: str) -> str:
    """Return a text in which each half of a surrogate pair, of which no file can be made, is U+FFFD."""
    return _HALVES.sub("\N{REPLACEMENT CHARACTER}", text)


def printable(text: str) -> str:
    """Return a text in one line, without characters that steer a terminal or cannot be seen."""
    return " ".join("".join(filter(str.isprintable, word)) for word in valid(text).split())


def label_in(answer: str, labels: Mapping[str, Sequence[str]], *, one_line: bool = False) -> str | None:
    """Return the label that an answer names, or None if it names none, several, or says that it is not one.

    `labels` has the words for each label. Case, marks and what else is said do not matter; words count whole, longer
    ones first. What a model thinks aloud, in <think> or its kin, is no answer. `one_line` reads the first line that
    says anything, since a model that continues a text goes on with examples of its own.
    """
    named: set[str] = set()
    for label, denied in _mentions(answer, labels, one_line=one_line):
        if denied:
            return None
        named.add(label)
    return named.pop() if len(named) == 1 else None


def first_label_in(answer: str, labels: Mapping[str, Sequence[str]]) -> str | None:
    """Return the label that an answer names first, whatever it names later; one that it denies is passed over."""
    return next((label for label, denied in _mentions(answer, labels) if not denied), None)


def _mentions(
    answer: str, labels: Mapping[str, Sequence[str]], *, one_line: bool = False
) -> Iterator[tuple[str, bool]]:
    """Yield the labels that an answer names, in its order, and whether it says that it is not this one."""
    spoken = _UNENDED.sub("", _THOUGHTS.sub("", answer)).strip()
    if one_line:
        spoken = spoken.split("\n", maxsplit=1)[0]
    if len(spoken) > LONGEST:  # to normalize marks without end takes time that grows with their square
        return
    said = _folded(spoken)
    owner = {_folded(word): label for label in labels for word in labels[label]}
    longest_first = sorted(owner, key=len, reverse=True)
    for match in re.finditer(rf"(?<!{_LETTER})(?:{'|'.join(map(re.escape, longest_first))})(?!{_LETTER})", said):
        yield owner[match[0]], bool(_NOT.search(said, max(0, match.start() - _REACH), match.start()))


def _folded(text: str) -> str:
    """Return a text without differences of case, in Turkish and Azerbaijani too, whose I has a dot or none."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return folded.replace("\N{COMBINING DOT ABOVE}", "").replace("\N{LATIN SMALL LETTER DOTLESS I}", "i").strip()
