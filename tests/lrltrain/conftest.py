"""What the tests of training share: a small text, a small base model, and a runner for the command."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from grids import start, write_recipe
from warm import FIXED, Warm

from lrldata.conceptnet.build import build
from lrldata.conceptnet.config import load_config
from lrldata.progress import Progress

FAST = [
    "--base",
    "lrl-mini",
    "--batch-size",
    "4",
    "--max-length",
    "64",
    "--learning-rate",
    "5e-3",
    "--reduction-factor",
    "4",
]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask no Hub for anything: huggingface_hub 2 tries again for half a minute before it says that there is none."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace with the built-in dataset in it; tests write their adapters elsewhere."""
    out = tmp_path_factory.mktemp("workspace")
    build(load_config(None, {"lang": "ro", "sample": True, "out": out, "cache": out / "cache"}), Progress(quiet=True))
    return out


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the workspace of an undisturbed grid; tests that change one make their own copy."""
    folder = tmp_path_factory.mktemp("whole")
    done = start("grid", write_recipe(folder, folder / "out"), "--quiet", "--workers", 1, cwd=folder)
    told, errors = done.communicate(timeout=300)
    assert done.returncode == 0, errors
    assert "13 of 13 jobs done." in told
    return folder / "out"


@pytest.fixture(scope="session")
def scripts() -> Iterator[Warm]:
    """Return what runs scripts of somebody who has the libraries, offline, without importing these again."""
    with Warm("script", os.environ | FIXED) as running:
        yield running


@pytest.fixture
def lrltrain(tmp_path: Path, warm: Warm) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command in a process of its own, offline."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "200"}
        return warm.run(list(map(str, arguments)), tmp_path, os.environ | own | FIXED | environment)

    return run


@pytest.fixture
def fit(workspace: Path, tmp_path: Path, lrltrain: Callable[..., subprocess.CompletedProcess[str]]):  # noqa: ANN201
    """Fit on the built-in dataset into tmp_path, and return the adapter's folder or the process that failed."""

    def run(*arguments: object, method: str = "seq_bn_inv", steps: int = 6, **environment: str) -> Path:
        dataset = workspace / "datasets" / "ro" / "conceptnet"
        done = lrltrain(
            *("fit", "--lang", "ro", "--dataset", dataset, "--method", method, "--steps", steps, *FAST),
            *("--out", tmp_path / "out", "--cache", workspace / "cache", *arguments),
            **environment,
        )
        assert done.returncode == 0, done.stderr
        return tmp_path / "out" / "adapters" / "ro" / "lrl-mini" / f"conceptnet-{method}"

    return run
