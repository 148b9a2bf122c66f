"""Failures of the network, whatever library of whatever version of the Hub's client raises them."""

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from lrldata.errors import DownloadError, LrlError

# Those of the Hub's client are of the library that it talks by.
TRANSPORT = {"requests", "urllib3", "httpx", "httpx2", "httpcore", "httpcore2", "h11", "h2", "anyio"}


def is_of_network(error: BaseException) -> bool:
    """Return whether an exception comes from talking to a server."""
    roots = {kind.__module__.split(".")[0] for kind in type(error).__mro__}
    return isinstance(error, ConnectionError | TimeoutError) or bool(roots & TRANSPORT)


def is_private(address: str) -> bool:
    """Return whether what is sent to an address cannot be read on the way: by https, or to this machine."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def reached(what: str, hint: str) -> Iterator[None]:
    """Turn a failure of the network into a DownloadError that names what was wanted."""
    try:
        yield
    except LrlError:
        raise
    except Exception as error:
        if not is_of_network(error):
            raise
        first = str(error).strip().split("\n")[0] or type(error).__name__
        raise DownloadError(f"{what}: {first[:200]}.", hint) from error
