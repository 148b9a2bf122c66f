"""Retry requests, within limits, while the Hub is busy or unreachable or has changed in the meantime."""

import http.client
import json
import math
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from lrldata.errors import LrlError, PublishError, is_full, one_line
from lrldata.network import TRANSPORT, retry_after
from lrldata.output import redact, warn

T = TypeVar("T")
# 409 and 412: somebody else has written in the meantime, so the tip has to be read again.
_TRANSIENT = {408, 409, 412, 423, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524}
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
TELLING = 4.0  # seconds; longer waits are announced
# Transport errors that retrying does not fix: offline by choice, or an invalid address.
_PERMANENT = {"OfflineModeIsEnabled", "SSLError", "MissingSchema", "InvalidSchema", "InvalidURL", "UnsupportedProtocol"}


@dataclass(frozen=True)
class Patience:
    """The total time to wait for one step, in seconds; `unreached` is the limit for a Hub that does not respond."""

    seconds: float = 300.0
    unreached: float = math.inf

    def retry_until_done(self, what: str, step: Callable[[], T | None]) -> T:
        """Call `step` until it returns a value other than None; after a transient error, wait and call it again.

        `step` has to start by reading the current state, so that a lost response does no harm. Raises PublishError for
        permanent errors, and when the time limit is reached.
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
                wait = max(pause, _requested_delay(error))
                limit = self.seconds if status_of(error) else min(self.seconds, self.unreached)
                if waited + wait > limit:
                    request = f", since it asks for {wait:.0f} s more" if _requested_delay(error) > pause else ""
                    message = f"{what}: {describe(error)} Gave up after {waited:.0f} s of waiting{request}."
                    retry_hint = "Published changes are kept. Repeat the command later, or with a longer --patience."
                    message_hint = f"Nothing was sent. {hint(error)}" if limit < self.seconds else retry_hint
                    raise PublishError(message, message_hint) from error
                if wait >= TELLING:
                    warn(f"{what}: {describe(error)} Trying again in {wait:.0f} s.")
                time.sleep(wait)
                waited, pause = waited + wait, min(2 * pause, LONGEST_PAUSE)
                continue
            if result is not None:
                return result


def is_of_hub(error: BaseException) -> bool:
    """Return whether an error comes from the Hub or the connection to it, not from this program or machine."""
    is_from_here = isinstance(error, OSError) and error.filename
    if is_from_here or (status_of(error) is None and any(map(is_full, _chain(error)))):
        return False
    frames = [frame for cause in _chain(error) for frame, _ in traceback.walk_tb(cause.__traceback__)]
    names = {str(frame.f_globals.get("__name__")) for frame in frames}
    from_client = "hub_cards.publish.hub" in names or {name.split(".")[0] for name in names} & {
        *TRANSPORT,
        "huggingface_hub",
    }
    return bool(from_client) or status_of(error) is not None or is_transient(error)


def is_transient(error: BaseException) -> bool:
    """Return whether a retry may fix an error."""
    status = status_of(error)
    if status is not None:
        return status in _TRANSIENT
    if _permanent_cause(error):
        return False
    for cause in _chain(error):
        if isinstance(cause, ConnectionError | TimeoutError | http.client.HTTPException | json.JSONDecodeError):
            return True
        if type(cause).__module__.split(".")[0] in TRANSPORT:
            return True
        if isinstance(cause, OSError) and "Consistency check failed" in str(cause):  # a truncated download
            return True
    return False


def _permanent_cause(error: BaseException) -> str | None:
    """Return the name of a permanent error in the chain, including certificate and TLS errors, or None."""
    names = (type(cause).__name__ for cause in _chain(error))
    text = " ".join(map(str, _chain(error)))
    return next((name for name in names if name in _PERMANENT), "SSL" if "[SSL" in text or "SSL:" in text else None)


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status attached to an error or one of its causes; None without a response."""
    for cause in _chain(error):
        response = getattr(cause, "response", None)
        status = getattr(response, "status_code", None)
        if isinstance(status, int):
            return status
    return None


def describe(error: BaseException) -> str:
    """Describe in one line the response of the Hub, or why there was none."""
    status = status_of(error)
    message = next((str(text) for cause in _chain(error) if (text := getattr(cause, "server_message", None))), "")
    if status is not None:
        detail = redact(" ".join(message.split()))
        return f"the Hub answered {status}{f' ({detail})' if detail else ''}."
    if isinstance(error, ValueError) and _raised_by_client(error):
        return f"{redact(one_line(error, 300))}."
    if name := _permanent_cause(error):
        return f"the Hub cannot be reached ({name})."
    if any(isinstance(cause, socket.gaierror) for cause in _chain(error)):
        return "the Hub's address does not resolve. Check the network connection."
    last = list(_chain(error))[-1]
    return f"the Hub sent no readable response ({type(last).__name__})."


def _raised_by_client(error: BaseException) -> bool:
    """Return whether huggingface_hub itself raised an error, as for a refused upload, and not a library it uses."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and str(frames[-1].f_globals.get("__name__")).startswith("huggingface_hub")


def hint(error: BaseException) -> str:
    """Return a hint on how to fix an error."""
    if status_of(error) is None:
        return "Check --endpoint or HF_ENDPOINT, and that HF_HUB_OFFLINE is not set; --debug shows details."
    return {
        401: "The token is invalid or has expired. Set a new one with `hf auth login`.",
        403: "The token lacks permission. Check its role, its organisations and, if fine-grained, its repositories.",
        404: "Check --namespace and --endpoint.",
    }.get(status_of(error) or 0, "Run with --debug for details.")


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _requested_delay(error: BaseException) -> float:
    headers = (getattr(getattr(cause, "response", None), "headers", None) for cause in _chain(error))
    return max((retry_after(header_set) for header_set in headers if header_set), default=0.0)
