r"""Lines of text from files with markup: Word, LibreOffice, EPUB, HTML, subtitles, and USFM (used for Bibles). IO.

A paragraph becomes a line; in subtitles, a line is what is said up to the end of a sentence. Left out are notes,
comments, deleted text, scripts, menus of pages, numbers and times of subtitles, and headings and numbers of verses.
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

MOST = 256 << 20  # bytes of a part of an archive
_PLAIN = 16 << 20  # bytes that a part may have at any compression ratio
_RATIO = 200  # maximum compression ratio; tables in Word reach 180
_UNCLOSED = 500  # signs < without a > between; from each one, html.parser searches to the end
_WORD = (  # namespaces of ordinary documents and of Strict Open XML
    "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}",
    "{http://purl.oclc.org/ooxml/wordprocessingml/main}",
)
_T = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"  # repeats the same text
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
_CUES = 400  # characters of subtitles after which a line ends even within a sentence

_AT_ONCE = 1 << 20  # characters
# Up to its end within the verse; a note without an end stops at the end of its line, or before the next verse.
_NOTE = re.compile(
    r"\\(f|fe|ef|x|ex|fig|rq|ca|va|vp|pro|rb)\s"
    r"(?:(?:(?!\\(?:[vcp]|\1)\s)[\s\S])*?\\\1\*|.*?(?=\\[vcp]\s|\n|\Z))"
)
_MILESTONE = re.compile(r"\\[a-z]+[0-9]*(?:-[se])?[ \t]*(?:\|[^\\]*)?\\\*")
_MARKER = re.compile(r"\\\+?(?:(v|c)[ \t]+\S+|([a-z]+)[0-9]*(?:-[se])?)(?:\*|[ \t]?)")
_ATTRIBUTES = re.compile(r"\|[^\\|\n]*(?=\\)")
_PARAGRAPHS = frozenset("p m pi mi nb pc pr pmo pm pmc pmr cls ip im li d ili ipi".split())  # markers that begin a line
_RUNNING = frozenset("v q qr qc qm qa b tr tc th tcr thr".split())  # markers that continue it
_HEADINGS = frozenset(
    "id ide usfm sts rem h toc toca mt mte ms mr s sr r sp sd c cl cp cd imt is iot io ior imte ie ib periph".split()
)


def lines_of_packed(kind: str, stream: BinaryIO) -> Iterator[str]:
    """Yield the lines of a .docx, .odt or .epub, with line ends. Raises ValueError if the file is not one."""
    try:
        with _Archive(stream) as archive:
            for line in _PACKED[kind](archive):
                yield from (f"{part}\n" for part in line.split("\n"))
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, SyntaxError, DefusedXmlException) as error:
        raise ValueError(f"not a valid .{kind} file: {str(error)[:100]}") from error


def lines_of_text(kind: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of text, with line ends, in the lines of an HTML, subtitle or USFM file."""
    return (f"{line}\n" for line in _MARKED[kind](lines))


