"""Small grid recipes for tests, and a helper that starts `lrltrain`."""

import os
import subprocess
import sys
from pathlib import Path

RECIPE = """
languages = "{languages}"
out = "{out}"
cache = "{out}/cache"

[build.conceptnet]
sample = true

[[fit]]
sources = ["conceptnet"]
models = ["lrl-mini"]
methods = ["seq_bn_inv", "lora"]
steps = {steps}
batch-size = 4
max-length = 64
learning-rate = 5e-3
eval-blocks = 8

[eval]
tasks = ["pppl"]
data = "datasets/{{lang}}/conceptnet"
resamples = {resamples}
"""


def write_recipe(folder: Path, out: Path, languages: str = "bg,mt", steps: int = 4, resamples: int = 200) -> Path:
    """Write a recipe with two methods, for two languages by default, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.toml"
    path.write_text(RECIPE.format(out=out, languages=languages, steps=steps, resamples=resamples), "utf-8")
    return path


def start(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    """Start `lrltrain` in its own process group."""
    return subprocess.Popen(
        [sys.executable, "-m", "lrltrain.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "COLUMNS": "250"},
        start_new_session=True,
    )
