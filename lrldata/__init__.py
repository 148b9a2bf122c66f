"""Datasets for low-resource languages: ConceptNet facts as sentences and cleaned web text, versioned for the Hub.

    import lrldata
    dataset = lrldata.build("ro", source="conceptnet", sample=True)
    dataset.path, dataset.version, dataset.rows, dataset.ledger, dataset.load()

Public names are imported on first use, so `import lrldata` itself is nearly instant.
"""

import sys
from typing import TYPE_CHECKING, Any

if sys.platform == "win32":
    raise ImportError("lrl runs on Linux and macOS. On Windows, install it in WSL (`wsl --install`).")

from lrldata import forks as _forks  # noqa: F401 -- registers its fork hooks

__version__ = "0.3.0.dev0"

if TYPE_CHECKING:
    from lrldata.api import build, explain, find_language, identify, languages, open_dataset
    from lrldata.errors import LrlError
    from lrldata.workspace import Dataset, Workspace, open_workspace

__all__ = [
    "Dataset",
    "LrlError",
    "Workspace",
    "__version__",
    "build",
    "explain",
    "find_language",
    "identify",
    "languages",
    "open_dataset",
    "open_workspace",
]

_MODULES = {
    "Dataset": "lrldata.workspace",
    "LrlError": "lrldata.errors",
    "Workspace": "lrldata.workspace",
    "open_workspace": "lrldata.workspace",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first access."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    value = globals()[name] = getattr(import_module(_MODULES.get(name, "lrldata.api")), name)
    return value


def __dir__() -> list[str]:
    return __all__
