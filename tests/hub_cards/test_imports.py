"""Cards can be written and published without the libraries for training."""

import subprocess
import sys
from pathlib import Path

import pytest

from lrldata import __version__

IMPORT_ALL = """
import importlib, pkgutil, sys, hub_cards
for module in pkgutil.walk_packages(hub_cards.__path__, "hub_cards."):
    importlib.import_module(module.name)
for_training = {"adapters", "scipy", "sklearn", "torch", "transformers"}
print(*sorted({name.partition(".")[0] for name in sys.modules} & for_training))
"""


def test_hub_cards_imports_none_of_the_packages_for_training() -> None:
    result = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_a_missing_library_is_a_usage_error_and_not_a_bug(sample_workspace: Path) -> None:
    folder = sample_workspace / "datasets" / "ro" / "conceptnet"
    for options in ([], ["--check"]):
        command = ["lrl", "card", str(folder), *options]
        code = f"import sys; sys.modules['altair'] = None; sys.argv = {command}\nfrom hub_cards.cli import main\nmain()"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert result.returncode == 2, result.stderr
        assert result.stderr == "error: this needs altair. In a checkout of lrl, use `pip install '.[push]'`.\n"


@pytest.mark.parametrize("package", ["lrldata", "hub_cards"])
def test_a_package_can_be_run(package: str) -> None:
    result = subprocess.run([sys.executable, "-m", package, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.split() == [{"hub_cards": "lrl"}.get(package, package), __version__]


@pytest.mark.parametrize(
    ("call", "module", "extra"),
    [
        ("lrltrain.fit('ro')", "torch", "train"),
        ("lrltrain.report('.')", "scipy", "train"),
        ("lrltrain.load_adapter", "torch", "train"),
        ("hub_cards.push('ro', namespace='x', dry_run=True)", "vl_convert", "push"),
        ("hub_cards.render_card('.')", "altair", "push"),
    ],
)
def test_a_missing_library_is_reported_with_the_extra_that_has_it(call: str, module: str, extra: str) -> None:
    code = f"import sys; sys.modules[{module!r}] = None\nimport lrltrain, hub_cards\n{call}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    message = f"ModuleNotFoundError: This needs {module}. In a checkout of lrl, use `pip install '.[{extra}]'`."
    assert result.stderr.splitlines()[-1] == message
