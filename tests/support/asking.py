"""Helpers for the tests of hostile requests: requests to send, and a check of the response."""

import hashlib
import json
import socket
from typing import Any

import httpx

from hub_cards.local_hub import Hub

MODEL = "/api/models/my-org/m"
BATCH = "/my-org/m.git/info/lfs/objects/batch"
OID = hashlib.sha256(b"12345").hexdigest()


def raw(hub: Hub, line: str, *headers: str, body: bytes = b"") -> tuple[int, bytes]:
    """Send a request exactly as written, without a client library's corrections; return status and body."""
    with socket.create_connection(("127.0.0.1", int(hub.endpoint.rpartition(":")[2])), timeout=20) as stream:
        head = [f"{line} HTTP/1.1", *headers, f"Content-Length: {len(body)}", "Connection: close", "", ""]
        stream.sendall("\r\n".join(head).encode("latin-1") + body)
        response = b""
        while chunk := stream.recv(1 << 16):
            response += chunk
    return int(response.split(b" ", 2)[1]), response.partition(b"\r\n\r\n")[2]


def refused(answer: httpx.Response, *statuses: int) -> None:
    """Assert that a response is an error that a client can show."""
    assert answer.status_code in (statuses or (400, 413)), answer.text
    assert answer.json().get("error") or answer.json().get("errors")


def commit(http: httpx.Client, *operations: dict[str, Any], **header: Any) -> httpx.Response:
    lines = [{"key": "header", "value": {"summary": "s"} | header}, *operations]
    return http.post(f"{MODEL}/commit/main", content="\n".join(map(json.dumps, lines)).encode())


def file(path: Any, content: Any = "") -> dict[str, Any]:
    return {"key": "file", "value": {"path": path, "content": content}}


def batch(http: httpx.Client, size: Any, oid: Any = OID, **more: Any) -> dict[str, Any]:
    response = http.post(BATCH, json={"operation": "upload", "objects": [{"oid": oid, "size": size}]} | more)
    assert response.status_code == 200, response.text
    return dict(response.json()["objects"][0])
