"""Processes that training starts, threads of torch, JSON output of every command, and entity scores without seqeval."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import typer

from hub_cards.cli.app import app as hub_app
from lrldata.errors import LrlError, UsageError
from lrltrain.cli.app import app as train_app
from lrltrain.evaluation.metrics import entity_scores, scores
from lrltrain.evaluation.statistics import by_seed, span_counts
from lrltrain.grid.handlers import _options_of, _push
from lrltrain.grid.job import Job
from lrltrain.grid.records import Records

SHADOWS = ("types", "random", "colorsys", "polars", "requests", "hub_cards")
SCRIPT = """
import sys
from importlib.util import find_spec
from pathlib import Path
from lrltrain.grid.local import process_of
for name in sys.argv[1:]:
    Path(name + ".py").write_text(f"raise SystemExit('own {name}')")
pool = process_of(1, None, 1)
print(*(pool.submit(find_spec, name).result().origin for name in ("colorsys", "hub_cards")))
pool.shutdown()
"""


def test_grid_workers_import_nothing_from_the_current_folder(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, *SHADOWS],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert str(tmp_path) not in result.stdout


def test_publishing_in_a_grid_imports_nothing_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('own {name}')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    with pytest.raises(UsageError, match="not known"):  # the command's own message
        _push(Job("push", {"lang": "ro"}, {"lang": "no_Such", "namespace": "me"}), Records(tmp_path), tmp_path)
    with pytest.raises(UsageError, match=r"^No such option: --nam\b"):
        _push(Job("push", {"lang": "ro"}, {"nam": "me"}), Records(tmp_path), tmp_path)


def test_ray_is_told_not_to_import_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    from lrltrain.grid.on_ray import RayEngine  # noqa: PLC0415

    settings: dict[str, Any] = {}

    def init(**options: Any) -> None:
        environment = options["runtime_env"]
        files = list(Path(environment["working_dir"]).iterdir())
        settings.update(environment["env_vars"], files=files, here=os.environ["PYTHONSAFEPATH"])
        raise ValueError("enough")

    monkeypatch.setattr(ray, "init", init)
    (tmp_path / "types.py").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LrlError, match="enough"), RayEngine(str(tmp_path), str(tmp_path), 1, None, 1):
        pass
    assert (settings["PYTHONSAFEPATH"], settings["here"], settings["files"]) == ("1", "1", [])


@pytest.mark.parametrize(("variables", "expected"), [({}, "1000"), ({"GOMP_SPINCOUNT": "70000"}, "70000")])
def test_lrltrain_sets_how_torch_threads_wait_unless_the_user_does(variables: dict[str, str], expected: str) -> None:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    code = "import sys, lrltrain; assert 'torch' not in sys.modules; import ctypes, pathlib, importlib.util as u\n"
    code += "folder = pathlib.Path(u.find_spec('torch').origin).parent\n"
    code += "found = [*folder.glob('lib/libgomp*'), *folder.parent.glob('torch.libs/libgomp*')]\n"
    code += "ctypes.CDLL(str(found[0])) if found else print('GOMP_SPINCOUNT = none')"  # as with torch, but faster
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | variables | {"OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    )
    if "GOMP_SPINCOUNT = none" in result.stdout:
        pytest.skip("this torch has no libgomp")
    assert f"GOMP_SPINCOUNT = '{expected}'" in result.stderr


def test_every_command_can_print_json() -> None:
    for app in (train_app, hub_app):
        command = typer.main.get_command(app)
        assert isinstance(command, typer.main.TyperGroup | typer.core.TyperGroup)
        for name, subcommand in command.commands.items():
            assert any("--json" in option.opts for option in subcommand.params), name


# Gold tags, predicted tags, and the scores of seqeval 1.2.2: F1, precision, recall. Items are separated by |.
SEQEVAL = [
    ("B-PER I-PER O", "B-PER I-PER O", [1.0, 1.0, 1.0]),
    ("B-PER I-PER O", "B-PER O O", [0.0, 0.0, 0.0]),
    ("B-PER I-PER O", "I-PER I-PER O", [1.0, 1.0, 1.0]),
    ("O O O", "O O O", [0.0, 0.0, 0.0]),
    ("O O O", "B-PER O O", [0.0, 0.0, 0.0]),
    ("B-PER O O", "O O O", [0.0, 0.0, 0.0]),
    ("O", "O", [0.0, 0.0, 0.0]),
    ("I-LOC", "B-LOC", [1.0, 1.0, 1.0]),
    ("I-LOC", "I-LOC", [1.0, 1.0, 1.0]),
    ("B-LOC I-PER", "B-LOC I-PER", [1.0, 1.0, 1.0]),
    ("B-LOC I-PER", "B-LOC B-PER", [1.0, 1.0, 1.0]),
    ("B-LOC I-PER", "B-LOC I-LOC", [0.0, 0.0, 0.0]),
    ("B-LOC I-LOC I-PER I-PER", "B-LOC I-LOC B-PER I-PER", [1.0, 1.0, 1.0]),
    ("B-LOC B-LOC", "B-LOC I-LOC", [0.0, 0.0, 0.0]),
    ("B-LOC I-LOC", "B-LOC B-LOC", [0.0, 0.0, 0.0]),
    ("B-LOC B-LOC", "B-LOC B-LOC", [1.0, 1.0, 1.0]),
    ("O I-ORG I-ORG O", "O B-ORG I-ORG O", [1.0, 1.0, 1.0]),
    ("I-ORG O I-ORG", "B-ORG O B-ORG", [1.0, 1.0, 1.0]),
    ("I-ORG B-ORG", "B-ORG B-ORG", [1.0, 1.0, 1.0]),
    ("I-ORG I-ORG B-ORG I-ORG", "I-ORG I-ORG I-ORG I-ORG", [0.0, 0.0, 0.0]),
    ("B-PER I-LOC I-PER", "B-PER I-PER I-PER", [0.0, 0.0, 0.0]),
    ("B-PER I-LOC I-PER", "B-PER B-LOC B-PER", [1.0, 1.0, 1.0]),
    ("B-PER O I-PER", "B-PER I-PER I-PER", [0.0, 0.0, 0.0]),
    ("B-PER I-PER | B-LOC", "B-PER I-PER | B-LOC", [1.0, 1.0, 1.0]),
    ("B-PER | I-PER", "B-PER | I-PER", [1.0, 1.0, 1.0]),
    ("B-PER | I-PER", "I-PER | B-PER", [1.0, 1.0, 1.0]),
    ("O | B-PER I-PER", "B-PER | B-PER I-PER", [0.6666666666666666, 0.5, 1.0]),
    ("O O | O", "O O | O", [0.0, 0.0, 0.0]),
    ("", "", [0.0, 0.0, 0.0]),
    ("B-PER | ", "B-PER | ", [1.0, 1.0, 1.0]),
    ("B-PER I-PER I-PER I-PER I-PER", "B-PER I-PER I-PER I-PER O", [0.0, 0.0, 0.0]),
    ("B-PER O B-LOC O B-ORG", "B-PER O B-ORG O B-ORG", [0.6666666666666666, 0.6666666666666666, 0.6666666666666666]),
    ("B-PER O B-LOC O B-ORG", "B-LOC O B-PER O O", [0.0, 0.0, 0.0]),
    (
        "I-LOC O O | O B-LOC O I-ORG B-PER O O I-LOC I-LOC",
        "I-LOC O O | O O O I-ORG O O O I-LOC I-LOC",
        [0.7499999999999999, 1.0, 0.6],
    ),
    (
        "I-ORG O O B-PER B-LOC | I-ORG O | B-PER",
        "I-ORG O B-ORG B-PER B-LOC | I-ORG B-PER | B-PER",
        [0.8333333333333333, 0.7142857142857143, 1.0],
    ),
    (
        "B-ORG B-LOC B-ORG I-PER O O I-ORG I-LOC O | O B-ORG I-LOC O O I-ORG",
        "B-ORG B-LOC B-ORG I-PER O O I-PER I-LOC O | I-PER B-ORG I-LOC O O B-LOC",
        [0.7368421052631577, 0.7, 0.7777777777777778],
    ),
    ("B-ORG O", "B-ORG O", [1.0, 1.0, 1.0]),
    (
        "I-LOC I-LOC B-ORG O | B-ORG I-LOC I-ORG | O I-LOC I-ORG I-PER I-LOC",
        "I-LOC O B-ORG O | O I-LOC I-ORG | O I-LOC I-ORG I-PER I-LOC",
        [0.823529411764706, 0.875, 0.7777777777777778],
    ),
    (
        "O B-ORG I-ORG I-LOC I-LOC I-LOC I-LOC O B-ORG",
        "O B-ORG B-ORG I-LOC I-LOC I-LOC I-LOC O B-ORG",
        [0.5714285714285715, 0.5, 0.6666666666666666],
    ),
    ("O | I-LOC O I-PER B-LOC", "B-ORG | I-LOC B-ORG I-PER B-LOC", [0.7499999999999999, 0.6, 1.0]),
    ("B-LOC I-PER", "B-LOC I-ORG", [0.5, 0.5, 0.5]),
    ("I-ORG B-LOC O I-ORG", "I-ORG B-LOC O I-PER", [0.6666666666666666, 0.6666666666666666, 0.6666666666666666]),
    (
        "B-PER I-LOC B-PER B-PER | B-ORG B-LOC O O I-PER B-ORG I-PER B-PER",
        "B-PER I-LOC O O | B-PER B-LOC O B-LOC I-PER I-LOC I-PER O",
        [0.5555555555555556, 0.625, 0.5],
    ),
    ("O", "O", [0.0, 0.0, 0.0]),
]


@pytest.mark.parametrize(("gold", "predicted", "expected"), SEQEVAL)
def test_entity_scores_equal_those_of_seqeval_to_the_last_bit(gold: str, predicted: str, expected: list[float]) -> None:
    gold_tags, predicted_tags = ([item.split() for item in text.split("|")] for text in (gold, predicted))
    assert list(entity_scores(gold_tags, predicted_tags).values()) == expected
    assert by_seed(span_counts(gold_tags, [predicted_tags])) == pytest.approx([expected[0]])


def test_a_sentence_without_predictions_has_no_entities() -> None:
    result = scores("ner", [("B-PER", "O"), ("B-LOC",)], [None, ("B-LOC",)])
    assert result == {"f1": pytest.approx(2 / 3), "precision": 1, "recall": 0.5}


def test_each_process_has_its_own_dropout_and_repeats_it_after_a_checkpoint() -> None:
    from lrltrain.training.loop import Loop  # noqa: PLC0415
    from lrltrain.training.processes import Processes  # noqa: PLC0415

    def random_numbers(rank: int, step: int, seed: int = 42) -> list[float]:
        loop = Loop.__new__(Loop)
        loop.members, loop.processes = [SimpleNamespace(train=SimpleNamespace(seed=seed))], Processes(rank, 2)
        loop._seed(step)  # noqa: SLF001
        return torch.rand(3).tolist()

    assert random_numbers(1, 10) == random_numbers(1, 10)
    assert len({tuple(random_numbers(*case)) for case in ((0, 0), (1, 0), (0, 10), (1, 10), (0, 10, 43))}) == 5


@pytest.mark.parametrize(
    ("key", "value", "options"),
    [
        ("collection", False, ["--no-collection"]),
        ("collection", True, ["--collection"]),
        ("private", False, []),
        ("replace_data", True, ["--replace-data"]),
        ("kind", ["dataset", "adapter"], ["--kind=dataset,adapter"]),
        ("patience", 5, ["--patience=5"]),
    ],
)
def test_settings_of_a_study_become_options_of_the_publication(key: str, value: Any, options: list[str]) -> None:
    assert _options_of(key, value) == options
