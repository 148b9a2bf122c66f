"""Foreign pages in a browser, rules that name a process, and paths outside the folder: refused without a trace."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from asking import MODEL, OID, commit, file, raw, refused
from clients import TOKEN

from hub_cards.local_hub import Hub, start
from hub_cards.local_hub.guard import HEADER

DROP = [{"do": "drop"}]

# Pages in a browser

FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},  # another server on this machine is another origin
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_page_from_another_origin_gets_nothing_and_leaves_no_trace(
    shared: Hub, http: httpx.Client, headers: dict[str, str]
) -> None:
    before = shared.journal()
    text = headers | {"Content-Type": "text/plain"}
    refused(http.post("/_local/faults", content=json.dumps(DROP), headers=text), 403)
    refused(http.post("/_local/faults", json=DROP, headers=headers | HEADER), 403)
    refused(http.post("/api/repos/create", json={"name": "n"}, headers=headers), 403)
    refused(http.post("/api/validate-yaml", content='{"content": ""}', headers=text), 403)
    refused(http.put(f"/lfs/upload/{OID}", content=b"1", headers=headers), 403)
    refused(http.get("/api/whoami-v2", headers=headers), 403)  # a read is counted too, and a rule may wait for it
    assert shared.journal() == before
    assert http.get("/api/whoami-v2").status_code == 200


def test_programs_and_the_server_s_own_origin_are_answered(shared: Hub, http: httpx.Client) -> None:
    for headers in ({}, {"Origin": shared.endpoint}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
        assert http.post("/api/validate-yaml", json={"content": ""}, headers=headers).status_code == 200
        assert http.post("/_local/faults", json=[], headers=headers | HEADER).status_code == 200


def test_control_requests_need_json_and_a_header_that_a_page_cannot_send(shared: Hub, http: httpx.Client) -> None:
    for method, path in (("POST", "faults"), ("DELETE", "faults"), ("GET", "journal")):
        refused(http.request(method, f"/_local/{path}", json=[] if method == "POST" else None), 403)
        refused(http.request(method, f"/_local/{path}", headers={"X-Local-Hub": "yes"}), 403)
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "text/plain; application/json"):
        body = json.dumps(DROP)
        refused(http.post("/_local/faults", content=body, headers=HEADER | {"Content-Type": media_type}), 415)
    for path in ("/%5Flocal/faults", "//_local/faults", "/x/../_local/faults", "/_local%2Ffaults", "/_LOCAL/faults"):
        host = f"Host: {shared.endpoint.removeprefix('http://')}"
        assert raw(shared, f"POST {path}", host, "Content-Type: application/json", body=b'[{"do": "drop"}]')[0] >= 400
    assert http.get("/api/whoami-v2").status_code == 200


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        ["evil.example"],
        ["evil.example:{port}"],
        ["127.0.0.1.evil.example"],
        ["evil.example@127.0.0.1"],
        ["127.0.0.1:99999"],
        ["127.0.0.1:x"],
        ["127.0.0.1", "evil.example"],
    ],
    ids=str,
)
def test_a_host_name_that_resolves_here_but_is_not_ours_is_refused(shared: Hub, hosts: list[str]) -> None:
    lines = [f"Host: {host}".replace("{port}", shared.endpoint.rpartition(":")[2]) for host in hosts]
    assert raw(shared, "GET /api/models", *lines)[0] in {400, 403}
    assert raw(shared, "GET http://evil.example/api/models", "Host: 127.0.0.1")[0] == 403
    assert raw(shared, "GET /api/models", "Host: LocalHost:1")[0] == 200


# Which process a fault kills


@pytest.mark.parametrize(
    "rule",
    [
        {"do": "kill", "pid": 1},
        {"do": "kill", "pid_file": "/tmp/pid"},  # noqa: S108 (not opened)
        {"do": "call"},
        {"do": "call", "hook": "os.abort"},
        {"do": "drop", "path": "(a+)+$|^x"},
        {"do": "drop", "method": ".*"},
        {"do": "drop", "path": 1},
        {"do": "drop", "nth": "1"},
        {"do": "drop", "times": -1},
        {"do": "slow", "seconds": 10**9},
        {"do": "slow", "seconds": True},
        {"do": "status", "status": 99999},
        {"do": "status", "retry_after": 10**15},
        {"do": "status", "html": "x"},
        "drop",
    ],
    ids=str,
)
def test_a_rule_sent_over_http_cannot_name_a_process_or_an_unreasonable_value(http: httpx.Client, rule: Any) -> None:
    refused(http.post("/_local/faults", json=[rule], headers=HEADER))
    refused(http.post("/_local/faults", json={"0": rule}, headers=HEADER))
    assert http.get("/api/whoami-v2").status_code == 200


def test_a_fault_kills_the_process_that_was_configured_at_startup(shared: Hub, http: httpx.Client) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        (shared.root.parent / "pid").write_text(str(process.pid), "utf-8")
        assert http.post("/_local/faults", json=[{"do": "kill"}], headers=HEADER).status_code == 200
        with pytest.raises(httpx.TransportError):
            http.get("/api/whoami-v2")
        assert process.wait(10) == -9


@pytest.mark.parametrize("text", ["0", "-1", "1", "", "x", None])
def test_a_pid_file_that_names_a_group_or_no_process_kills_nothing(
    shared: Hub,
    http: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    text: str | None,
) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda process, _: killed.append(process))
    pid_file = shared.root.parent / "pid"
    pid_file.unlink(missing_ok=True)
    if text is not None:
        pid_file.write_text(text, "utf-8")
    shared.faults({"do": "kill"})
    with pytest.raises(httpx.TransportError):
        http.get("/api/whoami-v2")
    assert killed == []
    assert "no process to end" in capfd.readouterr().err


def test_a_kill_may_call_a_function_and_is_refused_if_nothing_is_configured(tmp_path: Path) -> None:
    called: list[int] = []
    with start(tmp_path / "a", to_kill=lambda: called.append(1)) as hub:
        hub.faults({"do": "kill"})
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{hub.endpoint}/api/models", trust_env=False)
    assert called == [1]
    with start(tmp_path / "b") as hub:
        with pytest.raises(ValueError, match="to_kill"):
            hub.faults({"do": "kill"})
        refused(httpx.post(f"{hub.endpoint}/_local/faults", json=[{"do": "kill"}], headers=HEADER, trust_env=False))


# Paths outside the folder

UP = ["..", "%2e%2e", "..%2f..", "%2e%2e%2f%2e%2e", "..%5c..", "%252e%252e", ".%00.", "%2fetc"]


def files_but_refs(shared: Hub) -> dict[Path, bytes]:
    """Return the files on disk, except for the journal and the refs: a request may add refs with odd names."""
    refs = shared.root / "repos" / "models" / "my-org" / "m.git" / "refs"
    paths = [path for path in shared.root.parent.rglob("*") if refs not in path.parents and "journal" not in path.name]
    return {path: path.read_bytes() if path.is_file() else b"" for path in paths}


@pytest.mark.parametrize("up", UP)
@pytest.mark.usefixtures("http")
def test_no_path_leads_out_of_the_folder(shared: Hub, up: str) -> None:
    key = (shared.root / "key").read_bytes()
    (shared.root.parent / "secret.json").write_text('{"title": "secret"}', "utf-8")
    headers = [f"Host: {shared.endpoint.removeprefix('http://')}", f"Authorization: Bearer {TOKEN}"]
    before = files_but_refs(shared)
    for path in (
        f"/{up}/{up}/{up}/key",
        f"/my-org/m/resolve/main/{up}/{up}/key",
        f"/my-org/m/resolve/{up}%2f{up}%2fhub.json/.gitattributes",
        f"/api/models/{up}/{up}",
        f"/api/models/my-org/{up}",
        f"{MODEL}/revision/refs%2fheads%2f{up}%2f{up}%2fhub.json",
        f"{MODEL}/tree/main/{up}/{up}",
        f"/api/collections/{up}/secret",
        f"/api/collections/my-org/{up}%2f{up}%2fsecret",
        f"/lfs/download/{up}/key",
    ):
        status, body = raw(shared, f"GET {path}", *headers)
        assert 400 <= status < 500, path
        assert key not in body
        assert b'"title"' not in body
    for method, path in (
        ("PUT", f"/lfs/upload/{up}%2fkey"),
        ("POST", f"{MODEL}/branch/{up}%2f{up}%2fevil"),
        ("DELETE", f"{MODEL}/branch/{up}%2f{up}%2fhub.json"),
        ("DELETE", f"{MODEL}/tag/{up}%2f{up}%2fHEAD"),
        ("DELETE", f"/api/collections/my-org/{up}%2f{up}%2fsecret"),
        ("POST", f"{MODEL}/commit/refs%2fheads%2f{up}%2f{up}%2fHEAD"),
    ):
        assert raw(shared, f"{method} {path}", *headers, body=b"{}")[0] < 500, path
    assert files_but_refs(shared) == before


NAMES = ["../evil", "my-org/../../evil", "/etc/passwd", "..", "a/b/../c", "my-org/.git", "my-org/x.git", "my-org/a\0b"]
REQUESTS: dict[str, Callable[[httpx.Client, str], httpx.Response]] = {
    "repository": lambda http, name: http.post("/api/repos/create", json={"name": name}),
    "new name": lambda http, name: http.post("/api/repos/move", json={"fromRepo": "my-org/m", "toRepo": name}),
    "tag": lambda http, name: http.post(f"{MODEL}/tag/main", json={"tag": f"a/{name}"}),
    "file": lambda http, name: commit(http, file(f"a/{name}/../b")),
    "item": lambda http, name: http.post(
        f"/api/collections/{http.get('/api/collections').json()[0]['slug']}/items",
        json={"item": {"type": "model", "id": name}},
    ),
}


@pytest.mark.parametrize("kind", REQUESTS)
def test_no_name_in_a_body_leads_out_of_the_folder(shared: Hub, http: httpx.Client, kind: str) -> None:
    http.post("/api/collections", json={"title": "t", "namespace": "my-org"})
    before = files_but_refs(shared)
    for name in NAMES:
        answer = REQUESTS[kind](http, name)
        assert answer.status_code < 500, (name, answer.text)
    assert files_but_refs(shared) == before
