"""`lrl serve-hub`: a Hub on this machine, to which a language is published and from which it is loaded."""

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


def test_what_is_pushed_to_a_served_hub_is_loaded_from_it(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    built = lrldata.build("ro", sample=True, out=workspace, cache=tmp_path / "cache", quiet=True)
    command = [sys.executable, "-m", "hub_cards.cli", "serve-hub", "--root", str(tmp_path / "hub"), "--verbose"]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            known = json.loads(server.stdout.readline())
            clean = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
            environment = clean | known | {"HF_HOME": str(tmp_path / "home")}
            push = ["push-hub", "--lang", "ro", "--namespace", "my-org", "--out", str(workspace), "--json"]
            pushed = subprocess.run(
                [sys.executable, "-m", "hub_cards.cli", *push],
                capture_output=True,
                text=True,
                check=False,
                env=environment,
            )
            assert pushed.returncode == 0, pushed.stderr
            assert [each["id"] for each in json.loads(pushed.stdout)["repositories"]] == ["my-org/lrl-ro"]
            loaded = subprocess.run(
                [sys.executable, "-c", LOAD], capture_output=True, text=True, check=False, env=environment
            )
            assert loaded.stdout.split() == [str(built.rows["train"])], loaded.stderr
            again = subprocess.run(command, capture_output=True, text=True, check=False)
            assert again.returncode == 1
            assert "another server is using this folder" in again.stderr
        finally:
            server.send_signal(signal.SIGINT)
            _, told = server.communicate(timeout=60)
    assert server.returncode == 0
    assert "200 GET /api/whoami-v2" in told
