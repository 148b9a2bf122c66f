"""Ask an OpenAI-compatible endpoint: many calls at once, patient with a busy one, and no call made twice. IO."""

import asyncio
import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from lrldata.errors import EndpointError, LrlError, UsageError
from lrldata.network import is_private, retry_after
from lrltrain.prompting.answers import answer_in, error_in, is_moderated, parse, printable
from lrltrain.prompting.cache import FAILED, Answer, AnswerFile, key_of
from lrltrain.prompting.config import KEY, Form, PromptConfig

_PATHS: dict[Form, str] = {"chat": "/chat/completions", "completion": "/completions"}
_PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529}
_SPENT = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}  # a 429 that waiting does not help
# Why one text is refused, and not the run.
REFUSED = {"content_filter", "content_policy_violation", "data_inspection_failed", "invalid_prompt"}
REFUSED |= {"context_length_exceeded", "string_above_max_length"}
_KEY = re.compile(r"[!-~]+")
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
LONGEST_BODY = 4 * 2**20  # bytes of an answer, unpacked; a label and its reasons have some thousands
_PACKED = {"", "identity", "gzip", "deflate"}  # once: packed several times over, a few bytes become any number
EMPTY_TRIES = 3  # answers without a choice, after which there is none


@dataclass(frozen=True)
class Endpoint:
    """Where to ask, in which form, and with which key; the key is never shown."""

    url: str
    form: Form
    key_name: str
    key: str | None = field(repr=False)

    def redact(self, text: str) -> str:
        """Return a text of the endpoint in one line that can be printed, short and without the key."""
        line = printable(text)
        return (line.replace(self.key, "[key]") if self.key else line)[:200]


