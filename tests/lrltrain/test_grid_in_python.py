"""A study from a Python session: run from a dict, planned, told what failed, and by the options of the command."""

import inspect
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import lrldata
import lrltrain
from lrldata.errors import UsageError
from lrltrain.cli.grid import grid_command

OF_THE_COMMAND = {"as_json"}


def recipe(**changed: Any) -> dict[str, Any]:
    fit = {"sources": ["conceptnet"], "models": ["lrl-mini"], "methods": ["seq_bn"], "steps": 2, "batch-size": 2}
    return {
        "languages": ["mt"],
        "build": {"conceptnet": {"sample": True}},
        "fit": [fit | {"max-length": 32}],
        "eval": {"data": "datasets/{lang}/conceptnet", "limit": 4, "resamples": 100},
        **changed,
    }


def test_it_takes_the_options_of_the_command_with_their_defaults() -> None:
    told = {name: each.default for name, each in inspect.signature(lrltrain.run_grid).parameters.items()}
    commands = {name: each.default for name, each in inspect.signature(grid_command).parameters.items()}
    assert told.keys() == commands.keys() - OF_THE_COMMAND
    assert told == {name: commands[name] for name in told}


def test_a_study_runs_from_a_dict_and_goes_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    given: dict[str, Any] = {"out": tmp_path / "ws", "cache": tmp_path / "cache", "workers": 1}
    planned = lrltrain.run_grid(recipe(), **given, dry_run=True)
    assert (planned.jobs, planned.done, planned.plan["total"]["jobs"]) == (5, 0, 5)
    assert not list(tmp_path.rglob("manifest.json"))
    made = lrltrain.run_grid(recipe(), **given)
    assert (made.workspace, made.jobs, made.done, made.kept) == (str(tmp_path / "ws"), 5, 5, 0)
    assert "[5/5] report" in capfd.readouterr().err
    frame = lrltrain.report(made.workspace).to_frame()
    assert frame.select("language", "method", "source", "items").rows() == [
        ("mt", "none", None, 4),
        ("mt", "seq_bn", "conceptnet", 4),
    ]
    assert frame["mean"].dtype.is_float()
    again = lrltrain.run_grid(recipe(), **given, quiet=True)
    assert (again.done, again.kept) == (5, 5)
    assert capfd.readouterr().err == ""


def test_what_python_has_in_place_of_toml_is_meant(tmp_path: Path) -> None:
    fit = {
        "sources": ("conceptnet",),
        "models": ["lrl-mini"],
        "methods": ["lora"],
        "steps": np.int64(2),
        "max-length": 32,
    }
    given = recipe(
        languages=[lrldata.find_language("mt")],
        build=MappingProxyType({"conceptnet": {"dump": tmp_path / "dump.csv.gz"}}),
        fit=(each | {"max-length": 32} for each in [fit]),
        out=tmp_path / "ws",
    )
    planned = lrltrain.run_grid(given, only=iter(["lang=mt"]), workers=np.int64(1), cache=tmp_path, dry_run=True)
    assert (planned.workspace, planned.jobs) == (str(tmp_path / "ws"), 5)


def test_what_failed_is_an_error_after_the_rest_is_done(tmp_path: Path) -> None:
    broken = recipe(fit=[], eval=None, build={"conceptnet": {"dump": str(tmp_path / "none.csv.gz")}}, report=False)
    with pytest.raises(
        lrldata.LrlError, match=r"^1 of 1 jobs failed: build mt conceptnet.*grid/logs; run the grid again"
    ):
        lrltrain.run_grid(broken, out=tmp_path / "ws", cache=tmp_path / "cache", workers=1, retries=0, quiet=True)


@pytest.mark.parametrize(
    ("given", "options", "says"),
    [
        (5, {}, "5 is not a path."),
        ({"languages": "mt", "langs": "mt"}, {}, "recipe: unknown key 'langs'. Did you mean 'languages'?"),
        ({}, {}, "recipe: languages is missing."),
        (recipe(), {"workers": 0}, "workers: 0 is not a number of 1 or more."),
        (recipe(), {"retries": -1}, "retries: -1 is not a number of 0 or more."),
        (recipe(), {"engine": "slurm"}, "engine: 'slurm' is unknown. Choose from local, ray."),
        (recipe(), {"only": "lang=ug"}, "only lang=ug: no job has it."),
        (recipe(), {"out": 5}, "out: 5 is not a path."),
        (recipe(), {"only": 3}, "only: 3 is not a label."),
        ({1: 2}, {}, "recipe: unknown key '1'."),
        (recipe(fit=[{"sources": ["conceptnet"], "models": ["m"], "methods": ["lora"], "stepz": 1}]), {}, "'stepz'"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_runs(given: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as raised:
        lrltrain.run_grid(given, **options)
    assert says in str(raised.value)
