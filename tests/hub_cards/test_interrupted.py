"""A publication may be interrupted at any request: when it is run again, it ends with one commit and one tag."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
import runs
from clients import ACCOUNTS, TOKEN, check_store, free_port
from stores import commits, git, store, tags, tree

from hub_cards.local_hub import Hub, start

pytestmark = pytest.mark.slow
Push = Callable[[Hub], int]
Serve = Callable[[], Any]


@pytest.fixture(scope="session")
def port() -> int:
    """Return one port for all servers: processes are forked from one that has already read HF_ENDPOINT."""
    number = free_port()
    with pytest.MonkeyPatch.context() as patch:
        settings = {"HF_ENDPOINT": f"http://127.0.0.1:{number}", "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
        settings |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        for name, value in settings.items():
            patch.setenv(name, value)
        multiprocessing.get_context("forkserver").set_forkserver_preload(["runs"])
        forkserver.ensure_running()
    return number


@pytest.fixture
def serve(tmp_path: Path, port: int) -> Serve:
    """Return a function that serves an empty Hub; call it for one Hub after the other."""
    numbers = count()

    @contextmanager
    def serving() -> Iterator[Hub]:
        root = tmp_path / f"hub{next(numbers)}"
        with start(root, accounts=ACCOUNTS, port=port, to_kill=tmp_path / "pid") as server:
            yield server

    return serving


@pytest.fixture
def push(sample_workspace: Path, tmp_path: Path) -> Push:
    """Return a function that publishes in a process that the server can kill, and returns its exit code."""

    def run(hub: Hub) -> int:
        arguments = (hub.endpoint, TOKEN, str(sample_workspace), str(tmp_path / "pid"))
        process = multiprocessing.get_context("forkserver").Process(target=runs.push, args=arguments)
        process.start()
        process.join(120)
        assert process.exitcode is not None
        return process.exitcode

    return run


Content = tuple[dict[str, str], int]


def published(hub: Hub) -> Content:
    """Assert that there is one commit and one tag; return the files at the tag, and the number of collection items."""
    repository = store(hub.root, "datasets", "my-org/lrl-ro")
    assert (commits(repository), list(tags(repository))) == (1, ["v1.0.0"])
    assert tags(repository)["v1.0.0"] == git(repository, "rev-parse", "main").strip()
    item_requests = [entry for entry in hub.journal() if entry["wrote"] and entry["path"].endswith("/items")]
    return tree(repository, "v1.0.0"), len(item_requests)


@pytest.fixture
def undisturbed(serve: Serve, push: Push) -> tuple[Content, list[str]]:
    """Return what is published without any fault, and the requests that this takes."""
    with serve() as hub:
        assert push(hub) == runs.DONE
        return published(hub), [f"{entry['method']} {entry['path']}" for entry in hub.journal()]


def test_after_kills_at_any_request_a_rerun_ends_with_one_commit_and_one_tag(
    serve: Serve, push: Push, undisturbed: tuple[Content, list[str]]
) -> None:
    """The first run is killed after a request is carried out, the second before one is."""
    content, requests = undisturbed
    assert len(requests) > 20
    for number, request in enumerate(requests, 1):
        with serve() as hub:
            hub.faults({"do": "kill", "nth": number, "when": "after"})
            assert push(hub) == runs.KILLED, request
            hub.faults({"do": "kill", "nth": number})
            assert push(hub) in {runs.KILLED, runs.DONE}, request  # the second run may take fewer requests
            hub.reset_faults()
            assert push(hub) == runs.DONE, request
            assert published(hub) == content, request
            if "/commit/" in request or "/tag/" in request:
                before = sum(entry["wrote"] for entry in hub.journal())
                assert push(hub) == runs.DONE
                assert sum(entry["wrote"] for entry in hub.journal()) == before, "nothing is left to do"
    check_store(hub.root)


FAULTS: dict[str, list[dict[str, Any]]] = {  # of a request and those that follow, which mostly repeat it
    "responses": [
        {"do": "status", "status": 429, "retry_after": 2},
        {"do": "status", "status": 500, "when": "after"},
        {"do": "status", "status": 502, "html": True},
        {"do": "status", "status": 503, "retry_after": 1},
    ],
    "connections": [
        {"do": "drop"},
        {"do": "cut", "bytes": 3},
        {"do": "slow", "seconds": 0.05},
        {"do": "drop", "when": "after"},
    ],
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=list(FAULTS))
def test_a_run_survives_faults_at_any_request(
    faults: list[dict[str, Any]], serve: Serve, push: Push, undisturbed: tuple[Content, list[str]]
) -> None:
    content, requests = undisturbed
    for number, request in enumerate(requests, 1):
        with serve() as hub:
            hub.faults(*(fault | {"nth": number + place} for place, fault in enumerate(faults)))
            assert push(hub) == runs.DONE, request
            assert any("fault" in entry for entry in hub.journal()), request
            assert published(hub) == content, request
    check_store(hub.root)


def test_a_run_gives_up_on_a_busy_hub_with_a_message_and_a_rerun_finishes(
    serve: Serve, push: Push, undisturbed: tuple[Content, list[str]], tmp_path: Path
) -> None:
    with serve() as hub:
        hub.faults({"do": "status", "status": 429, "retry_after": 200, "path": "/commit/", "times": 0})
        assert push(hub) == runs.FAILED
        message = (tmp_path / "said").read_text("utf-8")
        assert "429" in message
        assert "201 s more" in message
        assert commits(store(hub.root, "datasets", "my-org/lrl-ro")) == 0
        hub.reset_faults()
        assert push(hub) == runs.DONE
        assert published(hub) == undisturbed[0]


def test_a_concurrent_commit_of_somebody_else_is_kept(serve: Serve, push: Push, tmp_path: Path) -> None:
    script = """
from huggingface_hub import HfApi
HfApi(token="hf_test_write").upload_file(
    path_or_fileobj=b"theirs", path_in_repo="theirs.txt", repo_id="my-org/lrl-ro", repo_type="dataset")
"""
    others: list[subprocess.Popen[bytes]] = []
    with serve() as hub:
        settings = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "home")}

        def meddle() -> None:
            others.append(subprocess.Popen([sys.executable, "-c", script], env=os.environ | settings))

        # Our commit is about to be sent when theirs starts, and it is delayed until theirs has landed.
        hub.faults(
            {"do": "call", "path": "/preupload/", "hook": meddle},
            {"do": "slow", "method": "POST", "path": "/commit/", "seconds": 4},
        )
        assert push(hub) == runs.DONE
        assert others[0].wait(60) == 0
        repository = store(hub.root, "datasets", "my-org/lrl-ro")
        assert commits(repository) == 2
        assert git(repository, "show", "main:theirs.txt") == "theirs"
        assert list(tags(repository)) == ["v1.0.0"]
        assert [entry["status"] for entry in hub.journal() if "/commit/" in entry["path"]].count(200) == 2
