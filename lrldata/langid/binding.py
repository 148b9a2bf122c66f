"""Which library runs fastText models: proven right before it is believed.

`fasttext_new` (Rust) is faster than `fasttext` of the package fasttext-community, and optional. Other packages put a
module of the name `fasttext` in the same place, some of which answer wrongly in batches. So a library is asked a
handful of texts first, whose answers stand in compact.json, and used only where it gives them.

A model that is not known is tried in a process of its own first: whatever its bytes do to the library, this process
lives on and can say which file it was.
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

from lrldata.errors import InputError, UsageError

BINDINGS = ("fasttext_new", "fasttext")  # the faster first
TOLERANCE = 1e-5  # of a probability
_WAY_OUT = "pip install --force-reinstall --no-deps fasttext-community"
_SECONDS, _BYTES_A_SECOND = 60, 20_000_000  # that a trial may take: to begin, and to read a model from a slow disk
_MEMORY, _BYTES_A_BYTE = 4 << 30, 16  # that it may take: to begin, and for a model of many words
_TRIAL = """
import json, sys
given = json.load(sys.stdin)
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (given["memory"], given["memory"]))
except (ImportError, OSError, ValueError):
    pass
sys.path += given["folders"]
model = __import__(given["binding"]).load_model(given["path"])
answers, _ = model.predict(given["texts"], 2)
sys.exit(0 if len(answers) == len(given["texts"]) else "it does not answer every text")
"""


class Fasttext(Protocol):
    """A loaded model, as both libraries have it. Probabilities come in rows of floats."""

    def predict(self, text: list[str], k: int) -> tuple[Sequence[Sequence[str]], Sequence[Sequence[float]]]:
        """Return for each text the k best labels, with `__label__`, and their probabilities, best first."""
        ...


def open_model(path: Path, binding: str | None = None) -> tuple[str, Fasttext]:
    """Load a model with the fastest library that is right, or with the named one; return its name and the model.

    The file must be a sound one (see `modelfile.read_layout`). Raises UsageError where no library is right, InputError
    where it cannot load the file.
    """
    chosen = _choose(binding)
    try:
        return chosen, _load(chosen, path)
    except Exception as error:  # the libraries raise what they like
        raise InputError(f"{path}: {chosen} cannot load it: {error}.", "Give a supervised fastText model.") from error


def try_out(path: Path, binding: str | None = None) -> None:
    """Load a model and predict with it in a process of its own, which may take so much time and memory.

    Raises InputError where that process fails or dies, UsageError where no library is right.
    """
    chosen, size, texts = _choose(binding), path.stat().st_size, list(_proof())
    given = {
        "path": str(path),
        "binding": chosen,
        "folders": [folder for folder in sys.path if folder],  # "": the current folder, where anything may lie
        "memory": _MEMORY + _BYTES_A_BYTE * size,
        "texts": [*texts, *texts[0].split(), " ".join(texts * 20)],
    }
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _TRIAL],
            input=json.dumps(given),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=_SECONDS + size / _BYTES_A_SECOND,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},  # threads reserve memory
        )
    except subprocess.TimeoutExpired as error:
        raise _unusable(path, chosen, f"it was not done after {error.timeout:.0f} s") from error
    except OSError as error:
        raise _unusable(path, chosen, f"it cannot be tried: {error}") from error
    if done.returncode < 0:
        raise _unusable(path, chosen, f"it dies of signal {-done.returncode}")
    if done.returncode:
        raise _unusable(path, chosen, (done.stderr.strip() or f"it ends with {done.returncode}").splitlines()[-1][:200])


def _unusable(path: Path, binding: str, why: str) -> InputError:
    return InputError(
        f"{path}: {binding} cannot work with this model ({why}).", "Give another one, or download or copy it again."
    )


def _choose(binding: str | None) -> str:
    """Return the fastest library that is right, or the named one if it is. Raises UsageError."""
    chosen = next((name for name in ([binding] if binding else BINDINGS) if is_right(name)), None)
    if chosen is None:
        raise UsageError(
            f"The module {binding or 'fasttext'!r} is missing, or answers wrongly: packages such as "
            "fasttext-predict and fasttext-wheel overwrite the one of fasttext-community.",
            "Do: pip install fasttext-new" if binding == "fasttext_new" else f"Do: {_WAY_OUT}",
        )
    return chosen


def _load(binding: str, path: Path) -> Fasttext:
    model: Fasttext = importlib.import_module(binding).load_model(str(path))
    return model


def _proof() -> dict[str, list[list[Any]]]:
    """Return a handful of texts, with what the shipped model answers."""
    proof: dict[str, list[list[Any]]] = json.loads(files("lrldata.langid").joinpath("compact.json").read_text("utf-8"))[
        "proof"
    ]
    return proof


@cache
def is_right(binding: str) -> bool:
    """Return whether a library is installed and answers as it should, on the shipped model and a handful of texts."""
    proof = _proof()
    try:
        with as_file(files("lrldata.langid").joinpath("compact.ftz")) as path:
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
