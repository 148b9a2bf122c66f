r"""Shapes of text files, found from their first lines: numbers before the text, and the width of wrapped lines. Pure.

Numbers and verse references at the beginning of lines are removed, and lines that were wrapped at a width are joined.
Files of another format, and those with people's names on their lines, are refused.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lrldata.web.characters import CLOSING, SENTENCE_MARKS

LOOKED_AT, FEWEST = 100, 5  # lines that are examined, and the fewest that prove anything
_MOST = 0.9  # share of the lines with a shape, from which on all are assumed to have it
_NUMBER = re.compile(
    r"\s*(?:(?:[1-4] ?)?[^\W\d_]{2,20}\.? ?\d{1,3}[:.]\d{1,3}"  # GEN 1:2, 1 Kor. 13.4
    r"|[\[(]?\d{1,3}:\d{1,3}[\])]?"  # 1:2, [1:2]
    r"|\[\d{1,7}\]|\(\d{1,7}\)|\d{1,7}[.):]?)\s+(?=\S)"  # 2, 2., (2)
)
_YEARS = range(1000, 2101)
_DIGITS = re.compile(r"\d+")
_FOLLOWING = 0.5  # share of the numbers that are one more than the previous one
_SHORT = 0.75  # minimum length of wrapped lines, as a share of the longest line
_SMALL = 0.4  # share of the lines after wrapped ones that begin with a small letter, in scripts with case
_ENDED, _RUNNING = 0.5, 0.15  # share of wrapped lines: at most, with a sentence's end at their end; at least, within
# Letters of scripts that put no space between words, without the mark after which Tibetan has one.
_UNSPACED = re.compile(
    r"[\u0e00-\u0f0c\u0f0e-\u0fff\u1000-\u109f\u1780-\u17ff\u1a20-\u1aaf\u3001-\u30ff\u3400-\u9fff\ua000-\ua4cf"
    r"\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]{2}"
)
_WIDTHS = range(40, 141)  # characters at which programs wrap lines
_MARKS = f"[{SENTENCE_MARKS}…]"
_END = re.compile(rf"(?:{_MARKS}|[:;])[{CLOSING}」』]*\s*$")
_SENTENCE = re.compile(rf"(?<={_MARKS})\s+|(?<=[。！？])")  # noqa: RUF001
_LONG, _PIECE = 50_000, 2_000  # characters of a line that must lack line ends, and of the parts it is cut into
# Lines that are refused: pattern, share of lines from which on, what the file holds, and a hint.
_REFUSED: tuple[tuple[re.Pattern[str], float, str, str], ...] = (
    (
        re.compile(
            r"[\u200e\u200f\ufeff]*\[?\d{1,4}[/.-]\d{1,2}[/.-]\d{1,4},? +\d{1,2}[:.]\d\d(?:[:.]\d\d)?"  # a day, a time,
            r"[^:]{0,16}?(?:\]| [-\u2013]) ?[^:]{1,60}: "  # and a name
        ),
        0.3,  # a message may have several lines
        "holds messages with times and names",
        "Ask the authors, and keep only the text, without names.",
    ),
    (
        re.compile(r".+ \|\|\| .+"),
        _MOST,
        "holds pairs of texts (|||)",
        "Keep only one side, e.g. with `awk -F' [|][|][|] ' '{print $1}'`.",
    ),
)
_MARKED = (
    (re.compile(r"\{\\rtf"), "is RTF", "Save it as .docx or as plain text."),
    (re.compile(r"\\id "), "is USFM", "Rename it to .usfm, so that its verses are read."),
)


class ShapeError(ValueError):
    """A file of another format, or with more than text on its lines; `hint` says what to do."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


