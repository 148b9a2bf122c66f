"""What a text becomes before it is identified. Pure."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# Written in many ways inside words, as in Uzbek and Maltese: one letter to them all.
_APOSTROPHE = re.compile("(?<=[^\\W\\d_])['`\u00b4\u2018\u2019\u2032\u02b9\u02bb\u02bc\u02be\u02bf](?=[^\\W\\d_])")
_APOSTROPHES = "'`\u00b4\u2018\u2019\u2032\u02b9\u02bb\u02bc\u02be\u02bf"
_ONE_APOSTROPHE = "\u02bc"
_SPACE, _NEWLINE = 0x20, 0x0A
_LAST = 0x323B0  # no letter is beyond, up to Unicode 16
_AT_ONCE = 500  # lines, so that the arrays stay in the processor's cache


class _LettersAndMarks(dict[int, int]):
    """A table for str.translate: letters and their marks stay, all else is a space. Filled as characters are met."""

    def __missing__(self, point: int) -> int:
        self[point] = point if point < _LAST and unicodedata.category(chr(point))[0] in "LM" else 0x20
        return self[point]


_TABLE = _LettersAndMarks()


def has_letters(text: str) -> bool:
    """Return whether there is any letter, of any script: without one there is no language to tell."""
    return any(map(str.isalpha, text))


def prepare(text: str, *, letters_only: bool = False) -> str:
    """Make one line of NFC out of a text, as fastText wants it; "" where it holds no letter.

    With `letters_only` it is folded to lower case, and digits, punctuation and symbols become spaces (but for
    apostrophes inside words): what is left is what a language shows in. A model must be asked as it was trained; its
    JSON says how.
    """
    if not has_letters(text):
        return ""
    # A lone surrogate cannot be sent to fastText, and comes from broken input.
    plain = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
    if letters_only:
        # Once more NFC, as folding takes some letters apart.
        plain = _APOSTROPHE.sub(_ONE_APOSTROPHE, unicodedata.normalize("NFC", plain.casefold())).translate(_TABLE)
    # fastText would take this for the end of the line, wherever it stands.
    return " ".join(plain.replace("</s>", " ").split())


def prepare_lines(lines: Sequence[str], *, letters_only: bool = False) -> list[str]:
    """Do what `prepare` does to many lines without a newline inside, all at once; runs of spaces stay."""
    if not letters_only:
        return [prepare(line) for line in lines]
    return [made for begin in range(0, len(lines), _AT_ONCE) for made in _letters(lines[begin : begin + _AT_ONCE])]


def _letters(lines: Sequence[str]) -> list[str]:
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
    for at in np.flatnonzero(has_none).tolist():
        prepared[at] = ""
    return prepared


def _points(text: str) -> npt.NDArray[np.uint32]:
    """Return the code points of a text; those beyond all letters are one."""
    return np.minimum(np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32), _LAST)


def _composed(text: str) -> str:
    """Return the text in NFC; most is, and is known to be as it has no character that could be otherwise."""
    return unicodedata.normalize("NFC", text) if _tables().loose[_points(text)].any() else text


class _Tables(NamedTuple):
    """Of each code point: what it becomes, whether it is a letter, an apostrophe, and whether NFC may change it."""

    becomes: npt.NDArray[np.uint32]
    letter: npt.NDArray[np.bool_]
    apostrophe: npt.NDArray[np.bool_]
    loose: npt.NDArray[np.bool_]


@cache
def _tables() -> _Tables:
    characters = [*map(chr, range(_LAST)), "\0"]
    kinds = np.array([*map(unicodedata.category, characters)], dtype="S1")  # the first letter of each
    points = np.arange(len(kinds), dtype=np.uint32)
    stays = (kinds == b"L") | (kinds == b"M")
    stays[_NEWLINE] = True
    apostrophe = np.zeros(len(kinds), dtype=np.bool_)
    apostrophe[[ord(each) for each in _APOSTROPHES]] = True
    # The regular expression's letters: what is of a word, but no digit.
    letter = np.array([*map(str.isalnum, characters)]) & ~np.array([*map(str.isdecimal, characters)])
    # Marks, the vowels and finals of Hangul, and what is never in NFC by itself.
    loose = (kinds == b"M") | ~np.array([*map(partial(unicodedata.is_normalized, "NFC"), characters)])
    loose[0x1160:0x1200] = True
    return _Tables(np.where(stays, points, np.uint32(_SPACE)), letter, apostrophe, loose)