class _Archive(zipfile.ZipFile):
    """An archive that counts the bytes of the parts that were opened."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self.size, self.opened = stream.seek(0, os.SEEK_END), 0


def _member(archive: _Archive, name: str) -> BinaryIO:
    info = archive.getinfo(name)
    if info.file_size > MOST:
        raise ValueError(f"its {name} is larger than {MOST >> 20} MB")
    if info.file_size > max(_PLAIN, _RATIO * info.compress_size):
        raise ValueError(f"its {name} is {info.file_size // max(1, info.compress_size):,} times its packed size")
    archive.opened += info.file_size
    if archive.opened > max(_PLAIN, _RATIO * archive.size):
        raise ValueError(f"its parts are more than {_RATIO} times the size of the file")
    return archive.open(name)  # type: ignore[return-value]


def _docx(archive: _Archive) -> Iterator[str]:
    pieces = {"tab": " ", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}

    def text(paragraph: "Element") -> str:
        elements = (element for element in paragraph.iter() if element.tag.startswith(_WORD))
        parts = ((element.tag.rpartition("}")[2], element.text or "") for element in elements)
        return "".join(content if name == "t" else pieces.get(name, "") for name, content in parts)

    with _member(archive, "_rels/.rels") as part:
        kinds = {
            relation.get("Type", "").rpartition("/")[2]: relation.get("Target", "")
            for relation in ElementTree.parse(part).iter()
        }
    name = kinds.get("officeDocument", "word/document.xml").lstrip("/")
    paragraphs, moved_text = ({f"{space}{kind}" for space in _WORD} for kind in ("p", "moveFrom"))
    yield from _paragraphs(archive, name, paragraphs, {_FALLBACK, *moved_text}, text)


def _odt(archive: _Archive) -> Iterator[str]:
    pieces = {f"{_T}s": " ", f"{_T}tab": " ", f"{_T}line-break": "\n"}

    def text(element: "Element") -> str:
        parts = [pieces.get(element.tag, ""), element.text or ""]
        for child in element:
            parts += ["" if child.tag in (f"{_T}note", _ANNOTATION) else text(child), child.tail or ""]
        return "".join(parts)

    yield from _paragraphs(
        archive, "content.xml", {f"{_T}p", f"{_T}h"}, {f"{_T}tracked-changes", f"{_T}note", _ANNOTATION}, text
    )


def _paragraphs(
    archive: _Archive, name: str, tags: set[str], skipped_tags: set[str], text: "Callable[[Element], str]"
) -> Iterator[str]:
    """Yield the paragraphs of an XML part, nested ones first; elements are discarded once they are read."""
    skipped_depth = depth = 0
    ancestors: list[Element] = []
    with _member(archive, name) as part:
        for event, element in ElementTree.iterparse(part, ("start", "end")):
            step = 1 if event == "start" else -1
            skipped_depth += step * (element.tag in skipped_tags)
            depth += step * (element.tag in tags)
            if event == "start":
                ancestors.append(element)
                continue
            ancestors.pop()
            if element.tag in tags and not skipped_depth:
                yield text(element)
            if not depth and ancestors:
                del ancestors[-1][-1]
            elif element.tag in skipped_tags | tags:
                tail = element.tail  # the tail is text of the element around it
                element.clear()
                element.tail = tail


def _epub(archive: _Archive) -> Iterator[str]:
    with _member(archive, "META-INF/container.xml") as part:
        roots = [item.get("full-path", "") for item in ElementTree.parse(part).iter() if item.tag.endswith("rootfile")]
    if not roots:
        raise ValueError("its container names no book")
    with _member(archive, roots[0]) as part:
        package = ElementTree.parse(part)
    hrefs = {item.get("id"): item.get("href", "") for item in package.iter(f"{_OPF}item")}
    chapters = [unquote(hrefs[item.get("idref")]) for item in package.iter(f"{_OPF}itemref")]
    home = posixpath.dirname(roots[0])
    for name in dict.fromkeys(posixpath.normpath(posixpath.join(home, href)) for href in chapters):  # each chapter once
        with _member(archive, name) as part:
            yield from _html([part.read().decode("utf-8-sig")])


class _Html(HTMLParser):
    """Collects the text of a page, one line per block."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._held: list[str] = []
        self._without: list[str] = []  # open elements whose text is left out

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 -- the library's
        self._between(tag)
        if tag == "body":
            self._without.clear()
        elif tag in _BLOCKS and self._without[-1:] == ["head"]:  # HTML may omit its end tag
            self._without.pop()
        if tag in _NO_TEXT and tag not in self._without:  # the end of the first also ends those inside it
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
        """Skip `<![...>`, which is a comment in HTML; the library fails at sections that it does not know.

        A CDATA section, as in EPUB, ends at `]]>`.
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
        """Finish the current line."""
        line = " ".join("".join(self._held).split())
        self._held.clear()
        if line:
            self.lines.append(line)


def _html(pieces: Iterable[str]) -> Iterator[str]:
    page = _Html()
    for block in _blocks(pieces):
        if any(part.count("<") > _UNCLOSED for part in block.split(">")):
            raise ValueError("not valid HTML: most tags are not closed")
        page.feed(block)
        yield from page.lines
        page.lines.clear()
    page.close()
    page.end()
    yield from page.lines


def _blocks(pieces: Iterable[str]) -> Iterator[str]:
    """Join pieces into large blocks, as the parser rereads from block to block whatever is still open."""
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
    in_cue, previous = False, ""  # whether a time came before, so that text follows; and the previous line
    for line in lines:
        bare = line.strip()
        if not line.strip("\r\n"):
            in_cue = False
        elif _TIME.match(bare):
            in_cue = True
        elif in_cue and (text := " ".join(_TAG.sub("", bare).split())) and text != previous:  # captions may repeat
            previous = text
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


_PACKED: Mapping[str, Callable[[_Archive], Iterator[str]]] = {"docx": _docx, "odt": _odt, "epub": _epub}
_MARKED: Mapping[str, Callable[[Iterable[str]], Iterator[str]]] = {
    "html": _html, "subtitles": _subtitles, "usfm": _usfm
}  # fmt: skip
