r"""Lines of text from USFM, the format of Bibles: one per paragraph. Pure.

Left out are notes, cross references, headings, introductory lists, and the numbers of chapters and verses. Markers are
those of USFM 3.1 (docs.usfm.bible).
"""

import re
from collections.abc import Iterable, Iterator

_AT_ONCE = 1 << 20  # characters
# Up to its end within the verse; a note without an end stops at the end of its line, or before the next verse.
_NOTE = re.compile(
    r"\\(f|fe|ef|x|ex|fig|rq|ca|va|vp|pro|fm|cat)\s"
    r"(?:(?:(?!\\(?:[vcp]|\1)\s)[\s\S])*?\\\1\*|.*?(?=\\[vcp]\s|\n|\Z))"
)
# The second form is that of alignments before 2019, whose attributes end with the line.
_MILESTONE = re.compile(r"\\[a-z]+[0-9]*(?:-[se])?[ \t]*(?:\|[^\\]*)?\\\*|\\[a-z]+[0-9]*-s[ \t]*\|[^\\\n]*")
_MARKER = re.compile(r"\\\+?(?:(v|c)[ \t]+\S+|([a-z]+)(?:[0-9]+(?:-[0-9]+)?)?(?:-[se])?)(?:\*|[ \t]?)")
_ATTRIBUTES = re.compile(r"\|[^\\|]*(?=\\\+?[a-z]+[0-9]*\*)")  # only before an end: a | elsewhere is text
_PARAGRAPHS = frozenset(  # markers that begin a line
    "p m pi mi nb pc pr po pm pmo pmc pmr ph phi ps psi cls d qd li lh lf lim ip ipi ipq im imi imq ili iex".split()
)
_RUNNING = frozenset("v q qr qc qm iq b tr tc tcr tcc th thr thc".split())  # markers that continue it
_HEADINGS = frozenset(
    "id ide usfm sts rem h toc toca mt mte ms mr s sr r sp sd c cl cp cd qa "
    "imt is iot io ior imte ie ib ipr periph".split()
)


def lines_of_usfm(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of text of a file, chapter by chapter. Raises ValueError for a Toolbox dictionary."""
    chapter: list[str] = []
    size = 0
    for line in lines:
        if line.startswith(("\\_sh", "\\lx ")):
            raise ValueError("it is a Toolbox dictionary, not USFM")
        if line.startswith("\\c ") or size > _AT_ONCE:
            yield from _chapter("".join(chapter))
            chapter, size = [], 0
        chapter.append(line)
        size += len(line)
    yield from _chapter("".join(chapter))


def _chapter(text: str) -> Iterator[str]:
    text = _MILESTONE.sub("", _NOTE.sub("", text))
    text = _ATTRIBUTES.sub("", text).replace("~", " ").replace("//", " ")
    held: list[str] = []
    keep = True
    position = 0
    for marker in [*_MARKER.finditer(text), None]:
        if keep:
            held.append(text[position : marker.start() if marker else len(text)])
        name = (marker[1] or marker[2]) if marker else "p"
        if name in _PARAGRAPHS or name in _HEADINGS:
            if line := " ".join("".join(held).split()):
                yield line
            held, keep = [], name in _PARAGRAPHS
        elif name in _RUNNING:
            held.append(" ")
            keep = True
        position = marker.end() if marker else len(text)
