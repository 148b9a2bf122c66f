"""The server of `lrldata review`: the page, and verdicts saved to disk before the next line is shown. IO.

It answers only programs on this machine, at a path that only the printed address contains, and no pages of other
origins: `Host` must be a name of the loopback interface, `Origin` and `Sec-Fetch-Site` must be the page's own, and
requests that change something must be JSON with a custom header, which another page cannot send without permission.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from lrldata.dataset import VERDICTS
from lrldata.errors import LrlError, UsageError, one_line
from lrldata.output import warn
from lrldata.review.frame import Frame
from lrldata.review.page import Words, queue_of, review_page
from lrldata.review.verdicts import (
    Alias,
    Decision,
    Line,
    Note,
    Verdict,
    append,
    current_verdicts,
    now,
    read_all,
)
from lrldata.same_origin import refusal

HOST, PORT = "127.0.0.1", 8710
HEADER = ("X-Lrl-Review", "1")
DECISIONS = ("right", "wrong", "unsure")
LARGEST = 16_000  # bytes of a request
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Request(BaseModel):
    """What the page asks for: the next line, after a verdict on `line` if there is one, or after an undo."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reviewer: Alias
    credit: bool = False
    line: Line | None = None
    decision: Decision | None = None
    note: Note = ""
    undo: bool = False


class Review:
    """A dataset under review: its frame, and the verdicts so far."""

    def __init__(self, folder: Path, frame: Frame) -> None:
        self.folder, self.frame = folder, frame
        self._texts = {offered.line: offered.text for offered in frame.lines}
        self._queue = queue_of(frame)
        self._given: dict[str, dict[str, Verdict]] = {}  # by reviewer and line, in the order of time
        self._latest: dict[str, str] = {}  # time of each reviewer's latest verdict
        verdicts = read_all(folder / VERDICTS)
        for verdict in verdicts:
            self._latest[verdict.reviewer] = max(verdict.time, self._latest.get(verdict.reviewer, ""))
        latest = [verdict for by_reviewer in current_verdicts(verdicts).values() for verdict in by_reviewer.values()]
        for verdict in sorted(latest, key=lambda verdict: verdict.time):
            self._note(verdict)

    def _note(self, verdict: Verdict) -> None:
        own_verdicts = self._given.setdefault(verdict.reviewer, {})
        own_verdicts.pop(verdict.line, None)
        self._latest[verdict.reviewer] = max(verdict.time, self._latest.get(verdict.reviewer, ""))
        if verdict.decision == "none":
            self._queue.take_back(verdict.line, verdict.reviewer)
            return
        own_verdicts[verdict.line] = verdict
        vote = None if verdict.decision == "unsure" else verdict.decision == "right"
        self._queue.put(verdict.line, verdict.reviewer, vote)

    def answer(self, request: Request) -> dict[str, Any]:
        """Save what a request says, and return the next line and how many lines the reviewer has judged."""
        own_verdicts = self._given.setdefault(request.reviewer, {})
        undone, taken_back = None, ""
        if request.undo and (undoable := [line for line in own_verdicts if line in self._texts]):
            undone = undoable[-1]
            taken_back = own_verdicts[undone].note
            self._save(request, undone, "none", "")
        elif request.line in self._texts and request.decision in DECISIONS:
            self._save(request, request.line, request.decision, request.note)
        line = undone or self._queue.next(request.reviewer)
        judged = sum(answered in self._texts for answered in own_verdicts)  # others are from an earlier version
        return {
            "line": line,
            "text": self._texts[line] if line else "",
            "note": taken_back,
            "judged": judged,
            "lines": len(self._texts),
            "can_undo": judged > 0,
        }

    def _save(self, request: Request, line: str, decision: str, note: str) -> None:
        verdict = Verdict(
            language=self.frame.language,
            source=self.frame.source,
            version=self.frame.version,
            line=line,
            decision=decision,  # type: ignore[arg-type]
            reviewer=request.reviewer,
            credit=request.credit,
            time=now(self._latest.get(request.reviewer, "")),
            note=note,
        )
        append(self.folder, [verdict])
        self._note(verdict)

    def reviewers(self) -> list[str]:
        """Return the names of those who have judged lines."""
        return sorted(name for name, verdicts in self._given.items() if verdicts)


def application(review: Review, words: Words, language: str, key: str) -> web.Application:
    """Return the web application; the page is at /KEY/."""
    lock = asyncio.Lock()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if reason := refusal(request):
            raise web.HTTPForbidden(text=reason)
        response = await handler(request)
        response.headers.update({"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})
        return response

    async def page(_: web.Request) -> web.Response:
        html = review_page(review.frame, words, language, reviewers=review.reviewers())
        headers = {"Content-Security-Policy": "frame-ancestors 'none'", "Referrer-Policy": "no-referrer"}
        return web.Response(text=html, content_type="text/html", charset="utf-8", headers=headers)

    async def answer(request: web.Request) -> web.Response:
        check_change(request)
        try:
            message = Request.model_validate(await request.json())
            async with lock:
                return web.json_response(review.answer(message))
        except (ValidationError, JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            warn(f"an answer was not saved: {one_line(error, 200)}.")
            raise web.HTTPBadRequest(text=one_line(error, 200)) from error
        except (LrlError, OSError) as error:
            warn(f"an answer was not saved: {one_line(error)}.")  # the page only asks to look here
            raise web.HTTPInternalServerError(text=str(error)) from error

    app = web.Application(middlewares=[check], client_max_size=LARGEST)
    app.add_routes([web.get(f"/{key}/", page), web.post(f"/{key}/answer", answer)])
    return app


def check_change(request: web.Request) -> None:
    """Raise 403 or 415 for a request that another page could send without permission."""
    name, value = HEADER
    if request.headers.getall(name, []) != [value]:
        raise web.HTTPForbidden(text=f"The header {name}: {value} is missing.")
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="The body must be application/json.")


async def serve(app: web.Application, port: int, key: str, tell: Callable[[str], None]) -> None:
    """Serve until cancelled; `tell` gets the address once it answers. Raises UsageError if the port cannot be used."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, HOST, port).start()
        except OSError as error:
            raise UsageError(
                f"--port {port}: cannot be used ({error.strerror or error}).",
                "Choose another port, or 0 for any free one.",
            ) from error
        tell(f"http://{HOST}:{runner.addresses[0][1]}/{key}/")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def new_key() -> str:
    """Return a path that cannot be guessed."""
    return secrets.token_urlsafe(16)
