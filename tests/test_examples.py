"""The notebooks in examples/ run from top to bottom, offline, and produce the output that they show."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import lrldata
import lrltrain

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
# Runs the cells of a notebook as a kernel does, and prints the repr of each cell's last expression as JSON.
RUN = """
import ast, json, sys

names, values = {}, []
for cell in json.load(open(sys.argv[1], encoding="utf-8"))["cells"]:
    if cell["cell_type"] != "code":
        continue
    tree = ast.parse("".join(cell["source"]))
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    values.append(repr(eval(compile(ast.Expression(last.value), "cell", "eval"), names)) if last else "")
print("\\n" + json.dumps(values))
"""


@pytest.mark.skipif(find_spec("torch") is None, reason="the notebook trains an adapter, which needs torch")
def test_the_notebook_runs_offline_and_reproduces_its_output(tmp_path: Path) -> None:
    notebook = EXAMPLES / "from_code_to_card.ipynb"
    result = subprocess.run(
        [sys.executable, "-c", RUN, str(notebook)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr[-2000:]
    values = json.loads(result.stdout.splitlines()[-1])
    cells = [cell for cell in json.loads(notebook.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    shown = ["".join(output.get("data", {}).get("text/plain", "")) for cell in cells for output in cell["outputs"][-1:]]
    assert len(values) == len(cells)
    same = [value for value, text in zip(values, shown, strict=True) if value == text]
    assert "('1.0.0', {'train': 270, 'validation': 41, 'test': 35})" in same
    assert "'lrl-workspace/adapters/ro/lrl-mini/conceptnet-seq_bn_inv'" in same
    assert "'unchanged'" in same, "an identical fit trained again"
    assert "[]" in same, "the card violates a rule of the Hub"
    assert len(same) >= len(cells) - 3, "only the ledger's line breaks, the scores and printed text may differ"
    (scored,) = (pair for pair in zip(values, shown, strict=True) if "lrl-mini ┆" in pair[1])
    numbers = [[float(number) for number in re.findall(r"\d+\.\d+", text)] for text in scored]
    assert numbers[0] == pytest.approx(numbers[1], rel=0.02), (
        "the difference between processors is smaller: run the notebook again"
    )


@pytest.mark.skipif(find_spec("torch") is None, reason="scoring lrl-mini needs torch")
def test_the_tutorial_shows_the_score_of_lrl_mini(tmp_path: Path) -> None:
    page = (EXAMPLES.parent / "docs" / "tutorials" / "shell.md").read_text("utf-8")
    (shown,) = re.findall(r"ro: lrl-mini +([\d.]+)", page)
    dataset = lrldata.build("ro", source="conceptnet", sample=True, out=tmp_path, cache=tmp_path, quiet=True)
    (score,) = lrltrain.evaluate(lang="ro", base="lrl-mini", data=dataset.path, out=tmp_path, quiet=True).texts
    assert score.after.value == pytest.approx(float(shown), rel=1e-3)
