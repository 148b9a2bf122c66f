"""Precautions for vl-convert, the library that draws pictures: its engine ends the process when it fails."""

import resource
import subprocess
import sys
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

from lrldata.errors import StorageError
from lrldata.output import size

_TRIAL = (
    "import resource, sys; most = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_AS, (most, most));"
    "import vl_convert; vl_convert.vegalite_to_svg({'data': {'values': [{'a': 1}]}, 'mark': 'point'})"
)


def drawable(text: str) -> str:
    """Return a text without control characters, which would make the drawing engine end the process."""
    return "".join(filter(str.isprintable, text))


def altair_theme(name: str = "default") -> AbstractContextManager[Any]:
    """Return a context in which Altair draws with a theme; a session may have enabled another one."""
    import altair as alt  # noqa: PLC0415 -- optional for a fit, as is its renderer

    themes = alt.theme if hasattr(getattr(alt, "theme", None), "enable") else alt.themes  # before Altair 5.5
    context: AbstractContextManager[Any] = themes.enable(name)
    return context


def specification_of(chart: Any) -> dict[str, Any]:
    """Return an Altair chart in Vega-Lite, in Altair's default theme.

    It is not validated, and not drawn by Altair, which validates it again: both take several times as long as drawing.
    """
    import altair as alt  # noqa: PLC0415 -- optional for a fit

    with altair_theme(), alt.data_transformers.enable("default", max_rows=None):
        specification: dict[str, Any] = chart.to_dict(validate=False)
    return specification


def svg_of(specification: dict[str, Any]) -> str:
    """Draw a Vega-Lite specification as SVG. Raises StorageError."""
    import vl_convert  # noqa: PLC0415 -- optional for a fit

    check_drawing()
    svg: str = vl_convert.vegalite_to_svg(specification, vl_version=_vega_lite_version())
    return svg


def png_of(chart: Any) -> bytes:
    """Return an Altair chart as a PNG. Raises StorageError."""
    import vl_convert  # noqa: PLC0415 -- optional for a fit

    check_drawing()
    png: bytes = vl_convert.vegalite_to_png(specification_of(chart), vl_version=_vega_lite_version(), scale=2)
    return png


def _vega_lite_version() -> str:
    """Return the version of Vega-Lite that Altair writes, as in v5_20."""
    import altair as alt  # noqa: PLC0415 -- optional for a fit

    return "_".join(alt.SCHEMA_VERSION.split(".")[:2])


def check_drawing() -> None:
    """Raise StorageError if this process's limit (`ulimit -v`) leaves too little room for the drawing engine.

    The engine reserves tens of GB of address space, though it uses hardly any memory.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and not _can_draw():
        raise StorageError(
            f"pictures cannot be drawn with {size(limit)} of address space.",
            "Raise the limit (`ulimit -v`), or run the command where there is no limit.",
        )


@cache  # once it has drawn, the process has reserved what it needs
def _can_draw() -> bool:
    """Return whether the address space that is left is enough, by drawing in a subprocess, which may end."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    statm = Path("/proc/self/statm")
    used = int(statm.read_text().split()[0]) * resource.getpagesize() if statm.is_file() else 0
    trial = [sys.executable, "-c", _TRIAL, str(max(limit - used, 1 << 28))]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0
