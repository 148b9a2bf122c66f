"""Test the wheel as users install it: `make test-wheel` runs this script in a new environment.

    python tools/check_wheel.py [NOTEBOOK ...]

Runs in an empty folder, offline: the Python API from building a dataset to planning its publication, the code of the
notebooks, and the commands `lrl serve-hub` and `lrl push-hub`; then it loads the published dataset. Nothing is
imported from the source tree.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

API = """
import lrldata, lrltrain, hub_cards
assert "site-packages" in lrldata.__file__, lrldata.__file__
dataset = lrldata.build("ro", source="conceptnet", sample=True)
print(dataset.path, dataset.version, dict(dataset.rows), dataset.ledger.kept.rows, dataset.load()["train"].num_rows)
adapter = lrltrain.fit(dataset, base="lrl-mini", method="seq_bn_inv", steps=20, batch_size=8, max_length=64)
print(lrltrain.evaluate(adapter, task="pppl").to_frame())
print(lrltrain.report("lrl-workspace").page)
"""
PLAN = 'import hub_cards; print(hub_cards.push("ro", namespace="my-org", dry_run=True).as_json()["plan"][0]["action"])'
LOAD = """
from datasets import load_dataset
print(load_dataset("my-org/lrl-ro", "conceptnet", revision="v1.0.0"))
"""


def main(notebooks: list[Path]) -> None:
    """Run all checks. Raises SystemExit if one fails."""
    scripts = Path(sys.executable).parent
    codes = [code_of(path) for path in notebooks]
    with TemporaryDirectory() as folder:
        offline = {
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": f"{folder}/home",
            "XDG_CACHE_HOME": f"{folder}/cache",
        }
        run([sys.executable, "-P", "-c", API], folder, offline)
        for number, code in enumerate(codes):
            notebook_folder = Path(folder, f"notebook-{number}")
            notebook_folder.mkdir()
            run([sys.executable, "-P", "-c", code], str(notebook_folder), offline)
        serve = [scripts / "lrl", "serve-hub", "--root", "hub", "--json"]
        with subprocess.Popen(serve, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                hub_env = json.loads(server.stdout.readline())
                online = {**offline, "HF_HUB_OFFLINE": "0", "HF_TOKEN": hub_env["HF_TOKEN"]}
                run([sys.executable, "-P", "-c", PLAN], folder, online | hub_env)
                push = [scripts / "lrl", "push-hub", "--lang", "ro", "--namespace", "my-org", "--quiet"]
                run([*push, "--endpoint", hub_env["HF_ENDPOINT"]], folder, online)
                run([sys.executable, "-P", "-c", LOAD], folder, online | hub_env)
            finally:
                server.terminate()
    print("The wheel works.")


def code_of(notebook: Path) -> str:
    """Return the code of a notebook without lines that only work in notebooks (% and !)."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    lines = [line for cell in cells if cell["cell_type"] == "code" for line in "".join(cell["source"]).split("\n")]
    return "\n".join(line for line in lines if not line.startswith(("%", "!")))


def run(command: list[object], folder: str, environment: dict[str, str]) -> None:
    """Run a command. Raises SystemExit if it fails."""
    result = subprocess.run(list(map(str, command)), cwd=folder, env=environment, check=False)
    if result.returncode:
        raise SystemExit(f"failed: {command[:3]}")


if __name__ == "__main__":
    main([Path(notebook).resolve() for notebook in sys.argv[1:]])
