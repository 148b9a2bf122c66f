"""A server with the chat and completions endpoints of OpenAI's interface, and with faults on request."""

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
    """A reply to send after a delay: an answer as text, or a raw body (whole or in pieces), with extra headers."""

    text: str | None = "positive"
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    after: float = 0.0
    usage: bool = True


Script = Callable[[str, int], Reply]  # the last text of a request, and how often it was sent so far -> the reply


@dataclass
class Server:
    """A running server, with the requests that it has received."""

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
    """Answer `positive` if the text after the last `Text:` contains `good`, and `negative` otherwise."""
    return Reply("Positive." if "good" in prompt.rsplit("Text:", maxsplit=1)[-1] else '"negative"')


@contextmanager
def serve(script: Script = by_word, key: str | None = None) -> Iterator[Server]:
    """Serve on a free port of this machine; if `key` is set, refuse requests with any other key."""
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
            except (BrokenPipeError, ConnectionResetError):  # the client was killed, or stopped waiting
                self.close_connection = True
            finally:
                with server.lock:
                    server.at_once -= 1

        def answer(self, body: dict[str, Any], number: int) -> None:
            authorization = self.headers.get("Authorization", "")
            if server.key and authorization != f"Bearer {server.key}":
                error = {"error": {"message": f"Incorrect API key: {authorization}", "code": "invalid_api_key"}}
                reply = Reply(status=401, body=error)
            else:
                reply = server.script(prompt_of(body), number)
            time.sleep(reply.after)
            content = reply.body if reply.body is not None else wrapped(self.path, body, reply)
            pieces = content if isinstance(content, Iterator) else None
            data = b"" if pieces else content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(reply.status)
            length = {"Connection": "close"} if pieces else {"Content-Length": str(len(data))}
            for name, value in (length | reply.headers).items():
                self.send_header(name, value)
            self.end_headers()
            for piece in pieces or [data]:
                self.wfile.write(piece)

        def log_message(self, *_: object) -> None:
            pass

    class QuietServer(ThreadingHTTPServer):
        daemon_threads = True

    with QuietServer(("127.0.0.1", 0), Handler) as http_server:
        server = Server(f"http://127.0.0.1:{http_server.server_address[1]}/v1", script, key)
        thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            http_server.shutdown()
            thread.join()


def wrapped(path: str, body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
    if path.endswith("/chat/completions"):
        choice["message"] = {"role": "assistant", "content": reply.text}
    else:
        choice["text"] = reply.text
    usage = {"usage": {"prompt_tokens": 100, "completion_tokens": 2}} if reply.usage else {}
    return {"object": "answer", "model": body["model"], "choices": [choice], **usage}
