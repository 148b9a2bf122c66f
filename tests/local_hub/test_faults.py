"""Faults that are asked for, the journal, and a server that is started again."""

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
from clients import ACCOUNTS, TOKEN, check_store, environment

from hub_cards.local_hub import Hub, start
from hub_cards.local_hub.answers import span
from hub_cards.local_hub.git import is_ref_name
from hub_cards.local_hub.guard import HEADER
from hub_cards.local_hub.patterns import is_ignored, is_large

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def asked(hub: Hub) -> Iterator[httpx.Client]:
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


def test_a_fault_comes_at_the_request_that_it_is_for(hub: Hub, asked: httpx.Client) -> None:
    hub.faults(
        {"method": "GET", "path": "whoami", "nth": 2, "times": 2, "do": "status", "status": 429, "retry_after": 7}
    )
    answers = [asked.get("/api/whoami-v2") for _ in range(4)]
    assert [each.status_code for each in answers] == [200, 429, 429, 200]
    assert answers[1].headers["Retry-After"] == "7"
    hub.faults({"path": "whoami", "times": 0, "do": "status", "status": 502, "html": True})
    answer = asked.get("/api/whoami-v2")
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (502, "text/html")
    hub.reset_faults()
    assert asked.get("/api/whoami-v2").status_code == 200
    assert [each.get("fault") for each in hub.journal()[1:]] == [None, "status", "status", None, "status", None]


@pytest.mark.parametrize(("when", "landed"), [("before", 1), ("after", 2)])
@pytest.mark.parametrize("do", ["drop", "status", "call"])
def test_a_commit_has_landed_or_not_as_the_rule_says(
    hub: Hub, asked: httpx.Client, when: str, landed: int, do: str
) -> None:
    called: list[int] = []
    hub.faults({"path": "/commit/", "do": do, "when": when, "hook": lambda: called.append(1)})
    if do == "status":
        assert commit(asked).status_code == 503
    else:
        with pytest.raises(httpx.TransportError):
            commit(asked)
    assert called == ([1] if do == "call" else [])
    assert hub.journal()[-1]["status"] == (503 if do == "status" else None)
    assert hub.journal()[-1]["wrote"] is (when == "after")
    assert commits(asked) == landed
    assert commit(asked).status_code == 200
    assert commits(asked) == 2


def test_an_answer_is_slow_or_cut_short(hub: Hub, asked: httpx.Client) -> None:
    hub.faults({"path": "whoami", "do": "slow", "seconds": 0.3})
    begun = time.monotonic()
    assert asked.get("/api/whoami-v2").status_code == 200
    assert time.monotonic() - begun > 0.25
    hub.faults({"path": "whoami", "do": "cut", "bytes": 10})
    with pytest.raises(httpx.RemoteProtocolError):
        asked.get("/api/whoami-v2")
    assert asked.get("/api/whoami-v2").status_code == 200


@pytest.mark.parametrize("rule", [{"do": "cut", "bytes": 100}, {"do": "drop"}, {"do": "drop", "when": "after"}])
def test_a_large_file_that_breaks_off_is_fetched_again(hub: Hub, client: Any, rule: dict[str, Any]) -> None:
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
    assert any("fault" in each for each in hub.journal())


def test_rules_come_over_the_network_and_bad_ones_are_refused(hub: Hub, asked: httpx.Client) -> None:
    asked.headers.update(HEADER)
    assert asked.post("/_local/faults", json=[{"path": "whoami", "do": "status"}]).json() == {"rules": 1}
    assert asked.get("/api/whoami-v2").status_code == 503
    assert asked.post("/_local/faults", json=[{"do": "nonsense"}]).status_code == 400
    assert asked.post("/_local/faults", json=[{"do": "drop", "unknown": 1}]).status_code == 400
    assert asked.delete("/_local/faults").json() == {"rules": 0}
    assert asked.get("/_local/journal").json() == hub.journal()


def test_the_journal_shows_no_secret(hub: Hub, asked: httpx.Client) -> None:
    asked.get("/api/whoami-v2", params={"X-Signature": "secret", "expand": "1", "token": TOKEN})
    asked.get(f"/{TOKEN}/hf_{'a' * 30}")
    first, second = hub.journal()[-2:]
    assert first["path"] == "/api/whoami-v2?X-Signature=...&expand=1&token=..."
    assert second["path"] == "/[redacted]/[redacted]"


def test_only_this_machine_under_its_own_names_is_answered(hub: Hub, asked: httpx.Client) -> None:
    assert asked.get("/api/whoami-v2", headers={"Host": "elsewhere.example"}).status_code == 403
    oid = "0" * 64
    assert asked.put(f"/lfs/upload/{oid}?X-Signature=wrong", content=b"x").status_code == 403
    with pytest.raises(BlockingIOError), start(hub.root):
        pass


def test_a_server_that_is_started_again_goes_on(tmp_path: Path) -> None:
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
        assert [each["n"] for each in second.journal()] == [1, 2, 3]
    check_store(root)


@contextmanager
def _command(root: Path, *more: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "hub_cards.local_hub", "--root", str(root), *map(str, more)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as server:
        assert server.stdout is not None
        try:
            yield server, server.stdout.readline().strip()
        finally:
            server.terminate()


def test_the_command_prints_the_endpoint_and_survives_being_killed_at_a_commit(tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps([{"path": "/commit/", "do": "kill", "when": "after"}]), "utf-8")
    with _command(tmp_path / "hub", "--faults", rules) as (server, line):
        assert line.startswith("export HF_ENDPOINT=http://127.0.0.1:")
        with httpx.Client(base_url=line.partition("=")[2], trust_env=False) as http:
            http.headers["Authorization"] = f"Bearer {TOKEN}"
            http.post("/api/repos/create", json={"name": "m", "organization": "my-org"})
            with pytest.raises(httpx.TransportError):
                commit(http)
        assert server.wait(10) == -9
    with _command(tmp_path / "hub") as (server, line), httpx.Client(base_url=line.partition("=")[2]) as http:
        http.headers["Authorization"] = f"Bearer {TOKEN}"
        assert commits(http) == 2
        server.terminate()
        assert server.wait(10) == 0
    check_store(tmp_path / "hub")


@pytest.mark.slow
def test_a_client_killed_at_each_request_of_an_upload_leaves_one_commit_in_the_end(hub: Hub, tmp_path: Path) -> None:
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
        variables = environment(hub, tmp_path / "home", TOKEN)
        command = [sys.executable, "-c", script]
        return subprocess.run(
            command, cwd=tmp_path, env=variables, check=False, capture_output=True, timeout=120
        ).returncode

    with httpx.Client(base_url=hub.endpoint, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False) as http:
        for nth in range(1, 20):
            when = "after" if nth % 2 else "before"
            hub.faults({"nth": nth, "do": "kill", "when": when})
            if publish() == 0:
                break
            hub.reset_faults()
            assert publish() == 0
            log = http.get("/api/models/my-org/k/commits/main").json()
            assert [each["title"] for each in log] == ["Publish", "initial commit"]
            assert [each["name"] for each in http.get("/api/models/my-org/k/refs").json()["tags"]] == ["v1.0.0"]
            http.request("DELETE", "/api/repos/delete", json={"name": "k", "organization": "my-org"})
            for path in (hub.root / "lfs").glob("*/*/*"):
                path.unlink()
        else:
            pytest.fail("more requests than there can be")
    assert nth > 5


def test_patterns_ranges_and_names_are_read_as_git_and_http_read_them() -> None:
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
