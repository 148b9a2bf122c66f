"""What pictures need of the library that draws them, vl-convert, whose engine ends the process where it fails."""

import resource
import subprocess
import sys
from functools import cache

from lrldata.errors import StorageError
from lrldata.output import size

_TRIAL = "import vl_convert; vl_convert.vegalite_to_svg({'data': {'values': [{'a': 1}]}, 'mark': 'point'})"


def drawable(text: str) -> str:
    """Return a text for a picture, without control characters, at which the process would end."""
    return "".join(filter(str.isprintable, text))


def check_drawing() -> None:
    """Raise StorageError where a limit of this process (`ulimit -v`) leaves no room for the engine that draws.

    It reserves tens of GB of address space, though hardly any memory.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY and not _draws(most):
        raise StorageError(
            f"pictures cannot be drawn with {size(most)} of address space.",
            "Raise the limit (`ulimit -v`), or give the command where there is none.",
        )


@cache
def _draws(_limit: int) -> bool:
    """Return whether a process with the limits of this one draws; tried in another, which may end."""
    return subprocess.run([sys.executable, "-c", _TRIAL], capture_output=True, check=False).returncode == 0
