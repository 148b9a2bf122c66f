"""The Hub's npm client reads what huggingface_hub published: a check with an independent client of the protocol."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clients import ACCOUNTS, TOKEN, check_store, environment, give_home

from hub_cards.local_hub import Hub, start
from hub_cards.local_hub.changes import Large

SOURCE = Path(__file__).parent / "npm"
LARGE = os.urandom(11 << 20)  # too large for a regular file, whatever its name
TEXT = b"# Card\n" * 100
PUBLISH = """
folder = Path("folder")
api.create_repo("my-org/d", repo_type="dataset", private=True)
api.upload_folder(repo_id="my-org/d", repo_type="dataset", folder_path=folder, commit_message="Publish")
api.create_tag("my-org/d", repo_type="dataset", tag="v1.0.0")
api.upload_file(path_or_fileobj=b"later", path_in_repo="README.md", repo_id="my-org/d", repo_type="dataset")
give(api.list_repo_files("my-org/d", repo_type="dataset", revision="v1.0.0"))
"""


@pytest.fixture
def hub(tmp_path: Path, port: int, link: Path) -> Iterator[Hub]:
    """Serve an empty folder, with larger parts than in other tests, and with pages that are too small for a tree."""
    give_home(link, tmp_path / "home")
    with start(tmp_path / "hub", accounts=ACCOUNTS, page=2, part=4 << 20, port=port) as server:
        yield server
    check_store(tmp_path / "hub")


@pytest.fixture
def npm(tmp_path: Path) -> Callable[..., Any]:
    """Install the client, and return a function that runs our script with it and returns the parsed output."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("npm and node are not installed")
    folder = tmp_path / "npm"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("node_modules"))
    install = [
        "npm",
        "install",
        "--ignore-scripts",
        "--omit=optional",
        "--prefer-offline",
        "--fetch-retries=1",
        "--no-audit",
        "--no-fund",
    ]
    try:
        subprocess.run(install, cwd=folder, check=True, capture_output=True, timeout=180)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"npm cannot install the client: {' '.join((error.stderr or b'').decode().split())[:200]}")

    def run(hub: Hub, *arguments: str) -> Any:
        result = subprocess.run(
            ["node", "read.mjs", hub.endpoint, *arguments],
            cwd=folder,
            env=environment(hub, tmp_path / "home", TOKEN),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    return run


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_the_npm_client_reads_at_a_tag_what_the_python_client_published(
    npm: Callable[..., Any], client: Any, hub: Hub, tmp_path: Path
) -> None:
    (tmp_path / "folder" / "data" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "README.md").write_bytes(TEXT)
    (tmp_path / "folder" / "data" / "small.txt").write_bytes(b"1")
    (tmp_path / "folder" / "data" / "deep" / "large.dat").write_bytes(LARGE)
    paths = client(PUBLISH)
    seen = npm(hub, "dataset/my-org/d", "v1.0.0")
    attributes = seen["files"].pop(".gitattributes"), seen["raw"].pop(".gitattributes")
    assert attributes[0] == attributes[1]
    assert sorted(paths) == sorted([".gitattributes", *seen["files"]])
    assert seen["files"] == {
        "README.md": digest(TEXT),
        "data/small.txt": digest(b"1"),
        "data/deep/large.dat": digest(LARGE),
    }
    pointer = Large(digest(LARGE), len(LARGE)).pointer()
    assert seen["raw"] == seen["files"] | {"data/deep/large.dat": digest(pointer)}
    assert seen["large"] == [["data/deep/large.dat", digest(LARGE), len(LARGE)]]
    assert seen["folders"] == ["data", "data/deep"]
    assert seen["nothing"] == [None, False]
    assert seen["commits"] == ["Publish", "initial commit"]
    assert (seen["user"], seen["datasets"], seen["hidden"]) == ("tester", ["my-org/d"], [])
