"""Lines of text from text files with markup, by type: HTML, subtitles, and USFM (used for Bibles). Pure."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from lrldata.web.page import lines_of_html
from lrldata.web.shapes import ends_sentence
from lrldata.web.usfm import lines_of_usfm

_TIME = re.compile(r"\d+:\d[\d:., ]*-{1,2}>\s*\d+:\d")
_TAG = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
_CUES = 400  # characters of subtitles after which a line ends even within a sentence


def lines_of_marked(kind: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of text, with line ends, in the lines of an HTML, subtitle or USFM file."""
    return (f"{line}\n" for line in _READERS[kind](lines))


def _subtitles(lines: Iterable[str]) -> Iterator[str]:
    """Yield what is said, up to the end of each sentence. Raises ValueError for text without any times."""
    held: list[str] = []
    previous = ""  # captions may repeat a line
    for text in _cues(lines):
        if text != previous:
            previous = text
            held.append(text)
            if ends_sentence(text) or sum(map(len, held)) > _CUES:
                yield " ".join(held)
                held.clear()
    if held:
        yield " ".join(held)


def _cues(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of text of subtitles: of WebVTT up to an empty line, of SubRip up to the next number and time."""
    in_cue = is_webvtt = False  # `in_cue`: a time came before, so that text follows
    number, first = "", ""  # a line of digits, which is text unless a time follows; and the first line with text
    for line in lines:
        bare = line.strip().removeprefix("\ufeff")
        if bare and not first:
            first, is_webvtt = bare, bare.startswith("WEBVTT")
        if _TIME.match(bare):
            in_cue, number = True, ""
        elif not line.strip("\r\n"):
            in_cue = in_cue and not is_webvtt
        elif in_cue:
            if number:
                yield number
            number = bare if bare.isdecimal() and not is_webvtt else ""
            if not number and (text := " ".join(_TAG.sub("", bare).split())):
                yield text
    if first and not in_cue and not is_webvtt:
        raise ValueError("it has no times, so it is not a subtitle file")
    if number:
        yield number


_READERS: Mapping[str, Callable[[Iterable[str]], Iterator[str]]] = {
    "html": lines_of_html, "subtitles": _subtitles, "usfm": lines_of_usfm
}  # fmt: skip
