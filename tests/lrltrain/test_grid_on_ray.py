"""The same grid on a local Ray cluster of two nodes: the same bytes, and a dead node or driver costs little work."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from grids import start, write_recipe
from torture_grid import hashes

pytest.importorskip("ray")
pytestmark = pytest.mark.xdist_group("grid")  # these tests share `grid_workspace`
CLUSTER = """
import sys, time
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
node = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
print(cluster.address, flush=True)
for line in sys.stdin:
    if line.strip() == "kill":
        cluster.remove_node(node, allow_graceful=False)
        print("killed", flush=True)
"""


@pytest.fixture
def cluster() -> Iterator[subprocess.Popen[str]]:
    """Start a cluster of two nodes with one core each; the line `kill` on standard input kills the second node."""
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        yield process
        os.killpg(process.pid, signal.SIGKILL)
    subprocess.run([sys.executable, "-m", "ray.scripts.scripts", "stop", "--force"], check=False, capture_output=True)


def address_of(cluster: subprocess.Popen[str]) -> str:
    assert cluster.stdout is not None
    return cluster.stdout.readline().strip()


def wait_for(workspace: Path, jobs: int) -> None:
    deadline = time.monotonic() + 120
    while len(list(workspace.glob("grid/jobs/*.json"))) < jobs:
        assert time.monotonic() < deadline, "the grid makes no progress"
        time.sleep(0.1)


def test_a_cluster_gives_the_same_bytes_and_a_dead_node_or_driver_costs_only_its_work(
    cluster: subprocess.Popen[str], grid_workspace: Path, tmp_path: Path
) -> None:
    address, out = address_of(cluster), tmp_path / "there" / "out"
    assert re.fullmatch(r"[\d.]+:\d+", address)
    recipe = write_recipe(tmp_path / "there", out, languages="mt")
    command = ("grid", recipe, "--engine", "ray", "--address", address)
    first = start(*command, cwd=tmp_path)
    wait_for(out, 2)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    records = {path: json.loads(path.read_text("utf-8")) for path in out.glob("grid/jobs/*.json")}
    # Ray may have ended others, which are recorded as failed.
    finished = {path.name: path.stat().st_mtime_ns for path, record in records.items() if record["status"] == "done"}
    second = start(*command, cwd=tmp_path)
    wait_for(out, 4)
    assert cluster.stdin is not None
    assert cluster.stdout is not None
    cluster.stdin.write("kill\n")
    cluster.stdin.flush()
    assert cluster.stdout.readline() == "killed\n"
    output, errors = second.communicate(timeout=400)
    assert second.returncode == 0, errors
    assert "7 of 7 jobs done" in output
    expected = {name: digest for name, digest in hashes(grid_workspace).items() if "/mt/" in name}
    assert {name: digest for name, digest in hashes(out).items() if "/mt/" in name} == expected != {}
    assert finished
    for name, written in finished.items():
        assert (out / "grid" / "jobs" / name).stat().st_mtime_ns == written, "finished jobs are not run again"
    starts = [len(re.findall("^-- ", log.read_text(), re.MULTILINE)) for log in out.glob("grid/logs/*.log")]
    assert sum(starts) <= 7 + 2 + 2, "at most two processes died with the driver, and one or two with the node"


def test_an_address_at_which_nothing_listens_is_an_error(tmp_path: Path) -> None:
    process = start(
        "grid", write_recipe(tmp_path, tmp_path / "out"), "--engine", "ray", "--address", "127.0.0.1:9", cwd=tmp_path
    )
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 1
    assert errors.strip().split("\n")[-1].startswith("error: --address 127.0.0.1:9")
    assert "Traceback" not in errors
