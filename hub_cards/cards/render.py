"""Templates: a card's sections are the blocks of its template, in their order. IO only to read templates.

What a template shows comes from data: names of files, sources and models, sentences, addresses. All of it is escaped
(`inline`), but for what a filter or a function has made Markdown of.
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
from lrldata.output import size

WIDE = 64  # characters of a command after which the next option begins a line
_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~$])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_COMMENT = "<!--"  # of Markdown, which the markers of a card are too
_IN_ADDRESS = ":/?#[]@!$&'*+,;=%~"  # what stays; brackets, blanks and what HTML knows are written by number


def sections(template: str, **values: Any) -> dict[str, str]:
    """Render each block of a template and return the sections by name; one that comes out empty is left out.

    A name in a template that has no value is an error, not an empty place. Raises ValueError for it.
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
    """Return a style sheet of a page."""
    return files("hub_cards.cards").joinpath("templates", f"{name}.css").read_text("utf-8")


@cache
def _environment(*, markup: bool = False) -> Environment:
    environment = Environment(
        loader=PackageLoader("hub_cards.cards"),
        undefined=StrictUndefined,
        autoescape=markup,  # noqa: S701 (Markdown has its own way, `finalize`)
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
    """Return what a template is to write for a value."""
    return value if isinstance(value, int | float | Markdown | Undefined) else inline(value)


def _tidy(text: str) -> str:
    """Take out blank lines that only tags made."""
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def in_lines(words: Sequence[str]) -> Markdown:
    """Write a command for a shell, in lines that a card shows whole; they break before options."""
    lines = [""]
    for word in words:
        written = shell_word(word)
        if word.startswith("--") and len(lines[-1]) > WIDE:
            lines.append(f"  {written}")
        else:
            lines[-1] = f"{lines[-1]} {written}" if lines[-1] else written
    return Markdown(" \\\n".join(lines))


def shell_word(word: str) -> str:
    r"""Write a word for a shell; one that a card cannot show goes by number, as bash and zsh have it: $'a\x0ab'."""
    if not UNSEEN.search(word) and _COMMENT not in word:
        return shlex.quote(word)
    by_number = re.sub(r"[\\'<]", lambda found: f"\\x{ord(found[0]):02x}", word)
    return f"$'{UNSEEN.sub(_bytes, by_number)}'"


def _bytes(found: re.Match[str]) -> str:
    # A byte of a name that is not UTF-8 is half a surrogate pair to Python.
    way = "surrogateescape" if "\udc80" <= found[0] <= "\udcff" else "surrogatepass"
    return "".join(f"\\x{byte:02x}" for byte in found[0].encode("utf-8", way))


def plain(text: str) -> Markdown:
    """Return text, of which a line may consist, so that Markdown, and HTML in it, takes none of it for its own."""
    line = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", " ".join(text.split()))
    escaped = _SPECIAL.sub(r"\\\1", html.escape(line, quote=False))
    return Markdown(
        re.sub(r"^([+-]|\d+(?=[.)]))", lambda found: f"\\{found[1]}" if found[1] in "+-" else f"{found[1]}\\", escaped)
    )


def code(value: object) -> Markdown:
    """Return a name, or other text within a line, as code; as text where code would end a cell or look like a block."""
    text = visible(str(value)).replace(_COMMENT, "<! --")
    if "|" in text or "``" in text or not text.strip():
        return inline(text)
    return Markdown(f"`` {text} ``" if "`" in text else f"`{text}`")


def quoted(text: str) -> Markdown:
    """Return a text as a literal of Python."""
    literal = json.dumps(text, ensure_ascii=False).replace(_COMMENT, "\\u003c!--")
    return Markdown(UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", literal))


def address(target: str) -> Markdown:
    """Return the target of a link or the path of a picture; what would end it, or a cell, is written by number."""
    return Markdown(quote(target, safe=_IN_ADDRESS, errors="replace"))


def linked(text: object, target: str) -> Markdown:
    """Return a link on the web; the text alone where its target is something else."""
    return Markdown(f"[{inline(text)}]({address(target)})") if is_web(target) else inline(text)


def is_web(target: str) -> bool:
    """Return whether a link leads to the web, and runs nothing."""
    return target.startswith(("https://", "http://"))


def short(value: float) -> str:
    """Write a number with three figures or more: 0.0123, 4.66, 231.4."""
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"


def share(value: float) -> str:
    """Write a share in per cent."""
    if 0 < value < 0.0001:
        return Markdown("<0.01%")
    return f"{value:.1%}" if value >= 0.001 or value == 0 else f"{value:.2%}"


def interval(value: Mapping[str, float]) -> str:
    """Write a value with its confidence interval."""
    return f"{short(value['value'])} ({short(value['low'])} to {short(value['high'])})"


def ratio(value: Mapping[str, float]) -> str:
    """Write a ratio with its confidence interval: with three decimals on either side of 1."""
    return f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"


def duration(seconds: float) -> str:
    """Write a time for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
