"""A server that speaks the chat and completions endpoints of OpenAI's interface, with faults on request."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-test-0123456789"


@dataclass(frozen=True)
class Reply:
    """What is sent back: an answer as text, or a body as it is (whole, or in pieces), after a while, with headers."""

    text: str | None = "positive"
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    after: float = 0.0
    usage: bool = True


Script = Callable[[str, int], Reply]  # of the last text that was sent, and how often that was


@dataclass
class Server:
    """A running server, with what it was asked."""

    url: str
    script: Script
    key: str | None = None
    bodies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def calls(self) -> int:
        return len(self.bodies)


def prompt_of(body: dict[str, Any]) -> str:
    return body["messages"][-1]["content"] if "messages" in body else body["prompt"]


def by_word(prompt: str, _: int) -> Reply:
    """Answer as the last text says: it has `good` or `bad` in it."""
    return Reply("Positive." if "good" in prompt.rsplit("Text:", maxsplit=1)[-1] else '"negative"')


@contextmanager
def serve(script: Script = by_word, key: str | None = None) -> Iterator[Server]:
    """Serve on a free port of this machine; with `key`, others are refused."""
    server: Server

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with server.lock:
                server.bodies.append(body)
                server.paths.append(self.path)
                server.moments.append(time.monotonic())
                server.asked[prompt_of(body)] += 1
                number = server.asked[prompt_of(body)]
                server.at_once += 1
                server.most_at_once = max(server.most_at_once, server.at_once)
            try:
                self.answer(body, number)
            except (BrokenPipeError, ConnectionResetError):  # the client was killed, or did not wait
                self.close_connection = True
            finally:
                with server.lock:
                    server.at_once -= 1

        def answer(self, body: dict[str, Any], number: int) -> None:
            given = self.headers.get("Authorization", "")
            if server.key and given != f"Bearer {server.key}":
                told = {"error": {"message": f"Incorrect API key: {given}", "code": "invalid_api_key"}}
                reply = Reply(status=401, body=told)
            else:
                reply = server.script(prompt_of(body), number)
            time.sleep(reply.after)
            sent = reply.body if reply.body is not None else wrapped(self.path, body, reply)
            pieces = sent if isinstance(sent, Iterator) else None
            data = b"" if pieces else sent if isinstance(sent, bytes) else json.dumps(sent).encode()
            self.send_response(reply.status)
            length = {"Connection": "close"} if pieces else {"Content-Length": str(len(data))}
            for name, value in (length | reply.headers).items():
                self.send_header(name, value)
            self.end_headers()
            for piece in pieces or [data]:
                self.wfile.write(piece)

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

    with Quiet(("127.0.0.1", 0), Handler) as listening:
        server = Server(f"http://127.0.0.1:{listening.server_address[1]}/v1", script, key)
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()


def wrapped(path: str, body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
    if path.endswith("/chat/completions"):
        choice["message"] = {"role": "assistant", "content": reply.text}
    else:
        choice["text"] = reply.text
    usage = {"usage": {"prompt_tokens": 100, "completion_tokens": 2}} if reply.usage else {}
    return {"object": "answer", "model": body["model"], "choices": [choice], **usage}
