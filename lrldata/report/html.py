"""What reports share as HTML: templates that escape, a style, and a policy that lets nothing in. Pure."""

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from lrldata.output import size
from lrldata.report import chart

HOME = "lrldata.report"
STYLE = "base.css"  # what all reports look like


@cache
def asset(name: str, package: str = HOME) -> str:
    """Return the text of a style or a script of a package."""
    return files(package).joinpath(name).read_text("utf-8")


def policy(style: str, script: str = "") -> str:
    """Return a Content-Security-Policy: nothing is loaded, and no script or style runs but the page's own."""
    style_hash, script_hash = (b64encode(sha256(text.encode()).digest()).decode() for text in (style, script))
    scripts = f" script-src 'sha256-{script_hash}';" if script else ""
    return (
        f"default-src 'none'; style-src 'sha256-{style_hash}';{scripts} img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def environment(package: str = HOME) -> Environment:
    """Return the templates of a package, which may use those of the report of a dataset."""
    loaders: list[BaseLoader] = [PackageLoader(each, ".") for each in dict.fromkeys((package, HOME))]
    made = Environment(
        loader=ChoiceLoader(loaders),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "breakable": lambda name: escape(name).replace("_", Markup("_<wbr>")),
        "count": lambda value: f"{value:,}",
        "number": chart.number,
        "share": share,
        "size": size,
    }
    made.globals |= {
        "histogram": chart.histogram,
        "segments": chart.segments,
        "share": share,
        "would_go": chart.would_go,
    }
    return made


def share(part: int, whole: int) -> str:
    """Write a part of a whole in per cent."""
    value = part / whole if whole else 0.0
    if 0 < value < 0.0001:
        return "<0.01%"
    return f"{value:.1%}" if value >= 0.001 or value == 0 else f"{value:.2%}"
