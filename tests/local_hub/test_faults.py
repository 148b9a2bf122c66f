"""Faults on request, the journal, and a server that is restarted."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp.test_utils import make_mocked_request
from clients import ACCOUNTS, TOKEN, check_store, environment
from warm import Warm

from hub_cards.local_hub import Hub, start
from hub_cards.local_hub.answers import span
from hub_cards.local_hub.git import is_ref_name
from hub_cards.local_hub.guard import HEADER
from hub_cards.local_hub.journal import Journal, entries
from hub_cards.local_hub.patterns import is_ignored, is_large

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def api(hub: Hub) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=hub.endpoint, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False) as http:
        assert http.post("/api/repos/create", json={"name": "m", "organization": "my-org"}).status_code == 200
        yield http


def commit(http: httpx.Client, text: str = "eA==") -> httpx.Response:
    lines = [
        {"key": "header", "value": {"summary": "s"}},
        {"key": "file", "value": {"path": "a.txt", "content": text, "encoding": "base64"}},
    ]
    return http.post("/api/models/my-org/m/commit/main", content="\n".join(map(json.dumps, lines)).encode())


def commits(http: httpx.Client) -> int:
    return len(http.get("/api/models/my-org/m/commits/main").json())


def test_a_fault_occurs_at_the_request_that_its_rule_selects(hub: Hub, api: httpx.Client) -> None:
    hub.faults(
        {"method": "GET", "path": "whoami", "nth": 2, "times": 2, "do": "status", "status": 429, "retry_after": 7}
    )
    answers = [api.get("/api/whoami-v2") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 429, 429, 200]
    assert answers[1].headers["RateLimit"] == '"api";r=0;t=7'
    hub.faults({"path": "whoami", "times": 0, "do": "status", "status": 502, "html": True})
    answer = api.get("/api/whoami-v2")
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (502, "text/html")
    hub.reset_faults()
    assert api.get("/api/whoami-v2").status_code == 200
    assert [entry.get("fault") for entry in hub.journal()[1:]] == [None, "status", "status", None, "status", None]


@pytest.mark.parametrize(("when", "landed"), [("before", 1), ("after", 2)])
@pytest.mark.parametrize("do", ["drop", "status", "call"])
def test_a_commit_lands_only_if_the_fault_comes_after_it(
    hub: Hub, api: httpx.Client, when: str, landed: int, do: str
) -> None:
    called: list[int] = []
    hub.faults({"path": "/commit/", "do": do, "when": when, "hook": lambda: called.append(1)})
    if do == "status":
        assert commit(api).status_code == 503
    else:
        with pytest.raises(httpx.TransportError):
            commit(api)
    assert called == ([1] if do == "call" else [])
    assert hub.journal()[-1]["status"] == (503 if do == "status" else None)
    assert hub.journal()[-1]["wrote"] is (when == "after")
    assert commits(api) == landed
    assert commit(api).status_code == 200
    assert commits(api) == 2


def test_a_response_is_slow_or_cut_short(hub: Hub, api: httpx.Client) -> None:
    hub.faults({"path": "whoami", "do": "slow", "seconds": 0.3})
    started = time.monotonic()
    assert api.get("/api/whoami-v2").status_code == 200
    assert time.monotonic() - started > 0.25
    hub.faults({"path": "whoami", "do": "cut", "bytes": 10})
    with pytest.raises(httpx.RemoteProtocolError):
        api.get("/api/whoami-v2")
    assert api.get("/api/whoami-v2").status_code == 200


@pytest.mark.parametrize("rule", [{"do": "cut", "bytes": 100}, {"do": "drop"}, {"do": "drop", "when": "after"}])
def test_an_interrupted_download_of_a_large_file_can_be_retried(hub: Hub, client: Any, rule: dict[str, Any]) -> None:
    client("""
