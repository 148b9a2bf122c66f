"""Helpers for the tests of the local Hub: its accounts, a client's environment, and checks of what is on disk."""

import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from hub_cards.local_hub import Hub

TOKEN = "hf_test_write"  # noqa: S105 (a token of a test server)
FINE = {"user": "tester", "role": "fineGrained"}
ACCOUNTS: dict[str, Any] = {
    "users": {"tester": {"organisations": {"my-org": "admin", "closed-org": "admin"}}, "stranger": {}},
    "organisations": {"closed-org": {"private": True}},
    "tokens": [
        {"token": TOKEN, "user": "tester", "role": "write"},
        {"token": "hf_test_read", "user": "tester", "role": "read"},
        {
            "token": "hf_test_fine",
            "user": "tester",
            "role": "fineGrained",
            "scopes": {"my-org": ["repo.write", "collection.write"]},
        },
        {"token": "hf_test_one", "user": "tester", "role": "fineGrained", "scopes": {"my-org/lrl-ro": ["repo.write"]}},
        {"token": "hf_test_stranger", "user": "stranger", "role": "write"},
    ],
}


def check_store(root: Path) -> None:
    for repository in root.glob("repos/*/*/*.git"):
        result = subprocess.run(
            ["git", "fsck", "--strict", "--no-dangling"], cwd=repository, capture_output=True, text=True, check=False
        )
        assert (result.returncode, result.stdout) == (0, ""), result.stderr
    for path in root.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for account in ACCOUNTS["tokens"]:
                assert account["token"].encode() not in data, path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def give_home(link: Path, folder: Path) -> None:
    """Point the link that all clients have as HF_HOME to a folder of the current test."""
    folder.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(folder)


def environment(hub: Hub | str, home: Path, token: str) -> dict[str, str]:
    """Return the environment variables for a client of a Hub, given as a server or as an address."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    return inherited | {
        "HF_ENDPOINT": hub if isinstance(hub, str) else hub.endpoint,
        "HF_HOME": str(home),
        "HF_TOKEN": token,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "OMP_NUM_THREADS": "1",
        "NO_PROXY": "127.0.0.1",
    }


def go_online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the Hub's client in this process use the network, even if other tests run offline."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    reset = getattr(huggingface_hub.utils, "reset_sessions", None)  # 0.36 keeps sessions that were opened offline
    if reset is not None:
        reset()


def point_at(hub: Hub | str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the Hub's client in this process use `hub`; it reads HF_ENDPOINT only when it is imported."""
    endpoint = hub if isinstance(hub, str) else hub.endpoint
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    go_online(monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # the local Hub does not support Xet
    for module in ("constants", "file_download"):  # where versions 1.x and 0.36 look up the template
        name = f"huggingface_hub.{module}.HUGGINGFACE_CO_URL_TEMPLATE"
        monkeypatch.setattr(name, f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}", raising=False)
