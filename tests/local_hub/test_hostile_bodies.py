"""Request bodies and queries that are too large, too deeply nested or malformed: refused quickly, with JSON."""

import gzip
import hashlib
import json
import socket
import time
from typing import Any

import httpx
import pytest
from asking import BATCH, MODEL, OID, commit, file, refused
from clients import TOKEN

from hub_cards.local_hub import Hub, cards, limits
from hub_cards.local_hub.cards import check, metadata
from hub_cards.local_hub.changes import Operation, apply
from hub_cards.local_hub.guard import HEADER

# Nesting, lists, numbers, types

DEEP = b"[" * 100_000 + b"]" * 100_000
BODIES: dict[str, tuple[str, Any]] = {
    "deep": ("/api/validate-yaml", b'{"content": ' + DEEP + b"}"),
    "deep, but read": ("/api/validate-yaml", b'{"content": ' + b"[" * 200 + b"]" * 200 + b"}"),
    "deep in a list": ("/_local/faults", DEEP),
    "deep in a commit": (f"{MODEL}/commit/main", b'{"key": "header", "value": ' + DEEP + b"}"),
    "deep in paths": (f"{MODEL}/paths-info/main", DEEP),
    "half a character": (f"{MODEL}/tag/main", b'{"tag": "x", "message": "\\ud800"}'),
    "half a character in a title": ("/api/collections", b'{"title": "\\udfff", "namespace": "my-org"}'),
    "not UTF-8": ("/api/validate-yaml", b'{"content": "\xff"}'),
    "a list": ("/api/repos/create", []),
    "a list of numbers": (f"{MODEL}/paths-info/main", {"paths": [1]}),
    "a long list": (f"{MODEL}/paths-info/main", {"paths": ["a"] * 30_000}),
    "many files": (f"{MODEL}/preupload/main", {"files": [{}] * 30_000}),
    "no path": (f"{MODEL}/preupload/main", {"files": [{"size": 1}]}),
    "a path of a number": (f"{MODEL}/preupload/main", {"files": [{"path": 1, "size": 1}]}),
    "a size of a text": (f"{MODEL}/preupload/main", {"files": [{"path": "a", "size": "1"}]}),
    "a sample of a number": (f"{MODEL}/preupload/main", {"files": [{"path": "a", "size": 1, "sample": 5}]}),
    "patterns of a number": (f"{MODEL}/preupload/main", {"gitIgnore": 5, "files": []}),
    "a message of an object": (f"{MODEL}/tag/main", {"tag": "x", "message": {}}),
    "a long message": (f"{MODEL}/tag/main", {"tag": "x", "message": "x" * 30_000}),
    "a branch of a list": (f"{MODEL}/branch/b", {"startingPoint": ["main"]}),
    "a message of a list": (f"{MODEL}/super-squash/main", {"message": ["x"]}),
    "a card of a list": ("/api/validate-yaml", {"content": ["x"]}),
    "a title of a list": ("/api/collections", {"title": ["x"], "namespace": "my-org"}),
    "a description of an object": ("/api/collections", {"title": "x", "namespace": "my-org", "description": {}}),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_malformed_body_is_refused(http: httpx.Client, name: str) -> None:
    path, value = BODIES[name]
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    started = time.process_time()
    refused(http.post(path, content=body, headers=HEADER | {"Content-Type": "application/json"}))
    assert time.process_time() - started < 2
    assert http.get(f"{MODEL}/commits/main").headers["X-Total-Count"] == "1"  # the initial commit


def test_a_malformed_namespace_or_kind_is_refused(http: httpx.Client) -> None:
    refused(http.post("/api/repos/create", json={"name": "x", "organization": ["my-org"]}), 403)
    refused(http.post("/api/repos/create", json={"name": "x", "type": ["model"]}), 400)
    refused(http.put(f"{MODEL}/settings", json={"gated": [[]]}), 400)


OPERATIONS: dict[str, dict[str, Any]] = {
    "a path of a number": file(1),
    "no path": file(""),
    "a deep path": file("a/" * 3000 + "a"),
    "a deep path of short names": file("a/" * 100 + "a"),
    "a long name": file("a" * 300),
    "a long name in UTF-8": file("ü" * 200),
    "a content of a number": file("a", 1),
    "no content": {"key": "file", "value": {"path": "a"}},
    "bad base64": {"key": "file", "value": {"path": "a", "content": "x", "encoding": "base64"}},
    "another key": {"key": "x", "value": {"path": "a"}},
    "a key of a list": {"key": [], "value": {"path": "a"}},
    "a value of a list": {"key": "file", "value": []},
    "a huge size": {"key": "lfsFile", "value": {"path": "a", "oid": OID, "size": 10**18}},
    "a negative size": {"key": "lfsFile", "value": {"path": "a", "oid": OID, "size": -2}},
    "a size of a text": {"key": "lfsFile", "value": {"path": "a", "oid": OID, "size": "5"}},
    "an id of a number": {"key": "lfsFile", "value": {"path": "a", "oid": 5}},
    "a deletion of a list": {"key": "deletedFolder", "value": {"path": ["a"]}},
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_malformed_operation_is_refused(http: httpx.Client, name: str) -> None:
    refused(commit(http, OPERATIONS[name]))


def test_the_size_of_a_commit_is_limited(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(commit(http, parentCommit=5))
    refused(commit(http, summary={}))
    refused(commit(http, description="x" * 30_000))
    refused(http.post(f"{MODEL}/commit/main", content=b"[]\n"))
    refused(http.post(f"{MODEL}/commit/main", content=b""))
    refused(http.post(f"{MODEL}/commit/main", content=b"\n" * 100_000), 413)
    refused(http.post(f"{MODEL}/commit/main", content=b'"' + b"x" * (17 << 20) + b'"'), 413)
    monkeypatch.setattr(limits, "OPERATIONS", 3)
    assert commit(http, *[file(f"a{number}") for number in range(3)]).status_code == 200
    refused(commit(http, *[file(f"b{number}") for number in range(4)]), 413)


def test_a_commit_takes_time_proportional_to_its_operations() -> None:
    files = {f"{number}/a": "x" for number in range(20_000)}
    started = time.process_time()
    assert apply(files, [Operation(f"{number}", folder=True) for number in range(19_999)], hash) == {"19999/a": "x"}
    assert time.process_time() - started < 2


def test_a_body_that_is_too_large_is_refused_before_it_arrives(shared: Hub, http: httpx.Client) -> None:
    headers = [f"Host: {shared.endpoint.removeprefix('http://')}", f"Authorization: Bearer {TOKEN}"]
    for path in ("/api/validate-yaml", f"{MODEL}/commit/main", BATCH, f"{MODEL}/paths-info/main"):
        with socket.create_connection(("127.0.0.1", int(headers[0].rpartition(":")[2])), timeout=5) as stream:
            head = [f"POST {path} HTTP/1.1", *headers, f"Content-Length: {10**15}", "", ""]
            stream.sendall("\r\n".join(head).encode())
            assert stream.recv(100).startswith(b"HTTP/1.1 413 ")
    packed = gzip.compress(b'{"content": "' + bytes(9 << 20) + b'"}')
    refused(http.post("/api/validate-yaml", content=packed, headers={"Content-Encoding": "gzip"}), 413)
    refused(http.post("/api/validate-yaml", content=b"x", headers={"Content-Encoding": "gzip"}), 400)
    assert http.post("/api/validate-yaml", content=b"{}", headers={"Content-Type": "a; charset=x"}).status_code == 200


def aliases(levels: int, value: str) -> str:
    """Return YAML that is short as written, but grows threefold with each level when it is expanded."""
    lines = [f"a{level}: &a{level} {value.replace('@', f'*a{level - 1}')}" for level in range(1, levels)]
    return "\n".join(["a0: &a0 {x: 1}", *lines, f"language: *a{levels - 1}"])


CARDS = {
    "aliases": aliases(30, "[@, @, @]"),
    "merged aliases": aliases(30, "{<<: [@, @, @]}"),
    "a value that holds itself": "language: &a [*a]",
    "deep": "a: " + "[" * 600 + "]" * 600,
    "deep, but read": "a: " + "[" * 200 + "]" * 200,
    "many values": "a: [" + "a," * 2_000 + "]",
    "a day that is not": "a: 2024-13-45",
    "a number that is not": "a: !!int x",
    "a number of nothing": "a: !!int ''",
    "a moment that is not": "a: !!timestamp x",
    "a long number": "a: " + "9" * 5000,
    "no end": "a: " + "x" * (70 << 10),
}


@pytest.mark.parametrize("name", CARDS)
def test_metadata_that_expands_or_is_invalid_is_refused(
    http: httpx.Client, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards, "_VALUES", 1000)
    card = f"---\n{CARDS[name]}\n---\n"
    started = time.process_time()
    refused(http.post("/api/validate-yaml", json={"content": card}), 400)
    assert time.process_time() - started < 4
    assert metadata(card) == {}


def test_metadata_that_json_cannot_represent_does_not_hide_a_repository(http: httpx.Client) -> None:
    card = f"---\nlicense: mit\na: .nan\nb: 0x{'f' * 6000}\nc: !!binary aGk=\nd: !!set {{e}}\nf: [&t x, *t]\n---\n"
    assert commit(http, file("README.md", card)).status_code == 200
    response = http.get(MODEL)
    assert (response.json()["cardData"]["license"], response.json()["cardData"]["f"]) == ("mit", ["x", "x"])
    assert "NaN" not in response.text
    assert (
        check(f"---\nlanguage: [{','.join(['1'] * 100)}]\n---\n")[0]
        == ['"language" must only contain ISO 639-1, 639-2 or 639-3 codes: 1'] * 20
    )


@pytest.mark.parametrize("value", ["²", "9" * 5000, "-1", "1.5", "x"])
def test_an_invalid_number_in_a_query_is_refused(http: httpx.Client, value: str) -> None:
    for path in ("/api/models?limit=", "/api/models?cursor=", f"{MODEL}/tree/main?limit=", "/api/collections?limit="):
        refused(http.get(path + value), 400)
    refused(http.put(f"/lfs/upload/{OID}?part={value}", content=b"x"), 400)
    refused(http.put(f"/lfs/upload/{OID}?size={value}", content=b"x"), 400)


def test_a_range_with_huge_numbers_is_handled(http: httpx.Client) -> None:
    path = "/my-org/m/resolve/main/.gitattributes"
    whole = http.get(path).content
    huge = "9" * 5000
    assert http.get(path, headers={"Range": f"bytes=0-{huge}"}).content == whole
    assert http.get(path, headers={"Range": f"bytes=-{huge}"}).content == whole
    assert http.get(path, headers={"Range": f"bytes={huge}-"}).status_code == 416


def test_long_names_and_ids_of_other_objects_are_handled(http: httpx.Client) -> None:
    long = "a" * 300
    wide = "%C3%BC" * 190  # more bytes than a file name may have
    for path in (f"/api/models/{long}/m", f"/api/models/my-org/{long}", f"{MODEL}/revision/{wide}"):
        refused(http.get(path), 404)
    for path in (f"/api/collections/my-org/{long}", f"/api/collections/{long}/x", f"/api/collections/my-org/{wide}"):
        refused(http.get(path), 404)
    refused(http.delete(f"{MODEL}/tag/{wide}"), 404)
    refused(http.post(f"{MODEL}/branch/{wide}", json={}), 400)
    assert commit(http, {"key": "file", "value": {"path": "b", "content": "/////w==", "encoding": "base64"}}).is_success
    blob = hashlib.sha1(b"blob 4\0\xff\xff\xff\xff", usedforsecurity=False).hexdigest()
    refused(http.get(f"{MODEL}/revision/{blob}"), 404)
    refused(http.get("/api/whoami-v2", headers={b"Authorization": b"Bearer \xff"}), 401)


def test_an_error_message_fits_into_a_header(http: httpx.Client) -> None:
    answer = commit(http, file("a/.git/" + "x" * 200 + "/y" * 50))
    assert len(answer.headers["X-Error-Message"]) < 600
    answer = http.put(f"{MODEL}/settings", json={"x": 1})
    assert answer.status_code == 200
    answer = commit(http, {"key": "x" * 100_000, "value": {"path": "a"}})
    assert (answer.status_code, len(answer.headers["X-Error-Message"]) < 600) == (400, True)


def test_the_contents_of_a_collection_are_limited(http: httpx.Client) -> None:
    slug = http.post("/api/collections", json={"title": "bounded", "namespace": "my-org"}).json()["slug"]
    path = f"/api/collections/{slug}"
    for value in ({"title": "x" * 100}, {"title": ""}, {"description": "x" * 30_000}, {"items": []}):
        refused(http.patch(path, json=value))
    for item in ("x", {"type": [], "id": "x"}, {"type": "paper", "id": "x" * 1000}, None):
        refused(http.post(f"{path}/items", json={"item": item}))
    refused(http.post(f"{path}/items", json={"item": {"type": "paper", "id": "1"}, "note": {}}))
    item_id = http.post(f"{path}/items", json={"item": {"type": "paper", "id": "1"}}).json()["items"][0]["_id"]
    for position in (10**18, -1, "1", None, 1.5, True):
        refused(http.patch(f"{path}/items/{item_id}", json={"position": position}))
    assert http.get(path).json()["items"][0]["_id"] == item_id
