"""What pictures need of the library that draws them, vl-convert, whose engine ends the process where it fails."""

import resource
import subprocess
import sys
from functools import cache
from pathlib import Path

from lrldata.errors import StorageError
from lrldata.output import size

_TRIAL = (
    "import resource, sys; most = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_AS, (most, most));"
    "import vl_convert; vl_convert.vegalite_to_svg({'data': {'values': [{'a': 1}]}, 'mark': 'point'})"
)


def drawable(text: str) -> str:
    """Return a text for a picture, without control characters, at which the process would end."""
    return "".join(filter(str.isprintable, text))


def check_drawing() -> None:
    """Raise StorageError where a limit of this process (`ulimit -v`) leaves no room for the engine that draws.

    It reserves tens of GB of address space, though hardly any memory.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY and not _draws():
        raise StorageError(
            f"pictures cannot be drawn with {size(most)} of address space.",
            "Raise the limit (`ulimit -v`), or give the command where there is none.",
        )


@cache  # as once it has drawn, a process has what it needs
def _draws() -> bool:
    """Return whether what the limit leaves to this process is enough; tried in another one, which may end."""
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = Path("/proc/self/statm")
    taken = int(pages.read_text().split()[0]) * resource.getpagesize() if pages.is_file() else 0
    trial = [sys.executable, "-c", _TRIAL, str(max(most - taken, 1 << 28))]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0
