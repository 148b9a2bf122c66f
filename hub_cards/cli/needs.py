"""What an installation for data alone may lack."""

from collections.abc import Iterator
from contextlib import contextmanager

from lrldata.errors import UsageError


@contextmanager
def libraries() -> Iterator[None]:
    """Import what a data-only installation may lack, and say what to install where it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(f"this needs {error.name}.", "In a checkout of lrl, use `pip install '.[push]'`.") from error
