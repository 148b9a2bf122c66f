"""Libraries that an installation without the extra `push` may lack."""

from collections.abc import Iterator
from contextlib import contextmanager

from lrldata.errors import UsageError


@contextmanager
def libraries() -> Iterator[None]:
    """Report a library whose import fails inside the block, and say how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(f"this needs {error.name}.", "In a checkout of lrl, use `pip install '.[push]'`.") from error
