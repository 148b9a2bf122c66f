"""Wait for a Hub that is busy, cannot be reached or has moved on, and try again, within limits."""

import http.client
import json
import math
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from lrldata.errors import LrlError, PublishError, one_line
from lrldata.network import TRANSPORT, retry_after
from lrldata.output import note, redact

T = TypeVar("T")
# 409 and 412: somebody else has written in between, so that the tip has to be read again.
_PASSING = {408, 409, 412, 423, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524}
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
TELLING = 4.0  # seconds of waiting from which on it is said
# What does not pass, though it comes from the transport: no network by choice, or an address that is none.
_PERMANENT = {"OfflineModeIsEnabled", "SSLError", "MissingSchema", "InvalidSchema", "InvalidURL", "UnsupportedProtocol"}


@dataclass(frozen=True)
class Patience:
    """How long to wait in all for one thing to come right, in seconds; `unreached`, for a Hub that does not answer."""

    seconds: float = 300.0
    unreached: float = math.inf

    def retry_until_done(self, what: str, step: Callable[[], T | None]) -> T:
        """Call `step` until it returns something; it is called again after an error that passes by itself.

        `step` begins with a look at how things are, so that an answer that was lost does no harm. Raises PublishError
        for errors that do not pass, and when patience is at its end.
        """
        waited, pause = 0.0, FIRST_PAUSE
        while True:
            try:
                result = step()
            except LrlError:
                raise
            except Exception as error:
                if not is_of_hub(error):
                    raise
                if not is_transient(error):
                    raise PublishError(f"{what}: {describe(error)}", hint(error)) from error
                wait = max(pause, _asked_to_wait(error))
                most = self.seconds if status_of(error) else min(self.seconds, self.unreached)
                if waited + wait > most:
                    asks = f", as it asks for {wait:.0f} s more" if _asked_to_wait(error) > pause else ""
                    told = f"{what}: {describe(error)} Gave up after {waited:.0f} s of waiting{asks}."
                    kept = "What is published stays. Give the same command again later, or a longer --patience."
                    out = f"Nothing was sent. {hint(error)}" if most < self.seconds else kept
                    raise PublishError(told, out) from error
                if wait >= TELLING:
                    note(f"warning: {what}: {describe(error)} Trying again in {wait:.0f} s.")
                time.sleep(wait)
                waited, pause = waited + wait, min(2 * pause, LONGEST_PAUSE)
                continue
            if result is not None:
                return result


def is_of_hub(error: BaseException) -> bool:
    """Return whether an error comes from the Hub or the way to it, and not from this program or this machine."""
    if isinstance(error, OSError) and error.filename:
        return False
    frames = [frame for each in _chain(error) for frame, _ in traceback.walk_tb(each.__traceback__)]
    names = {str(frame.f_globals.get("__name__")) for frame in frames}
    talks = "hub_cards.publish.hub" in names or {name.split(".")[0] for name in names} & {*TRANSPORT, "huggingface_hub"}
    return bool(talks) or status_of(error) is not None or is_transient(error)


def is_transient(error: BaseException) -> bool:
    """Return whether an error is one that may be gone the next time."""
    status = status_of(error)
    if status is not None:
        return status in _PASSING
    if _lasting(error):
        return False
    for each in _chain(error):
        if isinstance(each, ConnectionError | TimeoutError | http.client.HTTPException | json.JSONDecodeError):
            return True
        if type(each).__module__.split(".")[0] in TRANSPORT:
            return True
        if isinstance(each, OSError) and "Consistency check failed" in str(each):  # a download that was cut
            return True
    return False


def _lasting(error: BaseException) -> str | None:
    """Return the name of an error that does not pass; of certificates, and of ports that speak no TLS, too."""
    names = (type(each).__name__ for each in _chain(error))
    told = " ".join(map(str, _chain(error)))
    return next((name for name in names if name in _PERMANENT), "SSL" if "[SSL" in told or "SSL:" in told else None)


def status_of(error: BaseException) -> int | None:
    """Return the status of the answer that an error, or one of its causes, is about; None without an answer."""
    for each in _chain(error):
        response = getattr(each, "response", None)
        status = getattr(response, "status_code", None)
        if isinstance(status, int):
            return status
    return None


def describe(error: BaseException) -> str:
    """Say in one line what the Hub answered, or why there was no answer."""
    status = status_of(error)
    message = next((str(text) for each in _chain(error) if (text := getattr(each, "server_message", None))), "")
    if status is not None:
        told = redact(" ".join(message.split()))
        return f"the Hub answered {status}{f' ({told})' if told else ''}."
    if isinstance(error, ValueError) and type(error).__module__.startswith("huggingface_hub"):
        return redact(one_line(error))
    if name := _lasting(error):
        return f"the Hub cannot be reached at all ({name})."
    if any(isinstance(each, socket.gaierror) for each in _chain(error)):
        return "the Hub's address does not resolve: is there a network?"
    last = list(_chain(error))[-1]
    return f"the Hub gave no answer that can be read ({type(last).__name__})."


def hint(error: BaseException) -> str:
    """Say what can be done about an answer."""
    if status_of(error) is None:
        return "Check --endpoint or HF_ENDPOINT, and that HF_HUB_OFFLINE is not set; --debug shows all of it."
    return {
        401: "The token is not valid, or has ended: `hf auth login` sets another.",
        403: "The token may not do this: check its role, its organisations and, if fine-grained, its repositories.",
        404: "Check --namespace and --endpoint.",
    }.get(status_of(error) or 0, "Run with --debug to see all of it.")


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__


def _asked_to_wait(error: BaseException) -> float:
    headers = (getattr(getattr(each, "response", None), "headers", None) for each in _chain(error))
    return max((retry_after(found) for found in headers if found), default=0.0)
