"""Lines of text from HTML: one per block element, or per line of preformatted text. Pure.

Left out are menus, forms, scripts, deleted words, pronunciations (ruby), and marks of notes and printed pages.
"""

import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser

AT_ONCE = 1 << 20  # characters
_UNCLOSED = 500  # signs < without a > between; from each one, html.parser searches to the end
_BLOCKS = frozenset(
    "address article blockquote br caption center dd details dialog div dl dt fieldset figcaption figure form h1 h2 h3 "
    "h4 h5 h6 hr li main ol p pre section summary table td th tr ul".split()
)
_REGIONS = frozenset("aside footer head header nav".split())  # blocks without text of the page's own
_NO_TEXT = _REGIONS | frozenset("button datalist noscript script select style svg template textarea".split())
_READINGS = frozenset("rp rt".split())  # of ruby; HTML may omit their end tags
_RUBY = _READINGS | {"rb", "rtc"}
_MARKS = frozenset("noteref pagebreak doc-noteref doc-pagebreak doc-backlink".split())  # values of epub:type and role
_NOTE_MARK = re.compile(r"\[[^\[\]]{1,40}\]|\(?(?:\d{1,4}|[*†‡§]{1,3}|[a-z])\)?")


def lines_of_html(pieces: Iterable[str]) -> Iterator[str]:
    """Yield the lines of text of a page. Raises ValueError if most of its tags are not closed."""
    page = _Page()
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
        if size >= AT_ONCE:
            yield "".join(held)
            held, size = [], 0
    yield "".join(held)


class _Page(HTMLParser):
    """Collects the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._held: list[str] = []
        self._without: list[str] = []  # open elements whose text is left out, up to their end tags
        self._mark, self._marks = "", 0  # an inline element whose text is left out, within the line; and its depth
        self._raised: int | None = None  # pieces before the open <sup>
        self._marks_note = False  # whether a link is in the <sup>, or around it and nothing else
        self._in_empty_link = self._preformatted = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._between(tag)
        if tag == "body":
            self._without.clear()
        elif tag in _BLOCKS:
            self._preformatted = tag == "pre" or (tag == "br" and self._preformatted)
            if self._without[-1:] == ["head"]:  # HTML may omit its end tag
                self._without.pop()
        if tag in _NO_TEXT and tag not in self._without:  # the end of the first also ends those inside it
            self._without.append(tag)
        if tag in _RUBY and self._mark in _READINGS:
            self._mark = ""
        if self._mark:
            self._marks += tag == self._mark
        elif tag == "del" or tag in _READINGS or any(_MARKS & set((value or "").split()) for _, value in _types(attrs)):
            self._mark, self._marks = tag, 1
        if tag == "sup":
            self._raised = len(self._held)
            self._marks_note = self._in_empty_link
        elif tag == "a":
            self._in_empty_link, self._marks_note = True, self._raised is not None

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 -- the library's
        self._between(tag)

    def handle_endtag(self, tag: str) -> None:
        self._between(tag)
        if tag in self._without:
            del self._without[self._without.index(tag) :]
        elif tag in ("body", "html"):
            self._without.clear()
        if tag == self._mark:
            self._marks -= 1
        if not self._marks or (tag == "ruby" and self._mark in _READINGS):
            self._mark = ""
        if tag == "pre":
            self._preformatted = False
        elif tag == "sup" and self._raised is not None:
            if self._marks_note and _NOTE_MARK.fullmatch("".join(self._held[self._raised :]).strip()):
                del self._held[self._raised :]
            self._raised, self._marks_note = None, False
        elif tag == "a":
            self._in_empty_link = False

    def parse_marked_section(self, i: int, report: int = 1) -> int:  # noqa: ARG002 -- the library's
        """Skip `<![...>`, which is a comment in HTML; the library fails at sections that it does not know.

        A CDATA section, as in EPUB, ends at `]]>`.
        """
        if self.rawdata.startswith("<![CDATA[", i):
            end = self.rawdata.find("]]>", i)
            return end + 3 if end >= 0 else -1
        return self.parse_bogus_comment(i)

    def handle_data(self, data: str) -> None:
        if self._without or self._mark:
            return
        if self._raised is None and not data.isspace():
            self._in_empty_link = False
        if self._preformatted:
            *ended, data = data.split("\n")
            for line in ended:
                self._held.append(line)
                self.end()
        self._held.append(data)

    def _between(self, tag: str) -> None:
        if tag in _BLOCKS or tag in _REGIONS or tag == "body":
            self.end()
        elif tag in _NO_TEXT:
            self._held.append(" ")

    def end(self) -> None:
        """Finish the current line."""
        line = " ".join("".join(self._held).split())
        self._held.clear()
        self._mark, self._raised, self._marks_note, self._in_empty_link = "", None, False, False
        if line:
            self.lines.append(line)


def _types(attrs: Iterable[tuple[str, str | None]]) -> Iterator[tuple[str, str | None]]:
    return (attribute for attribute in attrs if attribute[0] in ("epub:type", "role"))
