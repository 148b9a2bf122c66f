"""Query an OpenAI-compatible endpoint: concurrent calls, retries while it is busy, and no call made twice. IO."""

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
from lrltrain.prompting.answers import answer_in, error_in, is_moderated, is_too_long, parse, printable
from lrltrain.prompting.cache import EMPTY, FAILED, Answer, AnswerFile, key_of
from lrltrain.prompting.config import KEY, Form, PromptConfig

_PATHS: dict[Form, str] = {"chat": "/chat/completions", "completion": "/completions"}
_TRANSIENT = {408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529}
_QUOTA_EXHAUSTED = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
}  # codes of a 429 that waiting does not fix
# Codes of errors about one text, which do not end the run.
REFUSED = {"content_filter", "content_policy_violation", "data_inspection_failed", "invalid_prompt"}
REFUSED |= {"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"}
_KEY_PATTERN = re.compile(r"[!-~]+")
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
LONGEST_BODY = 4 * 2**20  # bytes of a decompressed answer; a label with an explanation has a few thousand
_ENCODINGS = {"", "identity", "gzip", "deflate"}  # only one at a time: nested compression can expand without limit
EMPTY_TRIES = 3  # number of answers without a choice after which to give up


@dataclass(frozen=True)
class Endpoint:
    """The URL of an endpoint, the form of its prompts, and the key, which is never printed."""

    url: str
    form: Form
    key_name: str
    key: str | None = field(repr=False)

    def redact(self, text: str) -> str:
        """Return a text from the endpoint as one short, printable line without the key."""
        line = printable(text)
        return (line.replace(self.key, "[key]") if self.key else line)[:200]


