"""A local Hub, and the real clients in processes of their own."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from clients import ACCOUNTS, TOKEN, check_store, environment, give_home
from warm import Warm

from hub_cards.local_hub import Hub, start

_HEAD = """
import json, warnings
from pathlib import Path
from huggingface_hub import (CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi, hf_hub_download,
                             snapshot_download)
api = HfApi()
def status(call):
    try:
        call()
    except Exception as error:
        response = getattr(error, "response", None)
        return [type(error).__name__, response.status_code if response is not None else None]
    return "passed"
def give(value):
    print("\\n" + json.dumps(value))
"""

Run = Callable[..., Any]


@pytest.fixture
def hub(tmp_path: Path, port: int, link: Path) -> Iterator[Hub]:
    """Serve an empty folder; afterwards, assert that it contains no token and that git finds no error.

    A `kill` fault kills the process whose id is in the file `pid`.
    """
    give_home(link, tmp_path / "home")
    settings: dict[str, Any] = {"page": 3, "part": 1000, "to_kill": tmp_path / "pid", "port": port}
    with start(tmp_path / "hub", accounts=ACCOUNTS, **settings) as server:
        yield server
    check_store(tmp_path / "hub")


@pytest.fixture
def client(hub: Hub, tmp_path: Path, link: Path, warm_script: Warm) -> Run:
    """Return a function that runs a script with a client and returns the value passed to `give(value)`."""

    def run(script: str, *, token: str = TOKEN) -> Any:
        result = warm_script.run([_HEAD + script], tmp_path, environment(hub, link, token))
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout.strip().rpartition("\n")[2])

    return run


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Serve one folder for all tests of a module, none of which may leave a change behind."""
    folder = tmp_path_factory.mktemp("shared")
    with start(folder / "hub", accounts=ACCOUNTS, page=3, part=1000, to_kill=folder / "pid") as server:
        yield server
    check_store(folder / "hub")


@pytest.fixture(scope="module")
def sender(shared: Hub) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=shared.endpoint, headers=headers, trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture
def http(shared: Hub, sender: httpx.Client) -> Iterator[httpx.Client]:
    """Return a client of the shared server, on which a repository exists for the duration of one test."""
    repository = {"name": "m", "organization": "my-org"}
    assert sender.post("/api/repos/create", json=repository).status_code == 200
    yield sender
    shared.reset_faults()
    assert sender.request("DELETE", "/api/repos/delete", json=repository).status_code == 200
    for name in ("lfs", "parts"):
        shutil.rmtree(shared.root / name, ignore_errors=True)
