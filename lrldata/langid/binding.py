"""Which library runs fastText models: proven right before it is believed.

`fasttext_new` (Rust) is faster than `fasttext` of the package fasttext-community, and optional. Other packages put a
module of the name `fasttext` in the same place, some of which answer wrongly in batches. So a library is asked a
handful of texts first, whose answers stand in compact.json, and used only where it gives them.
"""

import importlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Protocol

from lrldata.errors import InputError, UsageError

BINDINGS = ("fasttext_new", "fasttext")  # the faster first
TOLERANCE = 1e-5  # of a probability
_WAY_OUT = "pip install --force-reinstall --no-deps fasttext-community"


class Fasttext(Protocol):
    """A loaded model, as both libraries have it. Probabilities come in rows of floats."""

    def predict(self, text: list[str], k: int) -> tuple[Sequence[Sequence[str]], Sequence[Sequence[float]]]:
        """Return for each text the k best labels, with `__label__`, and their probabilities, best first."""
        ...


def open_model(path: Path, binding: str | None = None) -> tuple[str, Fasttext]:
    """Load a model with the fastest library that is right, or with the named one; return its name and the model.

    The file must be a whole one (see `modelfile.read_layout`). Raises UsageError where no library is right, InputError
    where it cannot load the file.
    """
    choice = next((name for name in ([binding] if binding else BINDINGS) if is_right(name)), None)
    if choice is None:
        raise UsageError(
            f"The module {binding or 'fasttext'!r} is missing, or answers wrongly: packages such as "
            "fasttext-predict and fasttext-wheel overwrite the one of fasttext-community.",
            "Do: pip install fasttext-new" if binding == "fasttext_new" else f"Do: {_WAY_OUT}",
        )
    try:
        return choice, _load(choice, path)
    except (ValueError, MemoryError, RuntimeError) as error:
        raise InputError(f"{path}: {choice} cannot load it: {error}.", "Give a supervised fastText model.") from error


def _load(binding: str, path: Path) -> Fasttext:
    model: Fasttext = importlib.import_module(binding).load_model(str(path))
    return model


@cache
def is_right(binding: str) -> bool:
    """Return whether a library is installed and answers as it should, on the shipped model and a handful of texts."""
    folder = files("lrldata.langid")
    proof: dict[str, list[list[Any]]] = json.loads(folder.joinpath("compact.json").read_text("utf-8"))["proof"]
    try:
        with as_file(folder.joinpath("compact.ftz")) as path:
            model = _load(binding, path)
            every, single = model.predict(list(proof), 2), [model.predict([text], 2) for text in proof]
        batch = list(zip(*every, strict=True))
        alone = [(labels[0], probabilities[0]) for labels, probabilities in single]
        return all(
            _agrees(answer, expected)
            for answers in (batch, alone)
            for answer, expected in zip(answers, proof.values(), strict=True)
        )
    except Exception:  # noqa: BLE001  # a library that is missing or another's may fail in any way
        return False


def _agrees(answer: tuple[Sequence[str], Sequence[float]], expected: list[list[Any]]) -> bool:
    labels, probabilities = answer
    return [label.removeprefix("__label__") for label in labels] == [label for label, _ in expected] and all(
        abs(float(found) - wanted) <= TOLERANCE for found, (_, wanted) in zip(probabilities, expected, strict=True)
    )
