"""Lines of text from archives of XML: Word (.docx), LibreOffice (.odt) and EPUB. IO.

A paragraph becomes a line. Left out are notes, comments, deleted and hidden text, and pronunciations (ruby).
"""

import os
import posixpath
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote

from defusedxml import DefusedXmlException, ElementTree

from lrldata.encoding import known_kind
from lrldata.web.page import lines_of_html

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MOST = 256 << 20  # bytes of a part of an archive
_PLAIN = 16 << 20  # bytes that a part may have at any compression ratio
_RATIO = 200  # maximum compression ratio; tables in Word reach 180
_WORD = (  # namespaces of ordinary documents and of Strict Open XML
    "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}",
    "{http://purl.oclc.org/ooxml/wordprocessingml/main}",
)
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"  # repeats the same text
_PIECES = {"tab": " ", "ptab": " ", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_CODE = re.compile(r"(?:[0-9A-C][0-9A-F]|D[0-7]|[EF][0-9A-F])[0-9A-F]{2}", re.IGNORECASE)  # of a character
_PICTURES = ("wingdings", "webdings", "symbol", "marlett", "zapf")  # fonts whose characters are not letters
_T = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_SVG = "{urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0}"
_ANNOTATION = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}annotation"
_ASIDE = frozenset({f"{_T}note", f"{_T}ruby-text", f"{_SVG}title", f"{_SVG}desc", _ANNOTATION})
_ENCODING = re.compile(rb"""\s*<\?xml[^>]*\bencoding\s*=\s*["']([\w.-]+)""")


def lines_of_archive(kind: str, stream: BinaryIO) -> Iterator[str]:
    """Yield the lines of a .docx, .odt or .epub, with line ends. Raises ValueError if the file is not one."""
    try:
        with _Archive(stream) as archive:
            for line in _READERS[kind](archive):
                yield from (f"{part}\n" for part in line.split("\n"))
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, SyntaxError, DefusedXmlException) as error:
        stream.seek(0)
        first = stream.read(8)
        is_archive = first.startswith(b"PK") or not isinstance(error, zipfile.BadZipFile)  # a damaged one
        actual = None if is_archive else known_kind(first)
        reason = f"it is {actual[0]}" if actual else str(error)[:100]
        raise ValueError(f"not a valid .{kind} file: {reason}") from error


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
    initial: list[str] = []  # a drop capital, which is a paragraph of its own before that of its word

    def text(paragraph: "Element") -> str:
        line = "".join(_pieces_of_word(paragraph))
        if any(_attribute(frame, "dropCap") in ("drop", "margin") for frame in _named(paragraph, "framePr")):
            initial.append(line.strip())
            return ""
        line = "".join([*initial, line])
        initial.clear()
        return line

    with _member(archive, "_rels/.rels") as part:
        kinds = {
            relation.get("Type", "").rpartition("/")[2]: relation.get("Target", "")
            for relation in ElementTree.parse(part).iter()
        }
    name = kinds.get("officeDocument", "word/document.xml").lstrip("/")
    paragraphs, moved, readings = ({f"{space}{kind}" for space in _WORD} for kind in ("p", "moveFrom", "rt"))
    yield from _paragraphs(archive, name, paragraphs, {_FALLBACK, *moved, *readings}, text)


def _pieces_of_word(element: "Element") -> Iterator[str]:
    """Yield the text in an element of Word."""
    for child in element:
        name = child.tag.rpartition("}")[2] if child.tag.startswith(_WORD) else ""
        if name == "t":
            yield child.text or ""
        elif name == "sym":
            yield _symbol(child)
        elif name in _PIECES:
            yield _PIECES[name]
        elif name != "r" or not _is_hidden(child):
            yield from _pieces_of_word(child)


def _is_hidden(run: "Element") -> bool:
    return any(_attribute(mark, "val") not in ("0", "false", "off") for mark in _named(run, "vanish"))


def _symbol(element: "Element") -> str:
    """Return a letter of a font with its own encoding: usually a private-use character, which builds report."""
    code = _attribute(element, "char")
    if not _CODE.fullmatch(code) or _attribute(element, "font").lower().startswith(_PICTURES):
        return ""
    return chr(int(code, 16))


def _named(element: "Element", name: str) -> Iterator["Element"]:
    """Yield the properties of a paragraph or a run that have a name."""
    return (part for properties in element[:1] for part in properties if part.tag.endswith(f"}}{name}"))


def _attribute(element: "Element", name: str) -> str:
    return next((value for key, value in element.items() if key.endswith(f"}}{name}")), "")


def _odt(archive: _Archive) -> Iterator[str]:
    pieces = {f"{_T}s": " ", f"{_T}tab": " ", f"{_T}line-break": "\n"}

    def text(element: "Element") -> str:
        parts = [pieces.get(element.tag, ""), element.text or ""]
        for child in element:
            parts += ["" if child.tag in _ASIDE else text(child), child.tail or ""]
        return "".join(parts)

    yield from _paragraphs(archive, "content.xml", {f"{_T}p", f"{_T}h"}, {f"{_T}tracked-changes", *_ASIDE}, text)


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
        items = [(item.tag.rpartition("}")[2], item) for item in ElementTree.parse(part).iter()]
    hrefs = {item.get("id"): item.get("href", "") for name, item in items if name == "item"}
    home = posixpath.dirname(roots[0])
    addresses = [unquote(hrefs[item.get("idref")]) for name, item in items if name == "itemref"]
    chapters = dict.fromkeys(posixpath.normpath(posixpath.join(home, address)) for address in addresses)  # each once
    if not chapters:
        raise ValueError("its package lists no chapters")
    encrypted = _encrypted(archive)
    for name in chapters:
        if name in encrypted:
            raise ValueError(f"its {name} is encrypted (DRM)")
        with _member(archive, name) as part:
            yield from lines_of_html([_decoded(part.read(), name)])


def _encrypted(archive: _Archive) -> set[str]:
    """Return the names of the encrypted parts of a book; fonts often are."""
    if "META-INF/encryption.xml" not in archive.namelist():
        return set()
    with _member(archive, "META-INF/encryption.xml") as part:
        return {unquote(item.get("URI", "")) for item in ElementTree.parse(part).iter()}


def _decoded(chapter: bytes, name: str) -> str:
    """Decode a chapter in the encoding that it declares; the default is UTF-8."""
    declared = _ENCODING.match(chapter)
    is_utf16 = chapter.startswith((b"\xff\xfe", b"\xfe\xff"))
    encoding = "utf-16" if is_utf16 else declared[1].decode() if declared else "utf-8"
    try:
        return chapter.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise ValueError(f"its {name} is not text in {encoding}") from error


_READERS: Mapping[str, Callable[[_Archive], Iterator[str]]] = {"docx": _docx, "odt": _odt, "epub": _epub}
