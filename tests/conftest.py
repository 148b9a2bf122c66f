"""Fixtures and settings shared by all tests: small dumps, runners for the commands, and the real data if it exists."""

import gzip
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from clients import environment, free_port
from hypothesis import settings
from warm import FIXED, Warm

from lrldata.output import print_notes

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers with two threads each would compete for two cores
os.environ.setdefault("RAY_worker_niceness", "0")  # at the default of 15, other tests slow a job down fivefold
settings.register_profile("any machine", deadline=None)  # a shared machine may be slow
settings.load_profile("any machine")
print_notes()  # as the commands do
collect_ignore = [] if find_spec("torch") else ["lrltrain", "real"]  # the data packages are also tested without torch
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def make_dump(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes lines (text or bytes) to a dump and returns its path."""

    def write(lines: Iterable[str | bytes], name: str = "dump.csv.gz") -> Path:
        raw = b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)
        path = tmp_path / name
        path.write_bytes(gzip.compress(raw, mtime=0) if name.endswith(".gz") else raw)
        return path

    return write


@pytest.fixture
def shared() -> Path:
    """Return the folder of real data, or skip the test if it does not exist."""
    if not SHARED.is_dir():
        pytest.skip("the real data (../shared/data) is not available")
    return SHARED


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """Return a runner for `lrltrain` that does not import its libraries again."""
    with Warm("lrltrain", os.environ | FIXED) as runner:
        yield runner


@pytest.fixture(scope="session")
def warm_data() -> Iterator[Warm]:
    """Return a runner for `lrldata` that does not import its libraries again."""
    with Warm("lrldata", os.environ) as runner:
        yield runner


@pytest.fixture(scope="session")
def port() -> int:
    """Return the port that all local Hubs use in turn: their clients read HF_ENDPOINT before the first Hub starts."""
    return free_port()


@pytest.fixture(scope="session")
def link(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the HF_HOME of all clients of a local Hub: a link to the folder of the current test."""
    return tmp_path_factory.mktemp("link") / "home"


@pytest.fixture(scope="session")
def warm_script(port: int, link: Path) -> Iterator[Warm]:
    """Return a runner for scripts that does not import the Hub's clients again."""
    with Warm("script", environment(f"http://127.0.0.1:{port}", link, "")) as runner:
        yield runner


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Start an S3-compatible server and return its address."""
    from s3 import s3_server  # noqa: PLC0415 -- slow to import

    with s3_server() as address:
        yield address


@pytest.fixture
def lrldata(tmp_path: Path, warm_data: Warm) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs `lrldata` in its own process, with its workspace and cache below tmp_path.

    If environment variables are passed, the process is not forked, because libraries read some of them at import.
    """

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "200"} | environment
        return warm_data.run(list(map(str, arguments)), tmp_path, variables, forked=not environment)

    return run
