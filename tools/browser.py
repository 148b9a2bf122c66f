"""Drive headless Chromium over the DevTools protocol: key presses, screenshots, scripts.

Used by the tests of served pages and by tools/check_pages.py. The only dependency is aiohttp.
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
_CHROMIUM_OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-background-networking --no-first-run --hide-scrollbars "
    "--remote-debugging-port=0"
).split()
_NAMED_KEYS = {"Enter": ("Enter", 13, "\r"), "Escape": ("Escape", 27, ""), "Tab": ("Tab", 9, "")}
WAIT = 20.0  # seconds to wait for a condition on the page


class Page:
    """An open page. `complaints` holds the errors in its console so far."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._number = socket, 0
        self.complaints: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result. Raises RuntimeError if the browser reports an error."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = json.loads((await self._socket.receive(WAIT)).data)
            if message.get("method") == "Runtime.exceptionThrown" or (
                message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error"
            ):
                self.complaints.append(json.dumps(message["params"]))
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                result: dict[str, Any] = message["result"]
                return result

    async def open(self, address: str) -> None:
        """Open an address and wait until it is loaded."""
        await self.call("Page.navigate", url=address)
        await self.until(f"document.readyState === 'complete' && location.href.startsWith({address[:20]!r})")

    async def tell(self, expression: str) -> Any:
        """Evaluate a JavaScript expression and return its value, awaiting promises."""
        response = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in response:
            raise RuntimeError(str(response["exceptionDetails"].get("exception", response)))
        return response["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until a JavaScript expression is true. Raises TimeoutError after WAIT seconds."""
        for _ in range(int(WAIT / 0.02)):
            if await self.tell(expression):
                return
            await asyncio.sleep(0.02)
        raise TimeoutError(expression)

    async def press(self, key: str) -> None:
        """Press and release a key."""
        code, number, text = _NAMED_KEYS.get(
            key, (f"Key{key.upper()}" if key.isalpha() else "", ord(key[0].upper()), key)
        )
        event = {"key": key, "code": code, "windowsVirtualKeyCode": number}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **event, **({"text": text} if text else {}))
        await self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    async def type(self, text: str) -> None:
        """Insert text at the end of the focused field and wait until it is there."""
        before = await self.tell("document.activeElement.value")
        await self.call("Input.insertText", text=text)
        await self.until(f"document.activeElement.value === {json.dumps(before + text)}")

    async def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """Set the size of the window in pixels."""
        scale = 2 if phone else 1
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )

    async def dark(self, *, on: bool) -> None:
        """Emulate a preference for the dark or the light color scheme."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[feature])

    async def picture(self, path: Path) -> None:
        """Write a screenshot of the window as PNG."""
        response = await self.call("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(response["data"]))


@asynccontextmanager
async def browser(profile: Path | None = None) -> AsyncIterator[Page]:
    """Start a browser with one empty page and close it on exit; without `profile`, use a temporary one."""
    with tempfile.TemporaryDirectory() as scratch:
        home = profile or Path(scratch)
        _forget_port(home)
        process = await asyncio.create_subprocess_exec(
            str(CHROMIUM), *_CHROMIUM_OPTIONS, f"--user-data-dir={home}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            port = await _port(home)
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    pages = [target for target in await answer.json() if target["type"] == "page"]
                async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    page = Page(socket)
                    for domain in ("Page", "Runtime", "Log"):
                        await page.call(f"{domain}.enable")
                    # Without this, a browser that does not have the focus yet drops inserted text.
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
    raise TimeoutError("Chromium did not start within 20 seconds")
