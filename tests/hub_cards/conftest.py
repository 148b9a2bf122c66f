"""A workspace, a local Hub, and the command in processes of its own."""

import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from clients import ACCOUNTS, TOKEN, check_store, environment, give_home
from warm import Warm

from hub_cards.local_hub import Hub, start
from lrldata.conceptnet.build import build
from lrldata.conceptnet.config import load_config
from lrldata.progress import Progress

collect_ignore = [] if find_spec("torch") else ["test_adapters.py"]  # the data packages are also tested without torch


@pytest.fixture(scope="session")
def sample_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace with the built-in dataset; tests copy it before they change it."""
    out = tmp_path_factory.mktemp("sample")
    flags = {"lang": "ro", "sample": True, "out": out / "ws", "cache": out / "cache"}
    build(load_config(None, flags), Progress(quiet=True))
    return out / "ws"


@pytest.fixture(scope="session")
def warm_lrl(port: int, link: Path) -> Iterator[Warm]:
    """Return a runner for `lrl` that does not import its libraries again."""
    with Warm("hub_cards", environment(f"http://127.0.0.1:{port}", link, "")) as runner:
        yield runner


@pytest.fixture
def hub(tmp_path: Path, port: int, link: Path) -> Iterator[Hub]:
    """Serve an empty folder; afterwards, assert that it contains no token and that git finds no error."""
    give_home(link, tmp_path / "home")
    with start(tmp_path / "hub", accounts=ACCOUNTS, port=port) as server:
        yield server
    check_store(tmp_path / "hub")


@pytest.fixture
def lrl(hub: Hub, tmp_path: Path, link: Path, warm_lrl: Warm) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs `lrl` in its own process and asserts that it prints no token and no signature.

    If environment variables are passed, the process is not forked, because libraries read some of them at import.
    """

    def run(*arguments: object, token: str = TOKEN, **extra: str) -> subprocess.CompletedProcess[str]:
        variables = environment(hub, link, token) | {"COLUMNS": "200"} | extra
        result = warm_lrl.run(list(map(str, arguments)), tmp_path, variables, forked=not extra)
        for account in ACCOUNTS["tokens"]:
            assert account["token"] not in result.stdout + result.stderr
        assert "Signature=" not in result.stdout + result.stderr
        return result

    return run


@pytest.fixture
def push(lrl: Any, sample_workspace: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that publishes Romanian under my-org."""

    def run(*arguments: object, out: Path = sample_workspace, **extra: str) -> subprocess.CompletedProcess[str]:
        return lrl("push-hub", "--lang", "ro", "--namespace", "my-org", "--out", out, *arguments, **extra)

    return run


@pytest.fixture
def fresh(hub: Hub, tmp_path: Path, link: Path, warm_script: Warm) -> Callable[..., str]:
    """Return a function that runs a script as a user who has only the real clients, and returns its output."""

    def run(script: str, *arguments: str) -> str:
        result = warm_script.run([script, *arguments], tmp_path, environment(hub, link, ""))
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


@pytest.fixture
def written(hub: Hub) -> Callable[[], int]:
    """Return a function that counts the requests so far that may have changed something."""
    return lambda: sum(entry["wrote"] for entry in hub.journal())
