"""What a text becomes before it is identified. Pure."""

import re
import unicodedata

# Written in many ways inside words, as in Uzbek and Maltese: one letter to them all.
_APOSTROPHE = re.compile("(?<=[^\\W\\d_])['`\u00b4\u2018\u2019\u2032\u02b9\u02bb\u02bc\u02be\u02bf](?=[^\\W\\d_])")
_ONE_APOSTROPHE = "\u02bc"


class _LettersAndMarks(dict[int, int]):
    """A table for str.translate: letters and their marks stay, all else is a space. Filled as characters are met."""

    def __missing__(self, point: int) -> int:
        self[point] = point if unicodedata.category(chr(point))[0] in "LM" else 0x20
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
