"""Templates: a card's sections are the blocks of its template, in their order. IO only to read templates."""

import html
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lrldata.show import size

WIDE = 64  # characters of a command after which the next option begins a line
_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~$])")


def sections(template: str, **values: Any) -> dict[str, str]:
    """Render each block of a template and return the sections by name; one that comes out empty is left out.

    A name in a template that has no value is an error, not an empty place.
    """
    loaded = _environment().get_template(f"{template}.md.jinja")
    sources = _environment().get_template("sources.md.jinja").module
    context = loaded.new_context({**values, "sources": sources})
    rendered = {name: _tidy("".join(block(context))) for name, block in loaded.blocks.items()}
    return {name: text for name, text in rendered.items() if text}


def page(template: str, **values: Any) -> str:
    """Render an HTML page; values are escaped."""
    return _environment(markup=True).get_template(f"{template}.html.jinja").render(**values)


@cache
def _environment(*, markup: bool = False) -> Environment:
    environment = Environment(
        loader=PackageLoader("hub_cards"),
        undefined=StrictUndefined,
        autoescape=markup,  # noqa: S701 (Markdown has its own way, `plain`)
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
        "plain": plain,
        "quoted": lambda value: json.dumps(value, ensure_ascii=False),
        "versions": lambda made: ", ".join(f"{name} {version}" for name, version in made.items()),
    }
    return environment


def _tidy(text: str) -> str:
    """Take out blank lines that only tags made."""
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def in_lines(words: Sequence[str]) -> str:
    """Write a command for a shell, in lines that a card shows whole; they break before options."""
    lines = [""]
    for word in words:
        quoted = shlex.quote(word)
        if word.startswith("--") and len(lines[-1]) > WIDE:
            lines.append(f"  {quoted}")
        else:
            lines[-1] = f"{lines[-1]} {quoted}" if lines[-1] else quoted
    return " \\\n".join(lines)


def plain(text: str) -> str:
    """Return text so that Markdown, and HTML in it, takes none of it for its own."""
    escaped = _SPECIAL.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))
    return re.sub(
        r"^([+-]|\d+(?=[.)]))", lambda found: f"\\{found[1]}" if found[1] in "+-" else f"{found[1]}\\", escaped
    )


def short(value: float) -> str:
    """Write a number with three figures or more: 0.0123, 4.66, 231.4."""
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"


def share(value: float) -> str:
    """Write a share in per cent."""
    if 0 < value < 0.0001:
        return "<0.01%"
    return f"{value:.1%}" if value >= 0.001 or value == 0 else f"{value:.2%}"


def interval(value: Mapping[str, float]) -> str:
    """Write a value with its confidence interval."""
    return f"{short(value['value'])} ({short(value['low'])} to {short(value['high'])})"


def duration(seconds: float) -> str:
    """Write a time for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
