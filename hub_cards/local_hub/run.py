"""Run a server on the loopback interface, with exclusive use of its folder, until it is stopped."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from hub_cards.local_hub.access import Accounts
from hub_cards.local_hub.faults import Faults, ToKill
from hub_cards.local_hub.journal import entries
from hub_cards.local_hub.limits import FILE
from hub_cards.local_hub.server import application
from lrldata.locks import Lock

HOST = "127.0.0.1"
ROWS, PART = 1000, 64 << 20  # rows per page; bytes per part of a large file
_ENDING = 1.0  # seconds that running requests have left when the server stops


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold the lock of a folder. Raises BlockingIOError if another server holds it."""
    root.mkdir(parents=True, exist_ok=True)
    with Lock(root / ".lock"):
        yield


async def serve(app: web.Application, port: int) -> tuple[web.AppRunner, str]:
    """Start serving. Return the runner, which the caller must clean up, and the endpoint."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_ENDING)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    return runner, f"http://{HOST}:{runner.addresses[0][1]}"


def run_until_signal(app: web.Application, port: int, started: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `started` is called with the endpoint. Raises OSError if the port is in use."""
    asyncio.run(_serve_until_signal(app, port, started))


async def _serve_until_signal(app: web.Application, port: int, started: Callable[[str], None]) -> None:
    ended = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, ended.set)
    runner, endpoint = await serve(app, port)
    started(endpoint)
    await ended.wait()
    await runner.cleanup()


@dataclass(frozen=True)
class Hub:
    """A server running in this process."""

    endpoint: str
    root: Path
    _faults: Faults

    def journal(self) -> list[dict[str, Any]]:
        """Return the requests so far; see journal.py."""
        return entries(self.root / "journal.jsonl")

    def faults(self, *rules: Mapping[str, Any]) -> None:
        """Replace the rules for faults; see faults.py."""
        self._faults.set(rules)

    def reset_faults(self) -> None:
        """Remove all rules for faults."""
        self._faults.set([])


@contextmanager
def start(
    root: Path,
    *,
    port: int = 0,
    accounts: Mapping[str, Any] | None = None,
    rules: Iterable[Mapping[str, Any]] = (),
    page: int = ROWS,
    part: int = PART,
    largest: int = FILE,
    to_kill: ToKill | None = None,
) -> Iterator[Hub]:
    """Serve a folder from a thread; `accounts` has the format of access.py. Raises OSError if the port is in use.

    `largest` is the maximum number of bytes of a large file. `to_kill` is what `kill` faults end: a file that will
    contain the id of a process, or a function. Without it, there can be no such faults.
    """
    faults = Faults(to_kill)
    faults.set(rules)
    users = Accounts(accounts) if accounts else Accounts.read(None)
    with alone(root):
        app = application(root, users, faults, page=page, part=part, largest=largest)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="local-hub", daemon=True)
        thread.start()
        try:
            runner, endpoint = asyncio.run_coroutine_threadsafe(serve(app, port), loop).result()
            try:
                yield Hub(endpoint, root, faults)
            finally:
                asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
