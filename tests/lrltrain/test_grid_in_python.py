"""Studies run from Python: recipes as dicts, dry runs, the options of the command, and errors for failed jobs."""

import inspect
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from warm import InThisProcess

import lrldata
import lrltrain
from lrldata.errors import UsageError
from lrltrain.cli.grid import grid_command

COMMAND_ONLY = {"as_json"}


def recipe(**changed: Any) -> dict[str, Any]:
    fit = {"sources": ["conceptnet"], "models": ["lrl-mini"], "methods": ["seq_bn"], "steps": 2, "batch-size": 2}
    return {
        "languages": ["mt"],
        "build": {"conceptnet": {"sample": True}},
        "fit": [fit | {"max-length": 32}],
        "eval": {"data": "datasets/{lang}/conceptnet", "limit": 4, "resamples": 100},
        **changed,
    }


def test_run_grid_takes_the_options_of_the_command_with_their_defaults() -> None:
    defaults = {name: parameter.default for name, parameter in inspect.signature(lrltrain.run_grid).parameters.items()}
    command_defaults = {
        name: parameter.default for name, parameter in inspect.signature(grid_command).parameters.items()
    }
    assert defaults.keys() == command_defaults.keys() - COMMAND_ONLY
    assert defaults == {name: command_defaults[name] for name in defaults}


def test_a_study_runs_from_a_dict_and_resumes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrltrain.grid.local.process_of", lambda *_: InThisProcess())
    options: dict[str, Any] = {"out": tmp_path / "ws", "cache": tmp_path / "cache", "workers": 1}
    plan = lrltrain.run_grid(recipe(), **options, dry_run=True)
    assert (plan.jobs, plan.done, plan.plan["total"]["jobs"]) == (5, 0, 5)
    assert not list(tmp_path.rglob("manifest.json"))
    result = lrltrain.run_grid(recipe(), **options)
    assert (result.workspace, result.jobs, result.done, result.kept) == (str(tmp_path / "ws"), 5, 5, 0)
    assert "[5/5] report" in capfd.readouterr().err
    frame = lrltrain.report(result.workspace).to_frame()
    assert frame.select("language", "method", "source", "items").rows() == [
        ("mt", "none", None, 4),
        ("mt", "seq_bn", "conceptnet", 4),
    ]
    assert frame["mean"].dtype.is_float()
    repeated = lrltrain.run_grid(recipe(), **options, quiet=True)
    assert (repeated.done, repeated.kept) == (5, 5)
    assert capfd.readouterr().err == ""


def test_python_values_are_accepted_in_place_of_toml_values(tmp_path: Path) -> None:
    fit = {
        "sources": ("conceptnet",),
        "models": ["lrl-mini"],
        "methods": ["lora"],
        "steps": np.int64(2),
        "max-length": 32,
    }
    study = recipe(
        languages=[lrldata.find_language("mt")],
        build=MappingProxyType({"conceptnet": {"dump": tmp_path / "dump.csv.gz"}}),
        fit=(table | {"max-length": 32} for table in [fit]),
        out=tmp_path / "ws",
    )
    plan = lrltrain.run_grid(study, only=iter(["lang=mt"]), workers=np.int64(1), cache=tmp_path, dry_run=True)
    assert (plan.workspace, plan.jobs) == (str(tmp_path / "ws"), 5)


def test_failed_jobs_are_an_error_after_the_rest_is_done(tmp_path: Path) -> None:
    broken = recipe(fit=[], eval=None, build={"conceptnet": {"dump": str(tmp_path / "none.csv.gz")}}, report=False)
    with pytest.raises(
        lrldata.LrlError, match=r"^1 of 1 jobs failed: build mt conceptnet.*grid/logs; run the grid again"
    ):
        lrltrain.run_grid(broken, out=tmp_path / "ws", cache=tmp_path / "cache", workers=1, retries=0, quiet=True)


@pytest.mark.parametrize(
    ("study", "options", "message"),
    [
        (5, {}, "5 is not a path."),
        ({"languages": "mt", "langs": "mt"}, {}, "study: unknown key 'langs'. Did you mean 'languages'?"),
        ({}, {}, "study: languages is missing."),
        (recipe(), {"workers": 0}, "workers: 0 is not a number of 1 or more."),
        (recipe(), {"retries": -1}, "retries: -1 is not a number of 0 or more."),
        (recipe(), {"engine": "slurm"}, "engine: 'slurm' is unknown. Choose from local, ray."),
        (recipe(), {"only": "lang=ug"}, "only lang=ug: no job has it."),
        (recipe(), {"out": 5}, "out: 5 is not a path."),
        (recipe(), {"only": 3}, "only: 3 is not a label."),
        ({1: 2}, {}, "study: unknown key '1'."),
        (recipe(fit=[{"sources": ["conceptnet"], "models": ["m"], "methods": ["lora"], "stepz": 1}]), {}, "'stepz'"),
    ],
)
def test_invalid_recipes_and_options_are_refused_before_anything_runs(
    study: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as raised:
        lrltrain.run_grid(study, **options)
    assert message in str(raised.value)
