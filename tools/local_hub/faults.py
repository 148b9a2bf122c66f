"""Faults on demand. A rule says which request goes wrong, and how; rules are JSON, in a file or over the network.

    {"method": "POST", "path": "/commit/", "nth": 2, "times": 1, "when": "after", "do": "drop"}

`method` and `path` are regular expressions, the whole of the one and any part of the other. The rule comes true at
the `nth` request that fits (1 if not given) and `times` in a row (1; 0 for ever). `when` is `before` what was asked
for happens, so that it does not, or `after` it. What it does:

- `status`: answers `status` (503 if not given), with `retry_after` seconds if given; with `html` as a page;
- `drop`: closes the connection without an answer;
- `slow`: waits for `seconds` (1);
- `cut`: says the whole length, sends the first `bytes` (0) of the body, and closes the connection;
- `kill`: ends the process whose id is `pid`, or is in the file `pid_file`, or else the server itself; then drops.
  A kill hook of the server works only where it is a process of its own;
- `call`: calls `hook`, a function without arguments, then drops (for `start` in a test).
"""

import asyncio
import os
import re
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from local_hub.answers import BEGUN, CUT

_DOES = {"status", "drop", "slow", "cut", "kill", "call"}
_PAGE = (
    "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0} a fault that was asked for</h1></body></html>"
)


@dataclass
class Rule:
    """One rule, and how many requests have fitted it."""

    do: str
    method: str = ".*"
    path: str = ""
    nth: int = 1
    times: int = 1
    when: str = "before"
    status: int = 503
    retry_after: int | None = None
    html: bool = False
    seconds: float = 1.0
    bytes: int = 0
    pid: int | None = None
    pid_file: str | None = None
    hook: Callable[[], object] | None = None
    seen: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.do not in _DOES or self.when not in {"before", "after"}:
            raise ValueError(f"a fault cannot {self.do!r} {self.when!r}: see the head of faults.py")
        re.compile(self.method)
        re.compile(self.path)

    def comes_true(self, method: str, path: str) -> bool:
        """Count a request if it fits, and return whether it is one of those that go wrong."""
        if not (re.fullmatch(self.method, method) and re.search(self.path, path)):
            return False
        self.seen += 1
        return self.seen >= self.nth and (not self.times or self.seen < self.nth + self.times)

    def answer(self) -> web.Response:
        """Return the answer of a `status` rule."""
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
            headers["RateLimit"] = f'"api";r=0;t={self.retry_after}'
        if self.html:
            return web.Response(
                status=self.status, text=_PAGE.format(self.status), content_type="text/html", headers=headers
            )
        return web.json_response({"error": "a fault that was asked for"}, status=self.status, headers=headers)


class Faults:
    """The rules of a server; `own_process` says whether it may end itself."""

    def __init__(self, *, own_process: bool = False) -> None:
        self.rules: list[Rule] = []
        self._own_process = own_process

    def set(self, rules: Iterable[Mapping[str, Any]]) -> None:
        """Take other rules in place of those so far. Raises TypeError or ValueError for one that cannot be meant."""
        self.rules = [Rule(**rule) for rule in rules]

    def pick(self, request: web.Request) -> Rule | None:
        """Return the first rule that comes true for a request; all of them count it."""
        true = [rule for rule in self.rules if rule.comes_true(request.method, request.path)]
        return true[0] if true else None

    def kill(self, rule: Rule) -> None:
        """Do what a `kill` or `call` rule says."""
        if rule.hook:
            rule.hook()
        elif rule.pid or rule.pid_file:
            _end(rule.pid or int(Path(rule.pid_file or "").read_text("utf-8")))
        elif rule.do == "kill" and self._own_process:
            os.kill(os.getpid(), signal.SIGKILL)


def _end(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return  # it was quicker


Handler = Callable[[web.Request], Any]


async def with_fault(faults: Faults, rule: Rule, request: web.Request, handler: Handler) -> web.StreamResponse | None:
    """Serve a request that goes wrong; None means that the connection was closed without an answer."""
    if rule.do == "cut":
        request[CUT] = rule.bytes
        return await _cut(request, await _settled(request, handler), rule.bytes)
    if rule.when == "before" and rule.do == "slow":
        await asyncio.sleep(rule.seconds)
        return await _settled(request, handler)
    if rule.when == "after":
        if rule.do != "slow":
            request[CUT] = 0  # a file that is sent piece by piece sends none
        response = await _settled(request, handler)
        if rule.do == "slow":
            await asyncio.sleep(rule.seconds)
            return response
    if rule.do == "status" and BEGUN not in request:
        return rule.answer()
    if rule.do in {"kill", "call"}:
        faults.kill(rule)
    return _drop(request)


async def _settled(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Return a handler's answer, be it an error."""
    try:
        response: web.StreamResponse = await handler(request)
    except web.HTTPException as error:
        response = web.Response(status=error.status, body=error.body, headers=error.headers)
    if response.prepared:
        request[BEGUN] = True
    return response


def _drop(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _cut(request: web.Request, response: web.StreamResponse, length: int) -> None:
    """Send the head of an answer and the first bytes of its body."""
    if isinstance(response, web.Response) and not response.prepared:
        body = response.body if isinstance(response.body, bytes) else b""
        short = web.StreamResponse(status=response.status, headers=response.headers)
        short.content_length = len(body)
        await short.prepare(request)
        await short.write(body[:length])
    if request.transport is not None:
        request.transport.close()  # unlike abort(), after what was written
