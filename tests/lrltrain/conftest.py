"""What the tests of training share: a small text, a small base model, and a runner for the command."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lrldata.build import build
from lrldata.config import load_config
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


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace with the built-in dataset in it; tests write their adapters elsewhere."""
    out = tmp_path_factory.mktemp("workspace")
    build(load_config(None, {"lang": "ro", "sample": True, "out": out, "cache": out / "cache"}), Progress(quiet=True))
    return out


@pytest.fixture
def lrltrain(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command in a process of its own, offline."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "lrltrain.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=os.environ
            | {
                "XDG_CACHE_HOME": str(tmp_path / "cache"),
                "COLUMNS": "200",
                "HF_HUB_OFFLINE": "1",
                "OMP_NUM_THREADS": "1",
            }
            | environment,
        )

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