def find_endpoint(config: PromptConfig) -> Endpoint:
    """Return the endpoint of --endpoint: a base URL such as https://api.openai.com/v1, or the full URL.

    The key is read from an environment variable; a local server may need none. It leaves this machine only over an
    encrypted connection, unless --allow-http is set. Raises UsageError.
    """
    address = (config.endpoint or "").strip()
    try:
        url = httpx.URL(address)
        host = url.host  # decoded on access
    except (httpx.InvalidURL, ValueError) as error:
        raise UsageError("--endpoint: not a valid URL.", "Use a URL such as https://api.openai.com/v1.") from error
    if url.userinfo or url.query or url.fragment:
        raise UsageError(
            "--endpoint: user names, passwords and queries in a URL would be written into manifests.",
            "Give only the address, and set the key in the environment.",
        )
    if url.scheme not in ("http", "https") or not host or (url.port or 0) > 65_535:
        raise UsageError(
            f"--endpoint: {address!r} is not a web address.", "Use a URL such as https://api.openai.com/v1."
        )
    base = str(url).rstrip("/")
    for path in _PATHS.values():
        base = base.removesuffix(path)
    if httpx.URL(base).path in ("", "/"):
        base = f"{base.rstrip('/')}/v1"
    name = config.key_env or KEY
    key = os.environ.get(name, "").strip()
    if config.key_env and not key:
        raise UsageError(f"--key-env: {name} is not set.", f"Set it, for example with export {name}=...")
    if key and not _KEY_PATTERN.fullmatch(key):
        raise UsageError(f"{name}: contains a character that is invalid in a key.", "Copy the key again.")
    if key and not is_private(str(url)) and not config.allow_http:
        raise UsageError(
            f"--endpoint: the key in {name} would be sent to {host} unencrypted.",
            f"Use https://, or unset {name} if no key is needed; --allow-http sends it anyway.",
        )
    try:
        json.dumps(config.request(), ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise UsageError(
            "--model, --extra: contain a value that JSON cannot represent: NaN, infinity or a lone surrogate."
        ) from error
    return Endpoint(f"{base}{_PATHS[config.wanted_form]}", config.wanted_form, name, key or None)


async def _drop_location(response: httpx.Response) -> None:
    """Drop the Location header: httpx parses it even without following redirects, and fails on malformed ones."""
    response.headers.pop("Location", None)


async def ask_all(
    endpoint: Endpoint,
    requests: Sequence[Mapping[str, Any]],
    answers: AnswerFile,
    config: PromptConfig,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Send the requests that have no stored answer. `advance` is called with the number of finished calls.

    After a permanent failure, no further call starts. The answers to running calls are still awaited and stored before
    the failure is raised as EndpointError.
    """
    request_by_key = {key_of(endpoint.url, request, config.draw): request for request in requests}
    queue = [(key, request) for key, request in request_by_key.items() if answers.get(key) is None]
    headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
    limits = httpx.Limits(max_connections=config.concurrency, max_keepalive_connections=config.concurrency)
    is_local = endpoint.url.startswith("http:") and is_private(endpoint.url)
    async with httpx.AsyncClient(
        headers=headers | {"Accept-Encoding": "gzip, deflate"},
        timeout=config.timeout,
        limits=limits,
        follow_redirects=False,  # the key is meant for this address only
        event_hooks={"response": [_drop_location]},
        trust_env=not is_local,  # a proxy would see local traffic
    ) as client:
        calls = _Client(endpoint, client, config.patience)
        pending, done = iter(queue), 0

        async def work() -> None:
            nonlocal done
            for key, request in pending:
                try:
                    answer = await calls.ask(request)
                except _StoppedError:
                    return
                except LrlError as error:
                    calls.fail(error)
                    return
                answers.keep(key, answer)
                done += 1
                advance(done)

        await asyncio.gather(*(work() for _ in range(min(config.concurrency, len(queue)))))
        if calls.failure is not None:
            raise calls.failure


class _StoppedError(Exception):
    """Another call has failed permanently."""


class _TransientError(Exception):
    """A failure that a retry may fix; `wait` is the delay in seconds that the endpoint asks for."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class _Client:
    """The calls of one run. They pause together when the endpoint asks for it, and stop together when one fails."""

    def __init__(self, endpoint: Endpoint, client: httpx.AsyncClient, patience: float) -> None:
        self.endpoint = endpoint
        self.client = client
        self.patience = patience
        self.failure: LrlError | None = None
        self._stopped = asyncio.Event()
        self._open_at = 0.0  # monotonic time before which the endpoint wants no call

    def fail(self, error: LrlError) -> None:
        self.failure = self.failure or error
        self._stopped.set()

    async def ask(self, request: Mapping[str, Any]) -> Answer:
        """Return an answer. Raises EndpointError, or _StoppedError if another call fails in the meantime."""
        waited, pause, empty = 0.0, FIRST_PAUSE, 0
        while True:
            await self._wait(self._open_at - time.monotonic())
            started = time.monotonic()
            try:
                answer = await self._answer(request)
            except _TransientError as fault:
                wait = max(pause, fault.wait)
                waited += time.monotonic() - started + wait
                if waited > self.patience:
                    raise EndpointError(
                        f"{self.endpoint.url}: {fault} Gave up: waiting {wait:.0f} s more would exceed --patience.",
                        "Answers so far are kept; run the same command again, or with a longer --patience.",
                    ) from None
                if fault.wait:
                    self._open_at = max(self._open_at, time.monotonic() + fault.wait)
                await self._wait(wait)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            empty += answer.finish in EMPTY
            if answer.finish not in EMPTY or empty >= EMPTY_TRIES:
                return answer
            await self._wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _wait(self, seconds: float) -> None:
        if not self._stopped.is_set() and seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), seconds)
        if self._stopped.is_set():
            raise _StoppedError

    async def _answer(self, request: Mapping[str, Any]) -> Answer:
        answer = await self._call(request)
        if answer.finish in FAILED:
            raise _TransientError("failed while answering.")
        return answer

    async def _call(self, request: Mapping[str, Any]) -> Answer:
        try:
            # The timeout of httpx applies to each read; this one also ends a response that trickles in.
            response, content = await asyncio.wait_for(self._fetch(request), self._longest)
        except (TimeoutError, httpx.TimeoutException):
            raise _TransientError("timed out.") from None
        except httpx.UnsupportedProtocol as error:
            raise EndpointError(f"{self.endpoint.url}: {error}") from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            if "CERTIFICATE" in str(error).upper() or "SSL" in str(error).upper():
                raise EndpointError(
                    f"{self.endpoint.url}: the TLS connection failed: untrusted certificate, or no TLS.",
                    "Check --endpoint.",
                ) from None
            raise _TransientError(f"unreachable, or the connection was lost ({type(error).__name__}).") from None
        try:
            body = parse(content)
        except ValueError:
            body = None
        message, code = error_in(body or {})
        code = "context_length_exceeded" if is_too_long(response.status_code, message) else code
        if response.status_code == httpx.codes.OK and not message:
            if body is None:
                raise _TransientError("the answer is not a JSON object.")
            return answer_in(body, self.endpoint.form)
        detail = f" ({self.endpoint.redact(message)})" if message else ""
        if code in REFUSED or is_moderated(body or {}):
            return Answer("", code if code in REFUSED else "content_filter", 0, 0)
        if response.status_code in _TRANSIENT | {200} and code not in _QUOTA_EXHAUSTED:
            raise _TransientError(f"answered {response.status_code}{detail}.", retry_after(response.headers))
        raise EndpointError(
            f"{self.endpoint.url}: answered {response.status_code}{detail}.", self._hint(response.status_code)
        )

    @property
    def _longest(self) -> float:
        timeout = self.client.timeout.read
        return 2 * timeout if timeout else 600.0

    async def _fetch(self, request: Mapping[str, Any]) -> tuple[httpx.Response, bytes]:
        """Return a response and its body. Raises EndpointError as soon as the body is too long."""
        async with self.client.stream("POST", self.endpoint.url, json=request) as response:
            if response.headers.get("Content-Encoding", "").strip().lower() not in _ENCODINGS:
                raise EndpointError(
                    f"{self.endpoint.url}: the answer has an encoding that was not requested.", "Check --endpoint."
                )
            content = bytearray()
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > LONGEST_BODY:
                    raise EndpointError(
                        f"{self.endpoint.url}: the answer has more than {LONGEST_BODY // 2**20} MB.",
                        "Check --endpoint and --max-tokens.",
                    )
            return response, bytes(content)

    def _hint(self, status: int) -> str:
        key = self.endpoint.key_name
        if status == httpx.codes.UNAUTHORIZED:
            subject = f"the key in {key}" if self.endpoint.key else f"that {key} is set"
            return f"Check {subject}; --key-env names another variable."
        return {
            400: "Add or remove request fields, as in --extra '{\"max_tokens\": null}'; fewer --shots make a "
            "prompt shorter.",
            402: "The account has no credit left.",
            403: f"The key in {key} is not allowed to use this model.",
            404: "Check --endpoint, --model and --form.",
            429: "The account has no credit left or has reached its limit.",
        }.get(status, "Check --endpoint, --model and --form.")
