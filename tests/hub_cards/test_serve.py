"""`lrl serve-hub`: a Hub on this machine that a language is published to and loaded from."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import lrldata

LOAD = """
import sys
from datasets import load_dataset
print(load_dataset("my-org/lrl-ro", "conceptnet", revision="v1.0.0")["train"].num_rows)
"""


def test_a_dataset_pushed_to_a_served_hub_can_be_loaded_from_it(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    built = lrldata.build("ro", sample=True, out=workspace, cache=tmp_path / "cache", quiet=True)
    command = [sys.executable, "-m", "hub_cards.cli", "serve-hub", "--root", str(tmp_path / "hub"), "--verbose"]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            hub_variables = json.loads(server.stdout.readline())
            inherited = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
            environment = inherited | hub_variables | {"HF_HOME": str(tmp_path / "home")}
            push = ["push-hub", "--lang", "ro", "--namespace", "my-org", "--out", str(workspace), "--json"]
            pushed = subprocess.run(
                [sys.executable, "-m", "hub_cards.cli", *push],
                capture_output=True,
                text=True,
                check=False,
                env=environment,
            )
            assert pushed.returncode == 0, pushed.stderr
            assert [repository["id"] for repository in json.loads(pushed.stdout)["repositories"]] == ["my-org/lrl-ro"]
            loaded = subprocess.run(
                [sys.executable, "-c", LOAD], capture_output=True, text=True, check=False, env=environment
            )
            assert loaded.stdout.split() == [str(built.rows["train"])], loaded.stderr
            second = subprocess.run(command, capture_output=True, text=True, check=False)
            assert second.returncode == 1
            assert "another server is using this folder" in second.stderr
        finally:
            server.send_signal(signal.SIGINT)
            _, log = server.communicate(timeout=60)
    assert server.returncode == 0
    assert "200 GET /api/whoami-v2" in log
