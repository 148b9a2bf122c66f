r"""Lines of text of files with marks: Word, LibreOffice, EPUB, HTML, subtitles, and USFM, in which Bibles are kept. IO.

A paragraph is a line, and of subtitles what is said up to the end of a sentence. Left out are notes, comments, what was
deleted, scripts, menus of pages, numbers and times of subtitles, and headings and numbers of verses.
"""

import os
import posixpath
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from html.parser import HTMLParser
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote

from defusedxml import DefusedXmlException, ElementTree

from lrldata.web.shapes import ends_sentence

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MOST = 256 << 20  # bytes of a part of a packed document
_PLAIN = 16 << 20  # bytes, beyond which a part may be
_RATIO = 200  # times its packed size at most; tables of Word are up to 180
_UNCLOSED = 500  # marks < without a > between; html.parser looks from each one to the end
_WORD = (  # of ordinary documents, and of those in Strict Open XML
    "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}",
    "{http://purl.oclc.org/ooxml/wordprocessingml/main}",
)
_T = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"  # says the same again
_ANNOTATION = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}annotation"
_OPF = "{http://www.idpf.org/2007/opf}"
_BLOCKS = frozenset(
    "address article blockquote br caption center dd details dialog div dl dt fieldset figcaption figure h1 h2 h3 h4 "
    "h5 h6 hr li main ol p pre section summary table td th tr ul".split()
)
_NO_TEXT = frozenset(
    "aside button footer head header nav noscript option script select style svg template textarea".split()
)
_TIME = re.compile(r"[\d:.,]+ --> [\d:.,]+")
_TAG = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
_CUES = 400  # characters of subtitles, after which a line ends though no sentence does

_AT_ONCE = 1 << 20  # characters
# To its end within the verse; one that has none goes to the end of its line, and takes no other verse with it.
_NOTE = re.compile(
    r"\\(f|fe|ef|x|ex|fig|rq|ca|va|vp|pro|rb)\s"
    r"(?:(?:(?!\\(?:[vcp]|\1)\s)[\s\S])*?\\\1\*|.*?(?=\\[vcp]\s|\n|\Z))"
)
_MILESTONE = re.compile(r"\\[a-z]+[0-9]*(?:-[se])?[ \t]*(?:\|[^\\]*)?\\\*")
_MARKER = re.compile(r"\\\+?(?:(v|c)[ \t]+\S+|([a-z]+)[0-9]*(?:-[se])?)(?:\*|[ \t]?)")
_ATTRIBUTES = re.compile(r"\|[^\\|\n]*(?=\\)")
_PARAGRAPHS = frozenset("p m pi mi nb pc pr pmo pm pmc pmr cls ip im li d ili ipi".split())  # that begin a line
_RUNNING = frozenset("v q qr qc qm qa b tr tc th tcr thr".split())  # that go on in it
_HEADINGS = frozenset(
    "id ide usfm sts rem h toc toca mt mte ms mr s sr r sp sd c cl cp cd imt is iot io ior imte ie ib periph".split()
)


def lines_of_packed(kind: str, stream: BinaryIO) -> Iterator[str]:
    """Yield the lines of a .docx, .odt or .epub, with their ends. Raises ValueError for what is no such file."""
    try:
        with _Archive(stream) as archive:
            for line in _PACKED[kind](archive):
                yield from (f"{part}\n" for part in line.split("\n"))
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, SyntaxError, DefusedXmlException) as error:
        raise ValueError(f"it is no .{kind}, or damaged: {str(error)[:100]}") from error


