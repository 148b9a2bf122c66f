"""Fixtures shared by all tests: small generated dumps, runners for the commands, and the real data if present."""

import gzip
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings
from warm import FIXED, Warm

from lrldata.output import print_notes

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers with two threads each would compete for two cores
os.environ.setdefault("RAY_worker_niceness", "0")  # at its 15, jobs take five times as long while other tests run
settings.register_profile("any machine", deadline=None)  # a machine that others use too may be slow
settings.load_profile("any machine")
print_notes()  # as the commands do
collect_ignore = [] if find_spec("torch") else ["lrltrain", "real"]  # lrldata is tested without torch too
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def make_dump(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes lines (text or bytes) as a dump and returns its path."""

    def write(lines: Iterable[str | bytes], name: str = "dump.csv.gz") -> Path:
        raw = b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)
        path = tmp_path / name
        path.write_bytes(gzip.compress(raw, mtime=0) if name.endswith(".gz") else raw)
        return path

    return write


@pytest.fixture
def shared() -> Path:
    """Return the folder of real data. Skip the test if there is none."""
    if not SHARED.is_dir():
        pytest.skip("real data (../shared/data) is not available")
    return SHARED


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """Return a runner of `lrltrain` that imports its libraries only once."""
    with Warm("lrltrain", os.environ | FIXED) as running:
        yield running


@pytest.fixture(scope="session")
def warm_data() -> Iterator[Warm]:
    """Return a runner of `lrldata` that imports its libraries only once."""
    with Warm("lrldata", os.environ) as running:
        yield running


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Start an S3-compatible server and return its address."""
    from s3 import s3_server  # noqa: PLC0415 -- slow

    with s3_server() as address:
        yield address


@pytest.fixture
def lrldata(tmp_path: Path, warm_data: Warm) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs `lrldata` in a process of its own, with its workspace and cache below tmp_path.

    If environment variables are passed, the process is not forked, as libraries read some of them on import.
    """

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "200"} | environment
        return warm_data.run(list(map(str, arguments)), tmp_path, variables, forked=not environment)

    return run
