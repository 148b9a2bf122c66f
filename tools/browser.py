"""Drive Chromium without a window over its DevTools protocol: keys as a person presses them, pictures, scripts.

Used by the tests of pages that a server gives, and by tools/check_pages.py. It needs aiohttp alone.
"""

import asyncio
import base64
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-background-networking --no-first-run --hide-scrollbars "
    "--remote-debugging-port=0"
).split()
_NAMED = {"Enter": ("Enter", 13, "\r"), "Escape": ("Escape", 27, ""), "Tab": ("Tab", 9, "")}
WAIT = 20.0  # seconds for what a page is to become


class Page:
    """An open page. `complaints` are the errors that its console has shown."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._number = socket, 0
        self.complaints: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            told = json.loads((await self._socket.receive(WAIT)).data)
            if told.get("method") == "Runtime.exceptionThrown" or (
                told.get("method") == "Log.entryAdded" and told["params"]["entry"]["level"] == "error"
            ):
                self.complaints.append(json.dumps(told["params"]))
            if told.get("id") == self._number:
                if "error" in told:
                    raise RuntimeError(f"{method}: {told['error']['message']}")
                found: dict[str, Any] = told["result"]
                return found

    async def open(self, address: str) -> None:
        """Open an address, and wait until it is loaded."""
        await self.call("Page.navigate", url=address)
        await self.until(f"document.readyState === 'complete' && location.href.startsWith({address[:20]!r})")

    async def tell(self, expression: str) -> Any:
        """Return the value of an expression, or of what it promises."""
        told = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in told:
            raise RuntimeError(str(told["exceptionDetails"].get("exception", told)))
        return told["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        for _ in range(int(WAIT / 0.02)):
            if await self.tell(expression):
                return
            await asyncio.sleep(0.02)
        raise TimeoutError(expression)

    async def press(self, key: str) -> None:
        """Press a key, and let it go."""
        code, number, text = _NAMED.get(key, (f"Key{key.upper()}" if key.isalpha() else "", ord(key[0].upper()), key))
        parts = {"key": key, "code": code, "windowsVirtualKeyCode": number}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **parts, **({"text": text} if text else {}))
        await self.call("Input.dispatchKeyEvent", type="keyUp", **parts)

    async def type(self, text: str) -> None:
        """Type a text at the end of the field that has the focus, and wait until it is there."""
        before = await self.tell("document.activeElement.value")
        await self.call("Input.insertText", text=text)
        await self.until(f"document.activeElement.value === {json.dumps(before + text)}")

    async def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """Give the window a size in pixels."""
        scale = 2 if phone else 1
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )

    async def dark(self, *, on: bool) -> None:
        """Let the page think that the person likes dark pages, or light ones."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[feature])

    async def picture(self, path: Path) -> None:
        """Write a picture of what the window shows, as PNG."""
        told = await self.call("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(told["data"]))


@asynccontextmanager
async def browser(profile: Path | None = None) -> AsyncIterator[Page]:
    """Start a browser with one empty page; it is ended, and a profile that was not given removed, at the end."""
    with tempfile.TemporaryDirectory() as scratch:
        home = profile or Path(scratch)
        _forget_port(home)
        process = await asyncio.create_subprocess_exec(
            str(CHROMIUM), *_OPTIONS, f"--user-data-dir={home}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            port = await _port(home)
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    pages = [each for each in await answer.json() if each["type"] == "page"]
                async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    page = Page(socket)
                    for domain in ("Page", "Runtime", "Log"):
                        await page.call(f"{domain}.enable")
                    # Without it a browser that has not the focus yet drops a text that is typed.
                    await page.call("Emulation.setFocusEmulationEnabled", enabled=True)
                    yield page
                    await page.call("Browser.close")
        finally:
            if process.returncode is None:
                try:
                    await asyncio.wait_for(process.wait(), 5)
                except TimeoutError:
                    process.kill()
            await process.wait()


def _forget_port(home: Path) -> None:
    home.joinpath("DevToolsActivePort").unlink(missing_ok=True)


async def _port(home: Path) -> int:
    for _ in range(int(WAIT / 0.05)):
        file = home / "DevToolsActivePort"
        if file.is_file() and (text := file.read_text()).count("\n"):
            return int(text.split("\n")[0])
        await asyncio.sleep(0.05)
    raise TimeoutError("the browser has not started")
