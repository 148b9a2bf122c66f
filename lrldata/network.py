"""Failures of the network, whatever library of whatever version of the Hub's client raises them."""

import email.utils
import ipaddress
import math
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from lrldata.errors import DownloadError, LrlError, first_line

# Those of the Hub's client are of the library that it talks by.
TRANSPORT = {"requests", "urllib3", "httpx", "httpx2", "httpcore", "httpcore2", "h11", "h2", "anyio"}
LONGEST_WAIT = 3_600.0  # seconds that a server may ask to wait for; later it is asked again


def is_of_network(error: BaseException) -> bool:
    """Return whether an exception comes from talking to a server."""
    roots = {kind.__module__.split(".")[0] for kind in type(error).__mro__}
    return isinstance(error, ConnectionError | TimeoutError) or bool(roots & TRANSPORT)


def is_private(address: str) -> bool:
    """Return whether what is sent to an address cannot be read on the way: by https, or to this machine."""
    return _is_plain(address) and (urlsplit(address).scheme == "https" or is_here(address))


def is_here(address: str) -> bool:
    """Return whether an address is one of this machine."""
    host = urlsplit(address).hostname or "" if _is_plain(address) else ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_plain(address: str) -> bool:
    """Return whether all who read an address find the same host in it: of a backslash they do not."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        return False
    odd = re.search(r"[\\\s\x00-\x1f\x7f]", address)
    return not odd and host is not None and (parts.scheme == "https" or "@" not in parts.netloc)


def retry_after(headers: Mapping[str, str]) -> float:
    """Return how long a server asks to wait, in seconds: a number, or a date; within bounds, whatever it says."""
    given = headers.get("Retry-After", "")
    try:
        seconds = float(given)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(given).timestamp() - time.time()
        except (TypeError, ValueError, IndexError, OverflowError, OSError):
            return 0.0
    return 0.0 if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_WAIT)


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
        raise DownloadError(f"{what}: {first_line(error, 200)}.", hint) from error
