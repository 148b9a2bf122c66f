"""Imports of what is large, or may be missing."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


@contextmanager
def many_imports(extra: str | None = None) -> Iterator[None]:
    """Look for no garbage while much is imported, which is a third quicker.

    In a process of our own nor later in what there is by then, as it stays; not where an `extra` is named, as Python
    functions do: in a session it is the user's. Where a library is missing, the error names the extra that brings it.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    except ModuleNotFoundError as error:
        if extra is None:
            raise
        package = (error.name or "a library").partition(".")[0]
        told = f"This needs {package}. In a checkout of lrl, use `pip install '.[{extra}]'`."
        raise ModuleNotFoundError(told, name=error.name) from error
    finally:
        if extra is None:
            gc.freeze()
        if enabled:
            gc.enable()


def imported(name: str, module: str, extra: str) -> Any:
    """Return what the API of a package names, from its module, which may want the libraries of an extra."""
    with many_imports(extra):
        return getattr(import_module(module), name)