api.create_repo("my-org/m")
api.upload_file(path_or_fileobj=bytes(range(256)) * 20, path_in_repo="w.safetensors", repo_id="my-org/m")
give(0)
""")
    hub.faults({"method": "GET", "path": "/lfs/download/"} | rule)
    got = client("""
path = None
for _ in range(3):
    try:
        path = hf_hub_download("my-org/m", "w.safetensors")
        break
    except Exception as error:
        print(type(error).__name__)
give(Path(path).read_bytes() == bytes(range(256)) * 20)
""")
    assert got is True
    assert any("fault" in entry for entry in hub.journal())


def test_rules_can_be_sent_over_http_and_bad_ones_are_refused(hub: Hub, api: httpx.Client) -> None:
    api.headers.update(HEADER)
    assert api.post("/_local/faults", json=[{"path": "whoami", "do": "status"}]).json() == {"rules": 1}
    assert api.get("/api/whoami-v2").status_code == 503
    assert api.post("/_local/faults", json=[{"do": "nonsense"}]).status_code == 400
    assert api.post("/_local/faults", json=[{"do": "drop", "unknown": 1}]).status_code == 400
    assert api.delete("/_local/faults").json() == {"rules": 0}
    assert api.get("/_local/journal").json() == hub.journal()


def test_the_journal_shows_no_secret(hub: Hub, api: httpx.Client) -> None:
    api.get("/api/whoami-v2", params={"X-Signature": "secret", "expand": "1", "token": TOKEN})
    api.get(f"/{TOKEN}/hf_{'a' * 30}")
    first, second = hub.journal()[-2:]
    assert first["path"] == "/api/whoami-v2?X-Signature=...&expand=1&token=..."
    assert second["path"] == "/[redacted]/[redacted]"


def test_other_host_names_bad_signatures_and_a_second_server_are_refused(hub: Hub, api: httpx.Client) -> None:
    assert api.get("/api/whoami-v2", headers={"Host": "elsewhere.example"}).status_code == 403
    oid = "0" * 64
    assert api.put(f"/lfs/upload/{oid}?X-Signature=wrong", content=b"x").status_code == 403
    with pytest.raises(BlockingIOError), start(hub.root):
        pass


def test_a_restarted_server_continues_where_it_stopped(tmp_path: Path) -> None:
    root = tmp_path / "again"
    with start(root, accounts=ACCOUNTS) as first, httpx.Client(trust_env=False) as http:
        http.headers["Authorization"] = f"Bearer {TOKEN}"
        http.base_url = first.endpoint
        http.post("/api/repos/create", json={"name": "m", "organization": "my-org"})
        commit(http)
    with start(root, accounts=ACCOUNTS) as second, httpx.Client(trust_env=False) as http:
        http.headers["Authorization"] = f"Bearer {TOKEN}"
        http.base_url = second.endpoint
        assert commits(http) == 2
        assert [entry["n"] for entry in second.journal()] == [1, 2, 3]
    check_store(root)


@contextmanager
def _running_server(root: Path, *options: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "hub_cards.local_hub", "--root", str(root), *map(str, options)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as server:
        assert server.stdout is not None
        try:
            yield server, server.stdout.readline().strip()
        finally:
            server.terminate()


def test_the_command_prints_the_endpoint_and_recovers_from_a_kill_at_a_commit(tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps([{"path": "/commit/", "do": "kill", "when": "after"}]), "utf-8")
    with _running_server(tmp_path / "hub", "--faults", rules) as (server, line):
        assert line.startswith("export HF_ENDPOINT=http://127.0.0.1:")
        with httpx.Client(base_url=line.partition("=")[2], trust_env=False) as http:
            http.headers["Authorization"] = f"Bearer {TOKEN}"
            http.post("/api/repos/create", json={"name": "m", "organization": "my-org"})
            with pytest.raises(httpx.TransportError):
                commit(http)
        assert server.wait(10) == -9
    with _running_server(tmp_path / "hub") as (server, line), httpx.Client(base_url=line.partition("=")[2]) as http:
        http.headers["Authorization"] = f"Bearer {TOKEN}"
        assert commits(http) == 2
        server.terminate()
        assert server.wait(10) == 0
    check_store(tmp_path / "hub")


@pytest.mark.slow
def test_a_client_killed_at_any_request_of_an_upload_makes_one_commit_when_rerun(
    hub: Hub, tmp_path: Path, link: Path, warm_script: Warm
) -> None:
    script = """
