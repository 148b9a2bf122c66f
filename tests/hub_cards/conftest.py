"""A workspace, a local Hub, and the command in processes of its own."""

import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from clients import ACCOUNTS, TOKEN, check_store, environment, free_port
from warm import Warm

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


@pytest.fixture(scope="session")
def port() -> int:
    """Return the port of all Hubs, one after the other: their clients have read HF_ENDPOINT before there is one."""
    return free_port()


@pytest.fixture(scope="session")
def link(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the HF_HOME of all clients: a link to the folder of the test."""
    return tmp_path_factory.mktemp("link") / "home"


@pytest.fixture(scope="session")
def warm_lrl(port: int, link: Path) -> Iterator[Warm]:
    """Return what runs `lrl` without importing its libraries again."""
    with Warm("hub_cards", environment(f"http://127.0.0.1:{port}", link, "")) as running:
        yield running


@pytest.fixture(scope="session")
def warm_script(port: int, link: Path) -> Iterator[Warm]:
    """Return what runs scripts without importing the Hub's clients again."""
    with Warm("script", environment(f"http://127.0.0.1:{port}", link, "")) as running:
        yield running


@pytest.fixture
def hub(tmp_path: Path, port: int, link: Path) -> Iterator[Hub]:
    """Serve an empty folder; afterwards no token may be anywhere in it, and git must find nothing wrong."""
    (tmp_path / "home").mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path / "home")
    with start(tmp_path / "hub", accounts=ACCOUNTS, port=port) as server:
        yield server
    check_store(tmp_path / "hub")


@pytest.fixture
def lrl(hub: Hub, tmp_path: Path, link: Path, warm_lrl: Warm) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command in a process of its own; what it prints may hold no token and no signature.

    With variables of its own it is not forked, as libraries read some of them as they are loaded.
    """

    def run(*arguments: object, token: str = TOKEN, **more: str) -> subprocess.CompletedProcess[str]:
        own = environment(hub, link, token) | {"COLUMNS": "200"} | more
        done = warm_lrl.run(list(map(str, arguments)), tmp_path, own, forked=not more)
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
def fresh(hub: Hub, tmp_path: Path, link: Path, warm_script: Warm) -> Callable[..., str]:
    """Run a script of somebody who only has the real clients, and return what it prints."""

    def run(script: str, *arguments: str) -> str:
        done = warm_script.run([script, *arguments], tmp_path, environment(hub, link, ""))
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def written(hub: Hub) -> Callable[[], int]:
    """Count the requests so far that may have changed something."""
    return lambda: sum(entry["wrote"] for entry in hub.journal())
