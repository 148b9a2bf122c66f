"""A workspace, a local Hub, and the command in processes of its own."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from clients import ACCOUNTS, TOKEN, check_store, environment

from hub_cards.local_hub import Hub, start
from lrldata.conceptnet.build import build
from lrldata.conceptnet.config import load_config
from lrldata.progress import Progress

collect_ignore = [] if find_spec("torch") else ["test_adapters.py"]  # the data half is tested without torch too


@pytest.fixture(scope="session")
def sample_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace with the built-in dataset; tests copy it before they change it."""
    out = tmp_path_factory.mktemp("sample")
    flags = {"lang": "ro", "sample": True, "out": out / "ws", "cache": out / "cache"}
    build(load_config(None, flags), Progress(quiet=True))
    return out / "ws"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """Serve an empty folder; afterwards no token may be anywhere in it, and git must find nothing wrong."""
    with start(tmp_path / "hub", accounts=ACCOUNTS) as server:
        yield server
    check_store(tmp_path / "hub")


@pytest.fixture
def lrl(hub: Hub, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command in a process of its own; what it prints may hold no token and no signature."""

    def run(*arguments: object, token: str = TOKEN, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "hub_cards.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=environment(hub, tmp_path / "home", token) | {"COLUMNS": "200"} | more,
            timeout=300,
        )
        for account in ACCOUNTS["tokens"]:
            assert account["token"] not in done.stdout + done.stderr
        assert "Signature=" not in done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def push(lrl: Any, sample_workspace: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Publish Romanian under my-org."""

    def run(*arguments: object, out: Path = sample_workspace, **more: str) -> subprocess.CompletedProcess[str]:
        return lrl("push-hub", "--lang", "ro", "--namespace", "my-org", "--out", out, *arguments, **more)

    return run


@pytest.fixture
def fresh(hub: Hub, tmp_path: Path) -> Callable[..., str]:
    """Run a script of somebody who only has the real clients, and return what it prints."""

    def run(script: str, **more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=environment(hub, tmp_path / "home", "") | {"HF_TOKEN": ""} | more,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def written(hub: Hub) -> Callable[[], int]:
    """Count the requests so far that may have changed something."""
    return lambda: sum(entry["wrote"] for entry in hub.journal())
