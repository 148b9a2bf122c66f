"""Faults on demand. Rules define which requests fail and how; they are JSON, from a file or over the network.

    {"method": "POST", "path": "/commit/", "nth": 2, "times": 1, "when": "after", "do": "drop"}

`method` is the full method and `path` a part of the path, both as plain text; if omitted, they match every request. The
rule applies from the `nth` matching request on (default 1), `times` times in a row (default 1; 0: without limit).
`when` is `before` (the default: the request is not carried out, except with `slow` and `cut`) or `after` (it is). The
values of `do` are:

- `status`: responds with `status` (default 503), with `retry_after` seconds if given, and as a page with `html`;
- `drop`: closes the connection without a response;
- `slow`: waits for `seconds` (default 1);
- `cut`: announces the full length, sends the first `bytes` (default 0) of the body, and closes the connection;
- `kill`: ends a process, then drops the connection. A rule cannot choose the process, as it may come over the network:
  whoever starts the server does, with `to_kill`. A server that runs as a separate process ends itself;
- `call`: calls `hook`, a function without arguments, then drops the connection (for `start` in a test; JSON has no
  functions).
"""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from aiohttp import web

from hub_cards.local_hub.answers import BEGUN, CUT
from lrldata.output import tell

ToKill = Path | Callable[[], object]  # a file with the id of a process, or a function that ends one
_DOES = {"status", "drop", "slow", "cut", "kill", "call"}
_TEXTS = ("do", "method", "path", "when")
_RANGES = {"nth": (1, 1 << 30), "times": (0, 1 << 30), "status": (200, 599), "retry_after": (0, 86_400)}
_RANGES |= {"seconds": (0, 600), "bytes": (0, 1 << 40)}
_RULES = 1_000
_PAGE = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0} injected fault</h1></body></html>"


@dataclass
class Rule:
    """A rule, and the number of requests that have matched it."""

    do: str
    method: str = ""
    path: str = ""
    nth: int = 1
    times: int = 1
    when: str = "before"
    status: int = 503
    retry_after: int | None = None
    html: bool = False
    seconds: float = 1.0
    bytes: int = 0
    hook: Callable[[], object] | None = None
    seen: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        for name in _TEXTS:
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} of a fault must be a string")
        if set("*|^\\") & {*self.method, *self.path}:
            raise ValueError("method and path of a fault must be plain text, not regular expressions")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            kinds = int | float if name == "seconds" else int
            is_number = isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high
            if not is_number and not (name == "retry_after" and value is None):
                raise ValueError(f"{name} of a fault must be a number from {low} to {high}")
        if not isinstance(self.html, bool):
            raise TypeError("html of a fault must be true or false")
        if self.do not in _DOES or self.when not in {"before", "after"}:
            raise ValueError(
                f"do {self.do!r} or when {self.when!r} of a fault is not known: see the docstring of faults.py"
            )
        if not (callable(self.hook) or (self.hook is None and self.do != "call")):
            raise TypeError("hook of a fault must be a function")

    def comes_true(self, method: str, path: str) -> bool:
        """Count a request if it matches, and return whether the rule applies to it."""
        if self.method not in {"", method} or self.path not in path:
            return False
        self.seen += 1
        return self.seen >= self.nth and (not self.times or self.seen < self.nth + self.times)

    def answer(self) -> web.Response:
        """Return the response of a `status` rule."""
        headers = {}
        if self.retry_after is not None:
            headers["RateLimit"] = f'"api";r=0;t={self.retry_after}'
        if self.html:
            return web.Response(
                status=self.status, text=_PAGE.format(self.status), content_type="text/html", headers=headers
            )
        return web.json_response({"error": "injected fault"}, status=self.status, headers=headers)


_KEYS = {attribute.name for attribute in fields(Rule) if attribute.init}


class Faults:
    """The rules of a server, and what its `kill` rules end; without `to_kill`, there can be no such rules."""

    def __init__(self, to_kill: ToKill | None = None) -> None:
        self.rules: list[Rule] = []
        self._to_kill = to_kill

    def set(self, rules: Iterable[Mapping[str, Any]]) -> None:
        """Replace the rules. Raises TypeError or ValueError if one is not valid."""
        rules = list(rules)
        if len(rules) > _RULES or not all(isinstance(rule, Mapping) for rule in rules):
            raise TypeError(f"faults must be a list of at most {_RULES} objects")
        for rule in rules:
            if unknown := sorted(rule.keys() - _KEYS):
                raise ValueError(f"a fault has no {unknown[0]!r}: see the docstring of faults.py")
            if rule.get("do") == "kill" and self._to_kill is None:
                raise ValueError("this server was started without a process to end: see `to_kill`")
        self.rules = [Rule(**rule) for rule in rules]

    def pick(self, request: web.Request) -> Rule | None:
        """Return the first rule that applies to a request; all matching rules count it."""
        applicable = [rule for rule in self.rules if rule.comes_true(request.method, request.path)]
        return applicable[0] if applicable else None

    def come_true(self, rule: Rule) -> None:
        """Carry out a `kill` or `call` rule."""
        if rule.do == "call":
            if rule.hook is not None:
                rule.hook()
        elif isinstance(self._to_kill, Path):
            _end(self._to_kill)
        elif self._to_kill is not None:
            self._to_kill()


def end_this_process() -> None:
    """Kill the server's own process, as another process would."""
    os.kill(os.getpid(), signal.SIGKILL)


def _end(pid_file: Path) -> None:
    """Kill the process whose id is in a file. Print a warning if the file has no valid id."""
    try:
        os.kill(_process_in(pid_file), signal.SIGKILL)
    except ProcessLookupError:
        return  # it has already ended
    except (OSError, ValueError) as error:
        tell(f"warning: {pid_file}: no process to end: {error}")


def _process_in(pid_file: Path) -> int:
    process = int(pid_file.read_text("utf-8"))
    if process <= 1:  # 0 and negative numbers are process groups
        raise ValueError(f"{process} is not the id of a process to end")
    return process


Handler = Callable[[web.Request], Any]


async def with_fault(faults: Faults, rule: Rule, request: web.Request, handler: Handler) -> web.StreamResponse | None:
    """Serve a request with a fault; None means that the connection was closed without a response."""
    if rule.do == "cut":
        request[CUT] = rule.bytes
        await _cut(request, await _settled(request, handler), rule.bytes)
        return None
    if rule.when == "before" and rule.do == "slow":
        await asyncio.sleep(rule.seconds)
        return await _settled(request, handler)
    if rule.when == "after":
        if rule.do != "slow":
            request[CUT] = 0  # send nothing of a file that is sent piece by piece
        response = await _settled(request, handler)
        if rule.do == "slow":
            await asyncio.sleep(rule.seconds)
            return response
    if rule.do == "status" and BEGUN not in request:
        return rule.answer()
    if rule.do in {"kill", "call"}:
        faults.come_true(rule)
    _drop(request)
    return None


async def _settled(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Return a handler's response, even if it is an error."""
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
    """Send the head of a response and the first bytes of its body."""
    if isinstance(response, web.Response) and not response.prepared:
        body = response.body if isinstance(response.body, bytes) else b""
        short = web.StreamResponse(status=response.status, headers=response.headers)
        short.content_length = len(body)
        await short.prepare(request)
        await short.write(body[:length])
    if request.transport is not None:
        request.transport.close()  # unlike abort(), this first sends what was written
