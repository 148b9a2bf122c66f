"""Tries the wheel as users get it: `make test-wheel` runs this with the Python of a fresh environment.

    python tools/check_wheel.py [NOTEBOOK ...]

In an empty folder, offline: the Python API from a dataset to a plan of publication, the code of notebooks, and the
commands `lrl serve-hub` and `lrl push-hub`, with what was published loaded back. Nothing of the source
tree is imported.
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
    """Run all of it. Raises SystemExit where something fails."""
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
            within = Path(folder, f"notebook-{number}")
            within.mkdir()
            run([sys.executable, "-P", "-c", code], str(within), offline)
        serve = [scripts / "lrl", "serve-hub", "--root", "hub", "--json"]
        with subprocess.Popen(serve, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                known = json.loads(server.stdout.readline())
                online = {**offline, "HF_HUB_OFFLINE": "0", "HF_TOKEN": known["HF_TOKEN"]}
                run([sys.executable, "-P", "-c", PLAN], folder, online | known)
                push = [scripts / "lrl", "push-hub", "--lang", "ro", "--namespace", "my-org", "--quiet"]
                run([*push, "--endpoint", known["HF_ENDPOINT"]], folder, online)
                run([sys.executable, "-P", "-c", LOAD], folder, online | known)
            finally:
                server.terminate()
    print("The wheel does what it should.")


def code_of(notebook: Path) -> str:
    """Return the code of a notebook; lines for the notebook alone (% and !) are left out."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    lines = [line for cell in cells if cell["cell_type"] == "code" for line in "".join(cell["source"]).split("\n")]
    return "\n".join(line for line in lines if not line.startswith(("%", "!")))


def run(command: list[object], folder: str, environment: dict[str, str]) -> None:
    """Run a command, and stop where it fails."""
    done = subprocess.run(list(map(str, command)), cwd=folder, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"failed: {command[:3]}")


if __name__ == "__main__":
    main([Path(each).resolve() for each in sys.argv[1:]])
