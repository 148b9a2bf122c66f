"""Prepare text for identification. Pure."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lrldata.normalize import LAST_LETTER

# An apostrophe inside words, as in Uzbek and Maltese, is written in many ways: all become the same letter.
_APOSTROPHES = "'`\u00b4\u2018\u2019\u2032\u02b9\u02bb\u02bc\u02be\u02bf"
_APOSTROPHE = re.compile(rf"(?<=[^\W\d_])[{_APOSTROPHES}](?=[^\W\d_])")
_ONE_APOSTROPHE = "\u02bc"
_SPACE, _NEWLINE = 0x20, 0x0A
_AT_ONCE = 500  # lines in a batch, so that the arrays stay in the processor's cache


class _LettersAndMarks(dict[int, int]):
    """A table for str.translate that keeps letters and marks and turns all else into spaces. Filled on demand."""

    def __missing__(self, point: int) -> int:
        self[point] = point if point < LAST_LETTER and unicodedata.category(chr(point))[0] in "LM" else 0x20
        return self[point]


_TABLE = _LettersAndMarks()


def has_letters(text: str) -> bool:
    """Return whether a text has a letter of any script; without one there is no language to identify."""
    return any(map(str.isalpha, text))


def prepare(text: str, *, letters_only: bool = False) -> str:
    """Turn a text into one line in NFC, as fastText expects it, or "" if it has no letters.

    With `letters_only`, case is folded, and digits, punctuation and symbols become spaces (except apostrophes inside
    words), so that only what identifies a language is left. The text must be prepared as the model's training text was;
    the model's JSON says how.
    """
    if not has_letters(text):
        return ""
    # fastText cannot take a lone surrogate, which comes from broken input.
    plain = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
    if letters_only:
        # NFC once more, because case folding decomposes some letters.
        plain = _APOSTROPHE.sub(_ONE_APOSTROPHE, unicodedata.normalize("NFC", plain.casefold())).translate(_TABLE)
    # fastText would take this for the end of the line, anywhere in it.
    return " ".join(plain.replace("</s>", " ").split())


def prepare_lines(lines: Sequence[str], *, letters_only: bool = False) -> list[str]:
    """Prepare many lines without newlines as `prepare` does, all at once; repeated spaces stay."""
    if not letters_only:
        return [prepare(line) for line in lines]
    return [line for begin in range(0, len(lines), _AT_ONCE) for line in _keep_letters(lines[begin : begin + _AT_ONCE])]


def _keep_letters(lines: Sequence[str]) -> list[str]:
    joined = "\n".join(lines).encode("utf-8", "replace").decode()
    points = _points(_composed(_composed(joined).casefold()))
    table, letter, apostrophe, _ = _tables()
    inside = np.flatnonzero(apostrophe[points[1:-1]]) + 1
    inside = inside[letter[points[inside - 1]] & letter[points[inside + 1]]]
    plain = table[points]
    plain[inside] = ord(_ONE_APOSTROPHE)
    prepared: list[str] = plain.tobytes().decode("utf-32-le").split("\n")
    ends = np.flatnonzero(plain == _NEWLINE)
    begins = np.concatenate([[0], ends + 1])
    lettered = np.concatenate([[0], np.cumsum(letter[plain])])
    has_none = lettered[np.append(ends, len(plain))] == lettered[begins]
    for index in np.flatnonzero(has_none).tolist():
        prepared[index] = ""
    return prepared


def _points(text: str) -> npt.NDArray[np.uint32]:
    """Return the code points of a text; those after the last letter become one."""
    return np.minimum(np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32), LAST_LETTER)


def _composed(text: str) -> str:
    """Return the text in NFC, normalizing it only if it has a character that NFC may change."""
    return unicodedata.normalize("NFC", text) if _tables().loose[_points(text)].any() else text


class _Tables(NamedTuple):
    """For each code point: what it becomes, whether it is a letter, an apostrophe, and whether NFC may change it."""

    becomes: npt.NDArray[np.uint32]
    letter: npt.NDArray[np.bool_]
    apostrophe: npt.NDArray[np.bool_]
    loose: npt.NDArray[np.bool_]


@cache
def _tables() -> _Tables:
    characters = [*map(chr, range(LAST_LETTER)), "\0"]
    kinds = np.array([*map(unicodedata.category, characters)], dtype="S1")  # the first letter of each
    points = np.arange(len(kinds), dtype=np.uint32)
    stays = (kinds == b"L") | (kinds == b"M")
    stays[_NEWLINE] = True
    apostrophe = np.zeros(len(kinds), dtype=np.bool_)
    apostrophe[[ord(character) for character in _APOSTROPHES]] = True
    # Letters as in the regular expression: word characters that are not digits.
    letter = np.array([*map(str.isalnum, characters)]) & ~np.array([*map(str.isdecimal, characters)])
    # Marks, the vowels and finals of Hangul, and characters that are not in NFC on their own.
    loose = (kinds == b"M") | ~np.array([*map(partial(unicodedata.is_normalized, "NFC"), characters)])
    loose[0x1160:0x1200] = True
    return _Tables(np.where(stays, points, np.uint32(_SPACE)), letter, apostrophe, loose)
