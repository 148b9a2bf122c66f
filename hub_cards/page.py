"""A card as an HTML page, in the manner of the Hub, self-contained: to look at before it is published. Pure."""

import base64
import mimetypes
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from hub_cards.card import read
from hub_cards.render import page

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


def card_page(readme: str, repository: str, kind: str, pictures: Mapping[str, bytes], files: Mapping[str, int]) -> str:
    """Return the page of a card.

    `pictures` are those that the card shows, by path; `files` the sizes in bytes of what is in the repository.
    """
    card = read(readme)
    namespace, _, name = repository.partition("/")
    chips = [(key.replace("_", " "), str(value)) for key in _CHIPS for value in _listed(card.metadata.get(key))]
    return page(
        "page",
        namespace=namespace,
        name=name,
        kind=kind,
        chips=chips,
        tags=_listed(card.metadata.get("tags")),
        body=_as_html(card.body, pictures),
        files=sorted(files.items()),
        style=HtmlFormatter(style="friendly").get_style_defs(".code"),
    )


def _as_html(text: str, pictures: Mapping[str, bytes]) -> str:
    markdown = MarkdownIt("commonmark", {"highlight": _coloured, "html": False}).enable("table")
    tokens = markdown.parse(re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL))
    for before, token in pairwise(tokens):
        if before.type == "heading_open":
            before.attrSet("id", re.sub(r"[^\w-]", "", token.content.lower().replace(" ", "-")))
    html = str(markdown.renderer.render(tokens, markdown.options, {}))
    return re.sub(r'(<img src=")([^":]+)(")', lambda found: found[1] + _inlined(found[2], pictures) + found[3], html)


def _coloured(code: str, language: str, _attributes: str) -> str:
    try:
        lexer = get_lexer_by_name(language or "text")
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    return f'<pre class="code">{highlight(code, lexer, HtmlFormatter(nowrap=True))}</pre>'


def _inlined(path: str, pictures: Mapping[str, bytes]) -> str:
    if path not in pictures:
        return path
    kind = mimetypes.guess_type(path)[0] or "image/png"
    return f"data:{kind};base64,{base64.b64encode(pictures[path]).decode()}"


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
