"""The requirements in pyproject.toml, and the versions of them that are tested."""

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def _project() -> dict[str, Any]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"])


def _pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text("utf-8").splitlines()
    return dict(line.split("==", 1) for line in lines if "==" in line and not line.startswith("#"))


def test_the_train_extra_allows_a_range_of_torch_and_does_not_require_seqeval() -> None:
    extras = _project()["optional-dependencies"]
    assert "torch>=2.8" in extras["train"]
    assert {"torch", "seqeval"} & _pins("constraints.txt").keys() == {"torch"}
    assert not [requirement for names in extras.values() for requirement in names if requirement.startswith("seqeval")]


def test_the_oldest_tested_versions_are_the_oldest_allowed() -> None:
    project = _project()
    extras = project["optional-dependencies"]
    required = project["dependencies"] + extras["train"] + extras["push"] + extras["s3"]
    oldest = dict(re.match(r"([\w-]+)>=([\d.]+)", requirement).groups() for requirement in required)  # type: ignore[union-attr]
    tested = _pins("constraints-lowest.txt")
    assert tested.keys() == oldest.keys()
    # The first release of a version may be withdrawn, so a later one of the same version will do.
    assert not {name: pin for name, pin in tested.items() if not f"{pin}.".startswith(f"{oldest[name]}.")}
