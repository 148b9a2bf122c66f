"""Fixtures shared by the training tests: a workspace, a finished grid, and runners for the command and for scripts."""

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
    "--eval-blocks",
    "8",
]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep tests offline, and out of the user's cache.

    huggingface_hub 2 retries for half a minute before it reports that there is no network.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace that contains the built-in dataset; tests write their adapters elsewhere."""
    out = tmp_path_factory.mktemp("workspace")
    build(load_config(None, {"lang": "ro", "sample": True, "out": out, "cache": out / "cache"}), Progress(quiet=True))
    return out


@pytest.fixture(scope="session")
def grid_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the workspace of an uninterrupted grid; tests that modify it make their own copy."""
    folder = tmp_path_factory.mktemp("whole")
    process = start("grid", write_recipe(folder, folder / "out"), "--quiet", "--workers", 1, cwd=folder)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "13 of 13 jobs done." in output
    return folder / "out"


@pytest.fixture(scope="session")
def scripts() -> Iterator[Warm]:
    """Return a runner for users' scripts, offline, in which only third-party libraries are imported in advance."""
    with Warm("script", os.environ | FIXED) as running:
        yield running


@pytest.fixture
def lrltrain(tmp_path: Path, warm: Warm) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command offline, in its own process."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        defaults = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "200"}
        return warm.run(list(map(str, arguments)), tmp_path, os.environ | defaults | FIXED | environment)

    return run


@pytest.fixture
def fit(workspace: Path, tmp_path: Path, lrltrain: Callable[..., subprocess.CompletedProcess[str]]):  # noqa: ANN201
    """Fit on the built-in dataset, write below tmp_path, and return the adapter's folder."""

    def run(*arguments: object, method: str = "seq_bn_inv", steps: int = 6, **environment: str) -> Path:
        dataset = workspace / "datasets" / "ro" / "conceptnet"
        result = lrltrain(
            *("fit", "--lang", "ro", "--dataset", dataset, "--method", method, "--steps", steps, *FAST),
            *("--out", tmp_path / "out", "--cache", workspace / "cache", *arguments),
            **environment,
        )
        assert result.returncode == 0, result.stderr
        return tmp_path / "out" / "adapters" / "ro" / "lrl-mini" / f"conceptnet-{method}"

    return run
