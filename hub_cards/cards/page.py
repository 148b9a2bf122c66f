"""A card as an HTML page, in the manner of the Hub, self-contained: to look at before it is published. Pure."""

import base64
import mimetypes
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from hub_cards.cards.card import read
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
_SCHEMES = {"http", "https", "mailto"}


class _Markdown(MarkdownIt):
    """Markdown without HTML, whose links lead to the web, to an address of mail, or to a place beside the page."""

    def validateLink(self, url: str) -> bool:  # noqa: N802 (the library's name)
        """Return whether a link may be one: none that runs anything, or opens what it holds itself."""
        scheme, colon, _ = re.split(r"[/?#]", url, maxsplit=1)[0].partition(":")
        return not colon or scheme.lower() in _SCHEMES


def card_page(readme: str, repository: str, kind: str, pictures: Mapping[str, bytes], files: Mapping[str, int]) -> str:
    """Return the page of a card.

    `pictures` are those that the card shows, by path; `files` the sizes in bytes of what is in the repository.
    """
    card = read(readme)
    namespace, _, name = repository.partition("/")
    chips = [(key.replace("_", " "), str(value)) for key in _CHIPS for value in _listed(card.metadata.get(key))]
    look = style("page") + HtmlFormatter(style="friendly").get_style_defs(".code")
    return page(
        "page",
        namespace=namespace,
        name=name,
        kind=kind,
        chips=chips,
        tags=map(str, _listed(card.metadata.get("tags"))),
        body=_as_html(card.body, pictures),
        files=sorted(files.items()),
        style=look,
        policy=policy(look),
    )


def _as_html(text: str, pictures: Mapping[str, bytes]) -> str:
    markdown = _Markdown("commonmark", {"highlight": _coloured, "html": False}).enable("table")
    tokens = markdown.parse(re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL))
    for before, token in pairwise(tokens):
        if before.type == "heading_open":
            before.attrSet("id", re.sub(r"[^\w-]", "", token.content.lower().replace(" ", "-")))
    for token in tokens:
        side = str(token.attrs.pop("style", ""))  # of a cell, as text-align:right, which the page's policy would refuse
        if side:
            token.attrSet("class", side.partition(":")[2])
        for each in token.children or ():
            if each.type == "image":
                _inline_picture(each, pictures)
    return str(markdown.renderer.render(tokens, markdown.options, {}))


def _inline_picture(token: Token, pictures: Mapping[str, bytes]) -> None:
    """Put a picture into the page; of one that is not at hand, its words are shown."""
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
    return f'<pre class="code">{highlight(code, lexer, HtmlFormatter(nowrap=True))}</pre>'


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
