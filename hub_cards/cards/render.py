"""Templates: a card's sections are the blocks of its template, in order. IO only to read templates.

The values that a template shows come from data: names of files, sources and models, sentences, addresses. All of them
are escaped (`inline`), except those that a filter or a function has already turned into Markdown.
"""

import html
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, Undefined, UndefinedError

from lrldata.card import UNSEEN, Markdown, inline, visible
from lrldata.output import percentage, size

INPUTS_LISTED = 50  # input files on a card; the hashes of more are in the manifest
WIDE = 64  # characters of a command line after which the next option starts a new line
_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~$])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_COMMENT = "<!--"  # begins a comment in Markdown; a card's markers are comments
_IN_ADDRESS = ":/?#[]@!$&'*+,;=%~"  # not percent-encoded, unlike parentheses, spaces and HTML's special characters


def sections(template: str, **values: Any) -> dict[str, str]:
    """Render each block of a template and return the sections by name, without empty ones.

    Raises ValueError if a name in the template has no value.
    """
    loaded = _environment().get_template(f"{template}.md.jinja")
    sources = _environment().get_template("sources.md.jinja").module
    context = loaded.new_context({**values, "sources": sources})
    try:
        rendered = {name: _tidy("".join(block(context))) for name, block in loaded.blocks.items()}
    except UndefinedError as error:
        raise ValueError(f"{template}: {error.message}") from error
    return {name: text for name, text in rendered.items() if text}


def page(template: str, **values: Any) -> str:
    """Render an HTML page; values are escaped."""
    return _environment(markup=True).get_template(f"{template}.html.jinja").render(**values)


def style(name: str) -> str:
    """Return the style sheet of a page."""
    return files("hub_cards.cards").joinpath("templates", f"{name}.css").read_text("utf-8")


@cache
def _environment(*, markup: bool = False) -> Environment:
    environment = Environment(
        loader=PackageLoader("hub_cards.cards"),
        undefined=StrictUndefined,
        autoescape=markup,  # noqa: S701 (Markdown is escaped by `finalize`)
        finalize=None if markup else _escaped,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "count": lambda value: f"{value:,}",
        "short": short,
        "share": share,
        "size": size,
        "duration": duration,
        "interval": interval,
        "ratio": ratio,
        "address": address,
        "code": code,
        "linked": linked,
        "markdown": Markdown,
        "plain": plain,
        "quoted": quoted,
        "versions": lambda made: ", ".join(f"{name} {version}" for name, version in made.items()),
        "visible": visible,
    }
    return environment


def _escaped(value: Any) -> Any:
    """Return a value as a template writes it: escaped, unless it is a number or Markdown."""
    return value if isinstance(value, int | float | Markdown | Undefined) else inline(value)


def _tidy(text: str) -> str:
    """Remove the blank lines that template tags left."""
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def in_lines(words: Sequence[str]) -> Markdown:
    """Return a shell command, broken before options into lines that fit on a card."""
    lines = [""]
    for word in words:
        quoted_word = shell_word(word)
        if word.startswith("--") and len(lines[-1]) > WIDE:
            lines.append(f"  {quoted_word}")
        else:
            lines[-1] = f"{lines[-1]} {quoted_word}" if lines[-1] else quoted_word
    return Markdown(" \\\n".join(lines))


def shell_word(word: str) -> str:
    r"""Quote a word for a shell. Characters that a card cannot show are escaped for bash and zsh: $'a\x0ab'."""
    if not UNSEEN.search(word) and _COMMENT not in word:
        return shlex.quote(word)
    escaped = re.sub(r"[\\'<]", lambda match: f"\\x{ord(match[0]):02x}", word)
    return f"$'{UNSEEN.sub(_bytes, escaped)}'"


def _bytes(match: re.Match[str]) -> str:
    # Python represents a byte that is not UTF-8 in a name as half a surrogate pair.
    error_handler = "surrogateescape" if "\udc80" <= match[0] <= "\udcff" else "surrogatepass"
    return "".join(f"\\x{byte:02x}" for byte in match[0].encode("utf-8", error_handler))


def plain(text: str) -> Markdown:
    """Return text that may form a whole line, with all Markdown and HTML syntax in it escaped."""
    line = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", " ".join(text.split()))
    escaped = _SPECIAL.sub(r"\\\1", html.escape(line, quote=False))
    return Markdown(
        re.sub(r"^([+-]|\d+(?=[.)]))", lambda match: f"\\{match[1]}" if match[1] in "+-" else f"{match[1]}\\", escaped)
    )


def code(value: object) -> Markdown:
    """Return text within a line as code, or as plain text if the code would end a table cell or look like a block."""
    text = visible(str(value)).replace(_COMMENT, "<! --")
    if "|" in text or "``" in text or not text.strip():
        return inline(text)
    return Markdown(f"`` {text} ``" if "`" in text else f"`{text}`")


def quoted(text: str) -> Markdown:
    """Return text as a Python string literal."""
    literal = json.dumps(text, ensure_ascii=False).replace(_COMMENT, "\\u003c!--")
    return Markdown(UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", literal))


def address(target: str) -> Markdown:
    """Return a link target or image path; characters that would end it or a table cell are percent-encoded."""
    return Markdown(quote(target, safe=_IN_ADDRESS, errors="replace"))


def linked(text: object, target: str) -> Markdown:
    """Return a link to the web, or only the text if the target is not on the web."""
    return Markdown(f"[{inline(text)}]({address(target)})") if is_web(target) else inline(text)


def is_web(target: str) -> bool:
    """Return whether a link target is a web address, so that it cannot run code."""
    return target.startswith(("https://", "http://"))


def short(value: float) -> str:
    """Format a number with three or more significant figures: 0.0123, 4.66, 231.4."""
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"


def share(value: float) -> str:
    """Format a share as a percentage. Markdown, because `<` must not be escaped."""
    return Markdown(percentage(value))


def interval(value: Mapping[str, float]) -> str:
    """Format a value with its confidence interval."""
    return f"{short(value['value'])} ({short(value['low'])} to {short(value['high'])})"


def ratio(value: Mapping[str, float]) -> str:
    """Format a ratio with its confidence interval, to three decimal places."""
    return f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"


def duration(seconds: float) -> str:
    """Format a duration for people: seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
