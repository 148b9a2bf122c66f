"""Imports of what is large."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def many_imports() -> Iterator[None]:
    """Look for no garbage while much is imported, nor later in what was: it stays, and that is a third quicker."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
