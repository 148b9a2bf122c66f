"""Network failures, whichever library or version of the Hub's client raises them."""

import email.utils
import ipaddress
import math
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from lrldata.errors import DownloadError, LrlError, first_line

# The Hub's client raises the errors of the HTTP library that it uses.
TRANSPORT = {"requests", "urllib3", "httpx", "httpx2", "httpcore", "httpcore2", "h11", "h2", "anyio"}
LONGEST_WAIT = 3_600.0  # seconds: the longest wait before the next attempt, even if a server asks for more


def is_of_network(error: BaseException) -> bool:
    """Return whether an exception comes from communicating with a server."""
    roots = {kind.__module__.split(".")[0] for kind in type(error).__mro__}
    return isinstance(error, ConnectionError | TimeoutError) or bool(roots & TRANSPORT)


def is_private(address: str) -> bool:
    """Return whether data sent to an address cannot be read on the way: by https, or to this machine."""
    return _is_plain(address) and (urlsplit(address).scheme == "https" or is_here(address))


def is_here(address: str) -> bool:
    """Return whether an address is on this machine."""
    host = urlsplit(address).hostname or "" if _is_plain(address) else ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_plain(address: str) -> bool:
    """Return whether every parser finds the same host in an address; with a backslash, for example, they do not."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        return False
    ambiguous = re.search(r"[\\\s\x00-\x1f\x7f]", address)
    return not ambiguous and host is not None and (parts.scheme == "https" or "@" not in parts.netloc)


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds that a server asks to wait, limited to a reasonable range.

    It says so in `Retry-After`, as a number or a date, or in `RateLimit` (IETF draft), as the Hub does: with
    `"api";r=0;t=55`, no requests remain, and there are new ones in 55 seconds.
    """
    spent = re.search(r";\s*r=0\s*;\s*t=(\d+)", headers.get("RateLimit", ""))
    value = headers.get("Retry-After", "") or (str(int(spent[1]) + 1) if spent else "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError, IndexError, OverflowError, OSError):
            return 0.0
    return 0.0 if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_WAIT)


@contextmanager
def network_errors(what: str, hint: str) -> Iterator[None]:
    """Turn a network failure into a DownloadError that names what was requested."""
    try:
        yield
    except LrlError:
        raise
    except Exception as error:
        if not is_of_network(error):
            raise
        raise DownloadError(f"{what}: {first_line(error, 200)}.", hint) from error
