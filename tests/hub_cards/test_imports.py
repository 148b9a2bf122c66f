"""Cards are written and published where nothing for training is installed."""

import subprocess
import sys

IMPORT_ALL = """
import importlib, pkgutil, sys, hub_cards
for module in pkgutil.walk_packages(hub_cards.__path__, "hub_cards."):
    importlib.import_module(module.name)
for_training = {"adapters", "scipy", "sklearn", "torch", "transformers"}
print(*sorted({name.partition(".")[0] for name in sys.modules} & for_training))
"""


def test_hub_cards_imports_none_of_the_packages_for_training() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
