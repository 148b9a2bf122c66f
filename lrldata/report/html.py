"""The HTML that reports share: templates that escape, a style, and a policy that loads nothing. Pure."""

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from lrldata.output import percentage, size
from lrldata.report import chart

HOME = "lrldata.report"
STYLE = "base.css"  # of all reports


@cache
def asset(name: str, package: str = HOME) -> str:
    """Return the text of a style sheet or script in a package."""
    return files(package).joinpath(name).read_text("utf-8")


def policy(style: str, script: str = "") -> str:
    """Return a Content-Security-Policy that loads nothing and allows only the page's own script and style."""
    style_hash, script_hash = (b64encode(sha256(text.encode()).digest()).decode() for text in (style, script))
    scripts = f" script-src 'sha256-{script_hash}';" if script else ""
    return (
        f"default-src 'none'; style-src 'sha256-{style_hash}';{scripts} img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def environment(package: str = HOME) -> Environment:
    """Return the templates of a package, which can include those of the dataset report."""
    loaders: list[BaseLoader] = [PackageLoader(name, ".") for name in dict.fromkeys((package, HOME))]
    templates = Environment(
        loader=ChoiceLoader(loaders),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {
        "breakable": lambda name: escape(name).replace("_", Markup("_<wbr>")),
        "count": lambda value: f"{value:,}",
        "number": chart.number,
        "share": share,
        "size": size,
    }
    templates.globals |= {
        "histogram": chart.histogram,
        "segments": chart.segments,
        "share": share,
        "would_go": chart.would_go,
    }
    return templates


def share(part: int, whole: int) -> str:
    """Format a part of a whole as a percentage."""
    return percentage(part / whole if whole else 0.0)
