"""The version of this package that datasets and studies record. IO.

Development versions have the same number for weeks, while rules change. A hash of the code tells them apart, so that a
dataset built by an earlier one is built again.
"""

from functools import cache
from hashlib import sha256
from pathlib import Path

from lrldata import __version__

DIGITS = 8
_NOT_HASHED = ("cli", "report", "__pycache__")  # folders without code or data that shapes rows


@cache
def code_version() -> str:
    """Return the version of the package; for a development version with a hash of its code: 0.3.0.dev0+1a2b3c4d."""
    return __version__ if ".dev" not in __version__ else f"{__version__}+{code_hash(Path(__file__).parent)}"


def code_hash(folder: Path) -> str:
    """Return a hash of the names and contents of all files of a package that can shape the rows of a dataset."""
    digest = sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part in _NOT_HASHED or part.startswith(".") for part in name.parts):
            digest.update(f"{name.as_posix()}\0".encode() + sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:DIGITS]