import os
from pathlib import Path
from huggingface_hub import create_repo, create_tag, upload_file
Path("pid").write_text(str(os.getpid()))
create_repo("my-org/k", exist_ok=True)
upload_file(path_or_fileobj=b"w" * 2500, path_in_repo="w.safetensors", repo_id="my-org/k", commit_message="Publish")
create_tag("my-org/k", tag="v1.0.0", exist_ok=True)
"""

    def publish() -> int:
        return warm_script.run([script], tmp_path, environment(hub, link, TOKEN)).returncode

    with httpx.Client(base_url=hub.endpoint, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False) as http:
        for nth in range(1, 20):
            when = "after" if nth % 2 else "before"
            hub.faults({"nth": nth, "do": "kill", "when": when})
            if publish() == 0:
                break
            hub.reset_faults()
            assert publish() == 0
            log = http.get("/api/models/my-org/k/commits/main").json()
            assert [entry["title"] for entry in log] == ["Publish", "initial commit"]
            assert [tag["name"] for tag in http.get("/api/models/my-org/k/refs").json()["tags"]] == ["v1.0.0"]
            http.request("DELETE", "/api/repos/delete", json={"name": "k", "organization": "my-org"})
            for path in (hub.root / "lfs").glob("*/*/*"):
                path.unlink()
        else:
            pytest.fail("an upload takes fewer requests than this")
    assert nth > 5


def test_patterns_ranges_and_names_follow_the_rules_of_git_and_http() -> None:
    assert is_large("a/b.bin", "*.bin filter=lfs -text\n")
    assert not is_large("a/b.bin", "*.bin filter=lfs\na/* -filter\n")
    assert is_large("data/x/y.csv", "data/**/*.csv filter=lfs")
    assert is_ignored("a/build/x", "build/\n")
    assert not is_ignored("build", "build/\n")
    assert not is_ignored("a.log", "*.log\n!a.log\n")
    assert is_ignored("top", "/top")
    assert not is_ignored("a/top", "/top")
    assert [span(text, 10) for text in (None, "bytes=2-4", "bytes=7-", "bytes=-3", "pages=1")] == [
        *(None, (2, 5), (7, 10), (7, 10), None),
    ]
    good, bad = (
        ["v1.0.0", "a/b", "ünï"],
        ["", "a..b", "a b", "a-^", "a.lock", ".a", "a/", "a//b", "a\\b"],
    )
    assert [is_ref_name(name) for name in good + bad] == [True] * len(good) + [False] * len(bad)


def test_a_journal_that_cannot_be_written_stops_no_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, request = tmp_path / "journal.jsonl", make_mocked_request("GET", "/api/models")
    file.write_text('{"n": 1}\n{"n": 2, "meth')  # cut short
    journal = Journal(file, str)
    file.rename(tmp_path / "kept")
    file.mkdir()
    for number in (2, 3):
        journal.end(number, request, 200, None)
    assert capsys.readouterr().err.count("requests are missing from this log") == 1
    file.rmdir()
    (tmp_path / "kept").rename(file)
    journal.end(4, request, 200, None)
    assert [entry["n"] for entry in entries(file)] == [1, 4]
    with file.open("a") as journal_file:  # lines that the journal has not written
        journal_file.write('5\n{"method": "GET"}\n')
    assert [entry["n"] for entry in entries(file)] == [1, 4]