def find_endpoint(config: PromptConfig) -> Endpoint:
    """Return the endpoint that --endpoint names: its base URL, as https://api.openai.com/v1, or the whole one.

    The key is in an environment variable; a server on this machine may need none. It leaves this machine encrypted,
    unless --allow-http is given. Raises UsageError.
    """
    given = (config.endpoint or "").strip()
    try:
        url = httpx.URL(given)
        host = url.host  # which is decoded only now
    except (httpx.InvalidURL, ValueError) as error:
        raise UsageError("--endpoint: is no URL.", "As https://api.openai.com/v1.") from error
    if url.userinfo or url.query or url.fragment:
        raise UsageError(
            "--endpoint: a URL with a name, a password or a query would be written into manifests.",
            "Give the address alone, and the key in the environment.",
        )
    if url.scheme not in ("http", "https") or not host or (url.port or 0) > 65_535:
        raise UsageError(f"--endpoint: {given!r} is no address on the web.", "As https://api.openai.com/v1.")
    base = str(url).rstrip("/")
    for path in _PATHS.values():
        base = base.removesuffix(path)
    if httpx.URL(base).path in ("", "/"):
        base = f"{base.rstrip('/')}/v1"
    name = config.key_env or KEY
    key = os.environ.get(name, "").strip()
    if config.key_env and not key:
        raise UsageError(f"--key-env: {name} is not set.", f"Set it, as export {name}=...")
    if key and not _KEY.fullmatch(key):
        raise UsageError(f"{name}: has a space or a letter that no key has.", "Copy the key again.")
    if key and not is_private(str(url)) and not config.allow_http:
        raise UsageError(
            f"--endpoint: the key in {name} would be sent to {host} unencrypted.",
            f"Use https://, or unset {name} if none is needed; --allow-http sends it all the same.",
        )
    try:
        json.dumps(config.request(), ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise UsageError("--model, --extra: hold what JSON has no word for: NaN, infinity, half a letter.") from error
    return Endpoint(f"{base}{_PATHS[config.wanted_form]}", config.wanted_form, name, key or None)


async def _stay(response: httpx.Response) -> None:
    """Forget where a response points to: httpx reads that even where it does not follow, and fails at what is odd."""
    response.headers.pop("Location", None)


async def ask_all(
    endpoint: Endpoint,
    requests: Sequence[Mapping[str, Any]],
    answers: AnswerFile,
    config: PromptConfig,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Ask what is not in the file of answers; `advance` is called with the number of calls that are done.

    After a failure that does not pass, no call begins, and those on their way are waited for and kept; then it is
    raised as EndpointError.
    """
    waiting = {key_of(endpoint.url, request, config.draw): request for request in requests}
    queue = [(key, request) for key, request in waiting.items() if answers.get(key) is None]
    headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
    limits = httpx.Limits(max_connections=config.concurrency, max_keepalive_connections=config.concurrency)
    stays_here = endpoint.url.startswith("http:") and is_private(endpoint.url)
    async with httpx.AsyncClient(
        headers=headers | {"Accept-Encoding": "gzip, deflate"},
        timeout=config.timeout,
        limits=limits,
        follow_redirects=False,  # the key is for this address
        event_hooks={"response": [_stay]},
        trust_env=not stays_here,  # a proxy would read what is for this machine alone
    ) as client:
        asking = _Asking(endpoint, client, config.patience)
        pending, done = iter(queue), 0

        async def work() -> None:
            nonlocal done
            for key, request in pending:
                try:
                    answer = await asking.ask(request)
                except _StoppedError:
                    return
                except LrlError as error:
                    asking.fail(error)
                    return
                answers.keep(key, answer)
                done += 1
                advance(done)

        await asyncio.gather(*(work() for _ in range(min(config.concurrency, len(queue)))))
        if asking.failure is not None:
            raise asking.failure


class _StoppedError(Exception):
    """Another call has failed for good."""


class _FaultError(Exception):
    """An answer that may be better the next time; `wait` is how long the endpoint asks to wait, in seconds."""

    def __init__(self, told: str, wait: float = 0.0) -> None:
        super().__init__(told)
        self.wait = wait


class _Asking:
    """Calls of one run, which wait together when the endpoint asks for it, and end together when one fails."""

    def __init__(self, endpoint: Endpoint, client: httpx.AsyncClient, patience: float) -> None:
        self.endpoint = endpoint
        self.client = client
        self.patience = patience
        self.failure: LrlError | None = None
        self._stopped = asyncio.Event()
        self._open_at = 0.0  # by the monotonic clock; before it, the endpoint wants no call

    def fail(self, error: LrlError) -> None:
        self.failure = self.failure or error
        self._stopped.set()

    async def ask(self, request: Mapping[str, Any]) -> Answer:
        """Return an answer. Raises EndpointError, or _StoppedError if another call has failed meanwhile."""
        spent, pause, empty = 0.0, FIRST_PAUSE, 0
        while True:
            await self._wait(self._open_at - time.monotonic())
            began = time.monotonic()
            try:
                answer = await self._answer(request)
            except _FaultError as fault:
                wait = max(pause, fault.wait)
                spent += time.monotonic() - began + wait
                if spent > self.patience:
                    raise EndpointError(
                        f"{self.endpoint.url}: {fault} Patience is at its end: {wait:.0f} s more are to be waited.",
                        "What was answered is kept. Give the same command again later, or a longer --patience.",
                    ) from None
                if fault.wait:
                    self._open_at = max(self._open_at, time.monotonic() + fault.wait)
                await self._wait(wait)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            empty += answer.finish == "none"
            if answer.finish != "none" or empty >= EMPTY_TRIES:
                return answer

    async def _wait(self, seconds: float) -> None:
        if not self._stopped.is_set() and seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), seconds)
        if self._stopped.is_set():
            raise _StoppedError

    async def _answer(self, request: Mapping[str, Any]) -> Answer:
        answer = await self._call(request)
        if answer.finish in FAILED:
            raise _FaultError("failed while it answered.")
        return answer

    async def _call(self, request: Mapping[str, Any]) -> Answer:
        try:
            # The timeout of httpx is for each read; a server that drips must end as well.
            response, content = await asyncio.wait_for(self._fetch(request), self._longest)
        except (TimeoutError, httpx.TimeoutException):
            raise _FaultError("no answer came in time.") from None
        except httpx.UnsupportedProtocol as error:
            raise EndpointError(f"{self.endpoint.url}: {error}") from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            if "CERTIFICATE" in str(error).upper() or "SSL" in str(error).upper():
                raise EndpointError(
                    f"{self.endpoint.url}: its certificate is not trusted, or it speaks no TLS.", "Check --endpoint."
                ) from None
            raise _FaultError(f"cannot be reached, or breaks off ({type(error).__name__}).") from None
        try:
            body = parse(content)
        except ValueError:
            body = None
        message, code = error_in(body or {})
        if response.status_code == httpx.codes.OK and not message:
            if body is None:
                raise _FaultError("answered with what is not a JSON object.")
            return answer_in(body, self.endpoint.form)
        told = f" ({self.endpoint.redact(message)})" if message else ""
        if code in REFUSED or is_moderated(body or {}):
            return Answer("", code if code in REFUSED else "content_filter", 0, 0)
        if response.status_code in _PASSING | {200} and code not in _SPENT:
            raise _FaultError(f"answered {response.status_code}{told}.", retry_after(response.headers))
        raise EndpointError(
            f"{self.endpoint.url}: answered {response.status_code}{told}.", self._hint(response.status_code)
        )

    @property
    def _longest(self) -> float:
        timeout = self.client.timeout.read
        return 2 * timeout if timeout else 600.0

    async def _fetch(self, request: Mapping[str, Any]) -> tuple[httpx.Response, bytes]:
        """Return a response and its body. Raises EndpointError as soon as that is too long."""
        async with self.client.stream("POST", self.endpoint.url, json=request) as response:
            if response.headers.get("Content-Encoding", "").strip().lower() not in _PACKED:
                raise EndpointError(
                    f"{self.endpoint.url}: its answer is packed in a way that was not asked for.", "Check --endpoint."
                )
            content = bytearray()
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > LONGEST_BODY:
                    raise EndpointError(
                        f"{self.endpoint.url}: its answer has more than {LONGEST_BODY // 2**20} MB.",
                        "Check --endpoint and --max-tokens.",
                    )
            return response, bytes(content)

    def _hint(self, status: int) -> str:
        key = self.endpoint.key_name
        if status == httpx.codes.UNAUTHORIZED:
            which = f"the key in {key}" if self.endpoint.key else f"{key} is not set: the key"
            return f"Check {which}; --key-env names another variable."
        return {
            400: "--extra adds or takes away what it wants, as --extra '{\"max_tokens\": null}'; fewer --shots make a "
            "prompt shorter.",
            402: "Its account lacks money.",
            403: f"The key in {key} may not use this model.",
            404: "Check --endpoint, --model and --form.",
            429: "Its account lacks money, or has reached its limit.",
        }.get(status, "Check --endpoint, --model and --form.")
