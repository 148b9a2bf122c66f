"""What tests share: small dumps made on the spot, a runner for the command, and the real data where it exists."""

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

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers of two threads each fight for two cores
os.environ.setdefault("RAY_worker_niceness", "0")  # at its 15, beside other tests, a job takes five times as long
settings.register_profile("any machine", deadline=None)  # one that others use too may be slow
settings.load_profile("any machine")
print_notes()  # as commands do
collect_ignore = [] if find_spec("torch") else ["lrltrain", "real"]  # the data half is tested without torch too
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def make_dump(tmp_path: Path) -> Callable[..., Path]:
    """Write lines (text or bytes) as a dump and return its path."""

    def write(lines: Iterable[str | bytes], name: str = "dump.csv.gz") -> Path:
        raw = b"".join((each.encode() if isinstance(each, str) else each) + b"\n" for each in lines)
        path = tmp_path / name
        path.write_bytes(gzip.compress(raw, mtime=0) if name.endswith(".gz") else raw)
        return path

    return write


@pytest.fixture
def shared() -> Path:
    """Return the folder of real data; tests that need it are skipped where it is not."""
    if not SHARED.is_dir():
        pytest.skip("real data (../shared/data) is not here")
    return SHARED


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """Return what runs `lrltrain` without importing its libraries again."""
    with Warm("lrltrain", os.environ | FIXED) as running:
        yield running


@pytest.fixture(scope="session")
def warm_data() -> Iterator[Warm]:
    """Return what runs `lrldata` without importing its libraries again."""
    with Warm("lrldata", os.environ) as running:
        yield running


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Start an S3-compatible server, and return its address."""
    from s3 import s3_server  # noqa: PLC0415 -- slow

    with s3_server() as address:
        yield address


@pytest.fixture
def lrldata(tmp_path: Path, warm_data: Warm) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command in a process of its own, with its workspace and cache below tmp_path.

    With variables of its own it is not forked, as libraries read some of them as they are loaded.
    """

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        own = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "200"} | environment
        return warm_data.run(list(map(str, arguments)), tmp_path, own, forked=not environment)

    return run
