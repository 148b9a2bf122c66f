"""A card as a self-contained HTML page in the style of the Hub, to preview before publication. Pure."""

import base64
import mimetypes
import re
from collections.abc import Mapping
from itertools import pairwise
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from hub_cards.cards.card import as_list, read
from hub_cards.cards.render import page, style
from lrldata.report.html import policy

_CHIPS = (
    "license",
    "language",
    "pipeline_tag",
    "task_categories",
    "size_categories",
    "library_name",
    "base_model",
    "datasets",
)
CODE_STYLE = "xcode"  # each of its colours has a contrast of at least 4.5 to the background (WCAG 2.2, 1.4.3)
_SCHEMES = {"http", "https", "mailto"}


class _Markdown(MarkdownIt):
    """Markdown without HTML, whose links are web addresses, e-mail addresses or relative paths."""

    def validateLink(self, url: str) -> bool:  # noqa: N802 (the library's name)
        """Return whether a link is allowed. Links that run code or embed their content are not."""
        scheme, colon, _ = re.split(r"[/?#]", url, maxsplit=1)[0].partition(":")
        return not colon or scheme.lower() in _SCHEMES


def card_page(readme: str, repository: str, kind: str, pictures: Mapping[str, bytes], files: Mapping[str, int]) -> str:
    """Return the page of a card.

    `pictures` has the images that the card shows, by path, and `files` the sizes in bytes of the repository's files.
    """
    card = read(readme)
    namespace, _, name = repository.partition("/")
    chips = [(key.replace("_", " "), str(value)) for key in _CHIPS for value in as_list(card.metadata.get(key))]
    styles = style("page") + HtmlFormatter(style=CODE_STYLE).get_style_defs(".code")
    return page(
        "page",
        namespace=namespace,
        name=name,
        kind=kind,
        chips=chips,
        tags=map(str, as_list(card.metadata.get("tags"))),
        body=_as_html(card.body, pictures),
        files=sorted(files.items()),
        style=styles,
        policy=policy(styles),
    )


def _as_html(text: str, pictures: Mapping[str, bytes]) -> str:
    markdown = _Markdown("commonmark", {"highlight": _coloured, "html": False}).enable("table")
    tokens = markdown.parse(re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL))
    for previous, token in pairwise(tokens):
        if previous.type == "heading_open":
            previous.attrSet("id", re.sub(r"[^\w-]", "", token.content.lower().replace(" ", "-")))
    for token in tokens:
        alignment = str(token.attrs.pop("style", ""))  # e.g. text-align:right of a cell; the page's policy blocks it
        if alignment:
            token.attrSet("class", alignment.partition(":")[2])
        for child in token.children or ():
            if child.type == "image":
                _inline_picture(child, pictures)
    return str(markdown.renderer.render(tokens, markdown.options, {}))


def _inline_picture(token: Token, pictures: Mapping[str, bytes]) -> None:
    """Embed a picture into the page. If it is not available, show its alternative text."""
    path = unquote(str(token.attrs.get("src", "")))
    if path not in pictures:
        token.type, token.tag = "text", ""
        return
    kind = mimetypes.guess_type(path)[0] or "image/png"
    token.attrSet("src", f"data:{kind};base64,{base64.b64encode(pictures[path]).decode()}")


def _coloured(code: str, language: str, _attributes: str) -> str:
    try:
        lexer = get_lexer_by_name(language or "text")
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    return f'<pre class="code" tabindex="0">{highlight(code, lexer, HtmlFormatter(nowrap=True))}</pre>'