@dataclass(frozen=True)
class Shape:
    """Whether lines begin with a number, and the width in characters at which they were wrapped, 0 if they were not."""

    numbered: bool = False
    width: int = 0

    def bare(self, line: str) -> str:
        """Return a line without the number at its beginning."""
        match = _NUMBER.match(line) if self.numbered else None
        return line[match.end() :] if match else line

    def joined(self, paragraph: Sequence[str]) -> str:
        """Return the lines of a paragraph as one text, with wrapped lines joined."""
        return "".join(self._pieces(paragraph)) if self.width else "".join(paragraph)

    def _pieces(self, paragraph: Sequence[str]) -> Iterator[str]:
        for line, following in zip(paragraph, [*paragraph[1:], ""], strict=True):
            bare, first = line.rstrip(), following.lstrip()[:1]
            short = len(bare) < _SHORT * self.width
            if not following or (short and (ends_sentence(bare) or first.isupper())):
                yield line
            elif bare.endswith(("-", "\u00ad")):  # perhaps a split word: repair joins it if a small letter follows
                yield line if first.islower() else bare
            else:
                yield bare if _UNSPACED.fullmatch(bare[-1:] + first) else f"{bare} "


def shape_of(lines: Sequence[str]) -> Shape:
    """Return the shape of a file, given its first lines with line ends. Raises ShapeError if it must not be read."""
    filled = [line for line in lines[:LOOKED_AT] if line.strip()]
    for pattern, description, hint in _MARKED:
        if filled and pattern.match(filled[0].lstrip("\ufeff")):
            raise ShapeError(description, hint)
    if len(filled) < FEWEST:
        return Shape()
    for pattern, share, description, hint in _REFUSED:
        if _share(pattern, filled) >= share:
            raise ShapeError(description, hint)
    return Shape(_is_counted(filled), _width_of(lines[:LOOKED_AT]))


def _is_counted(lines: Sequence[str]) -> bool:
    """Return whether lines begin with numbers that count them or their verses, and not with years, times or amounts."""
    matches = [match for line in lines if (match := _NUMBER.match(line))]
    last = [int(_DIGITS.findall(match[0])[-1]) for match in matches]
    if matches and all(
        match[0].strip().isdecimal() and number in _YEARS for match, number in zip(matches, last, strict=True)
    ):
        return False
    following = sum(two == one + 1 for one, two in pairwise(last))
    return len(matches) >= _MOST * len(lines) and following >= _FOLLOWING * (len(last) - 1)


def ends_sentence(line: str) -> bool:
    """Return whether a line ends like a sentence."""
    return _END.search(line) is not None


def cut(line: str) -> Iterator[str]:
    """Yield a line, in several parts cut at ends of sentences if it is as long as a book."""
    if len(line) < _LONG:
        yield line
        return
    begin = 0
    for match in _SENTENCE.finditer(line):
        if match.start() - begin >= _PIECE:
            yield line[begin : match.start()] + "\n"
            begin = match.end()
    yield line[begin:]


def _share(pattern: re.Pattern[str], lines: Sequence[str]) -> float:
    return sum(pattern.match(line) is not None for line in lines) / len(lines)


def _width_of(lines: Sequence[str]) -> int:
    """Return the width at which lines were wrapped, 0 if they were not: all but a paragraph's last are nearly as long.

    Few wrapped lines end a sentence, whereas in a list of sentences nearly all do, and many are followed by a small
    letter.
    """
    pairs = [(one.rstrip(), two.lstrip()) for one, two in pairwise(lines) if one.strip() and two.strip()]
    if len(pairs) < FEWEST:
        return 0
    width = max(len(line) for line, _ in pairs)
    within = [(line, first[:1]) for line, first in pairs if len(line) >= _SHORT * width or not ends_sentence(line)]
    full = [(line, first) for line, first in within if len(line) >= _SHORT * width]
    cased = [first for _, first in full if first.islower() or first.isupper()]
    if len(cased) >= len(full) / 2 and sum(map(str.islower, cased)) < _SMALL * len(cased):
        return 0
    ended = sum(ends_sentence(line) for line, _ in full)
    running = sum(_SENTENCE.search(line) is not None for line, _ in full)  # unlike a list of goods
    broken = width in _WIDTHS and len(full) >= _MOST * len(within) and ended <= _ENDED * len(full)
    return width if broken and running >= _RUNNING * len(full) else 0
