"""Choose the library that runs fastText models, after a test of its answers.

`fasttext_new` (Rust) is optional and faster than `fasttext`, a module of the package fasttext-community. Other packages
install a module named `fasttext` in the same place, and some of these give wrong answers in batches. So each library
first gets a handful of texts with known answers, from compact.json, and is used only if it gives these answers.

An unknown model is first tried in a separate process: whatever it does to the library, this process survives and can
name the file.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Protocol

from lrldata.errors import InputError, UsageError, is_of_machine, one_line

BINDINGS = ("fasttext_new", "fasttext")  # the faster first
TOLERANCE = 1e-5  # difference between probabilities
_REINSTALL = "pip install --force-reinstall --no-deps fasttext-community"
_SECONDS, _BYTES_A_SECOND = 60, 20_000_000  # time limit of a trial: to start, and to read a model from a slow disk
_MEMORY, _BYTES_A_BYTE = 4 << 30, 16  # memory limit of a trial: to start, and for a model with many words
_TRIAL = """
import json, sys
trial = json.load(sys.stdin)
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (trial["memory"], trial["memory"]))
except (ImportError, OSError, ValueError):
    pass
sys.path += trial["folders"]
model = __import__(trial["binding"]).load_model(trial["path"])
answers, _ = model.predict(trial["texts"], 2)
sys.exit(0 if len(answers) == len(trial["texts"]) else "it does not answer for every text")
"""


class Fasttext(Protocol):
    """A loaded model, with the interface that both libraries share. Probabilities come in rows of floats."""

    def predict(self, text: list[str], k: int) -> tuple[Sequence[Sequence[str]], Sequence[Sequence[float]]]:
        """Return for each text its k best labels, with `__label__`, and their probabilities, best first."""
        ...


def open_model(path: Path, binding: str | None = None) -> tuple[str, Fasttext]:
    """Load a model with the fastest library that works correctly, or with the named one; return its name and the model.

    The file must be valid (see `modelfile.read_layout`). Raises UsageError if no library works correctly, InputError if
    the library cannot load the file.
    """
    chosen = _choose(binding)
    try:
        return chosen, _load(chosen, path)
    except Exception as error:  # the libraries may raise anything
        if is_of_machine(error):
            raise
        raise InputError(
            f"{path}: {chosen} cannot load it: {one_line(error)}.", "Use a supervised fastText model."
        ) from error


def try_out(path: Path, binding: str | None = None) -> None:
    """Load a model and predict with it in a separate process, with a limit on time and, on Linux, on memory.

    Raises InputError if that process fails or dies, UsageError if no library works correctly.
    """
    chosen, size, texts = _choose(binding), path.stat().st_size, list(_proof())
    trial = {
        "path": str(path),
        "binding": chosen,
        "folders": [folder for folder in sys.path if folder],  # "" is the current folder, which may contain anything
        "memory": _MEMORY + _BYTES_A_BYTE * size,
        "texts": [*texts, *texts[0].split(), " ".join(texts * 20)],
    }
    try:
        process = subprocess.run(
            [sys.executable, "-I", "-c", _TRIAL],
            input=json.dumps(trial),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=_SECONDS + size / _BYTES_A_SECOND,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},  # threads reserve memory
        )
    except subprocess.TimeoutExpired as error:
        raise _unusable(path, chosen, f"it did not finish within {error.timeout:.0f} s") from error
    except OSError as error:
        raise _unusable(path, chosen, f"it cannot be tried: {error}") from error
    if process.returncode < 0:
        raise _unusable(path, chosen, f"it was killed by signal {-process.returncode}")
    if process.returncode:
        raise _unusable(
            path,
            chosen,
            (process.stderr.strip() or f"it exited with status {process.returncode}").splitlines()[-1][:200],
        )


def _unusable(path: Path, binding: str, reason: str) -> InputError:
    return InputError(
        f"{path}: {binding} cannot work with this model ({reason}).", "Use another one, or download or copy it again."
    )


def _choose(binding: str | None) -> str:
    """Return the fastest library that works correctly, or the named one if it does. Raises UsageError."""
    chosen = next((name for name in ([binding] if binding else BINDINGS) if is_right(name)), None)
    if chosen is None:
        raise UsageError(
            f"The module {binding or 'fasttext'!r} is missing or gives wrong answers: packages such as "
            "fasttext-predict and fasttext-wheel overwrite the one in fasttext-community.",
            "Run `pip install fasttext-new`." if binding == "fasttext_new" else f"Run `{_REINSTALL}`.",
        )
    return chosen


def _load(binding: str, path: Path) -> Fasttext:
    model: Fasttext = importlib.import_module(binding).load_model(str(path))
    return model


def _proof() -> dict[str, list[list[Any]]]:
    """Return a handful of texts, with the answers of the shipped model."""
    proof: dict[str, list[list[Any]]] = json.loads(files("lrldata.langid").joinpath("compact.json").read_text("utf-8"))[
        "proof"
    ]
    return proof


@cache
def is_right(binding: str) -> bool:
    """Return whether a library is installed and gives the right answers for the shipped model and a few texts."""
    proof = _proof()
    try:
        with as_file(files("lrldata.langid").joinpath("compact.ftz")) as path:
            model = _load(binding, path)
            batched, single_answers = model.predict(list(proof), 2), [model.predict([text], 2) for text in proof]
        in_batch = list(zip(*batched, strict=True))
        one_by_one = [(labels[0], probabilities[0]) for labels, probabilities in single_answers]
        return all(
            _agrees(answer, expected)
            for answers in (in_batch, one_by_one)
            for answer, expected in zip(answers, proof.values(), strict=True)
        )
    except Exception:  # noqa: BLE001  # a missing or foreign library may fail in any way
        return False


def _agrees(answer: tuple[Sequence[str], Sequence[float]], expected: list[list[Any]]) -> bool:
    labels, probabilities = answer
    return [label.removeprefix("__label__") for label in labels] == [label for label, _ in expected] and all(
        abs(float(probability) - target) <= TOLERANCE
        for probability, (_, target) in zip(probabilities, expected, strict=True)
    )