def lines_of_text(kind: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of text of HTML, subtitles or USFM, by its lines; with their ends."""
    return (f"{line}\n" for line in _MARKED[kind](lines))


class _Archive(zipfile.ZipFile):
    """An archive that knows how much of it has been opened."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self.size, self.opened = stream.seek(0, os.SEEK_END), 0


def _member(archive: _Archive, name: str) -> BinaryIO:
    told = archive.getinfo(name)
    if told.file_size > MOST:
        raise ValueError(f"its {name} has more than {MOST >> 20} MB")
    if told.file_size > max(_PLAIN, _RATIO * told.compress_size):
        raise ValueError(f"its {name} is {told.file_size // max(1, told.compress_size):,} times its packed size")
    archive.opened += told.file_size
    if archive.opened > max(_PLAIN, _RATIO * archive.size):
        raise ValueError(f"its parts are more than {_RATIO} times its own size")
    return archive.open(name)  # type: ignore[return-value]


def _docx(archive: _Archive) -> Iterator[str]:
    pieces = {"tab": " ", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}

    def text(paragraph: "Element") -> str:
        each = (element for element in paragraph.iter() if element.tag.startswith(_WORD))
        named = ((element.tag.rpartition("}")[2], element.text or "") for element in each)
        return "".join(said if name == "t" else pieces.get(name, "") for name, said in named)

    with _member(archive, "_rels/.rels") as part:
        kinds = {
            each.get("Type", "").rpartition("/")[2]: each.get("Target", "") for each in ElementTree.parse(part).iter()
        }
    name = kinds.get("officeDocument", "word/document.xml").lstrip("/")
    paragraphs, moved = ({f"{space}{kind}" for space in _WORD} for kind in ("p", "moveFrom"))
    yield from _paragraphs(archive, name, paragraphs, {_FALLBACK, *moved}, text)


def _odt(archive: _Archive) -> Iterator[str]:
    pieces = {f"{_T}s": " ", f"{_T}tab": " ", f"{_T}line-break": "\n"}

    def text(element: "Element") -> str:
        parts = [pieces.get(element.tag, ""), element.text or ""]
        for each in element:
            parts += ["" if each.tag in (f"{_T}note", _ANNOTATION) else text(each), each.tail or ""]
        return "".join(parts)

    yield from _paragraphs(
        archive, "content.xml", {f"{_T}p", f"{_T}h"}, {f"{_T}tracked-changes", f"{_T}note", _ANNOTATION}, text
    )


def _paragraphs(
    archive: _Archive, name: str, wanted: set[str], left_out: set[str], text: "Callable[[Element], str]"
) -> Iterator[str]:
    """Yield the paragraphs of a part of XML, those within others first; elements are forgotten once they were read."""
    out = within = 0
    above: list[Element] = []
    with _member(archive, name) as part:
        for event, element in ElementTree.iterparse(part, ("start", "end")):
            step = 1 if event == "start" else -1
            out += step * (element.tag in left_out)
            within += step * (element.tag in wanted)
            if event == "start":
                above.append(element)
                continue
            above.pop()
            if element.tag in wanted and not out:
                yield text(element)
            if not within and above:
                del above[-1][-1]
            elif element.tag in left_out | wanted:
                tail = element.tail  # which is text of what it lies in
                element.clear()
                element.tail = tail


def _epub(archive: _Archive) -> Iterator[str]:
    with _member(archive, "META-INF/container.xml") as part:
        roots = [each.get("full-path", "") for each in ElementTree.parse(part).iter() if each.tag.endswith("rootfile")]
    if not roots:
        raise ValueError("it names no book")
    with _member(archive, roots[0]) as part:
        package = ElementTree.parse(part)
    places = {each.get("id"): each.get("href", "") for each in package.iter(f"{_OPF}item")}
    shown = [unquote(places[each.get("idref")]) for each in package.iter(f"{_OPF}itemref")]
    home = posixpath.dirname(roots[0])
    for name in dict.fromkeys(posixpath.normpath(posixpath.join(home, place)) for place in shown):  # a chapter once
        with _member(archive, name) as part:
            yield from _html([part.read().decode("utf-8-sig")])


class _Html(HTMLParser):
    """Gathers the text of a page, a line a block."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._held: list[str] = []
        self._without: list[str] = []  # open elements that have no text

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 -- the library's
        self._between(tag)
        if tag == "body":
            self._without.clear()
        elif tag in _BLOCKS and self._without[-1:] == ["head"]:  # whose end HTML lets out
            self._without.pop()
        if tag in _NO_TEXT and tag not in self._without:  # the end of the first ends those within it
            self._without.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 -- the library's
        self._between(tag)

    def handle_endtag(self, tag: str) -> None:
        self._between(tag)
        if tag in self._without:
            del self._without[self._without.index(tag) :]
        elif tag in ("body", "html"):
            self._without.clear()

    def parse_marked_section(self, i: int, report: int = 1) -> int:  # noqa: ARG002 -- the library's
        """Pass over `<![...>`, which is a comment in HTML; the library fails at what it does not know.

        Of CDATA, as EPUB has it, the end is `]]>`.
        """
        if self.rawdata.startswith("<![CDATA[", i):
            end = self.rawdata.find("]]>", i)
            return end + 3 if end >= 0 else -1
        return self.parse_bogus_comment(i)

    def handle_data(self, data: str) -> None:
        if not self._without:
            self._held.append(data)

    def _between(self, tag: str) -> None:
        if tag in _BLOCKS or tag in _NO_TEXT or tag == "body":
            self.end()

    def end(self) -> None:
        """End a line."""
        line = " ".join("".join(self._held).split())
        self._held.clear()
        if line:
            self.lines.append(line)


def _html(pieces: Iterable[str]) -> Iterator[str]:
    page = _Html()
    for block in _blocks(pieces):
        if any(part.count("<") > _UNCLOSED for part in block.split(">")):
            raise ValueError("it is no HTML, or damaged: most of its tags have no end")
        page.feed(block)
        yield from page.lines
        page.lines.clear()
    page.close()
    page.end()
    yield from page.lines


def _blocks(pieces: Iterable[str]) -> Iterator[str]:
    """Put pieces together: what is open at the end of one is read again with the next."""
    held: list[str] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _AT_ONCE:
            yield "".join(held)
            held, size = [], 0
    yield "".join(held)


def _subtitles(lines: Iterable[str]) -> Iterator[str]:
    held: list[str] = []
    said, before = False, ""  # whether a time has been, after which text comes, and the line before
    for line in lines:
        bare = line.strip()
        if not line.strip("\r\n"):
            said = False
        elif _TIME.match(bare):
            said = True
        elif said and (text := " ".join(_TAG.sub("", bare).split())) and text != before:  # captions roll
            before = text
            held.append(text)
            if ends_sentence(text) or sum(map(len, held)) > _CUES:
                yield " ".join(held)
                held.clear()
    if held:
        yield " ".join(held)


def _usfm(lines: Iterable[str]) -> Iterator[str]:
    chapter: list[str] = []
    size = 0
    for line in lines:
        if line.startswith(("\\_sh", "\\lx ")):
            raise ValueError("it is a dictionary of Toolbox, and no Bible in USFM")
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
    kept = True
    at = 0
    for marker in [*_MARKER.finditer(text), None]:
        if kept:
            held.append(text[at : marker.start() if marker else len(text)])
        name = (marker[1] or marker[2]) if marker else "p"
        if name in _PARAGRAPHS or name in _HEADINGS:
            if line := " ".join("".join(held).split()):
                yield line
            held, kept = [], name in _PARAGRAPHS
        elif name in _RUNNING:
            held.append(" ")
            kept = True
        at = marker.end() if marker else len(text)


_PACKED: Mapping[str, Callable[[_Archive], Iterator[str]]] = {"docx": _docx, "odt": _odt, "epub": _epub}
_MARKED: Mapping[str, Callable[[Iterable[str]], Iterator[str]]] = {
    "html": _html, "subtitles": _subtitles, "usfm": _usfm
}  # fmt: skip
