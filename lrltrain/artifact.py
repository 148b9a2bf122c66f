"""An adapter's folder: weights that load anywhere, what was done, and the manifest last. IO."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers.utils import SAFE_WEIGHTS_NAME

from lrldata.errors import StorageError, one_line
from lrldata.folder import replaced
from lrldata.manifest import (
    ADAPTER,
    MANIFEST,
    DamagedError,
    damaged,
    entries,
    file_entry,
    load_manifest,
    read_manifest,
    write_json,
    write_manifest,
)
from lrldata.output import note
from lrldata.paths import Held, remove, walk
from lrltrain.curve import draw_losses
from lrltrain.models import quiet
from lrltrain.modules.reference import REFERENCE

LOG, RUN, CURVE = "log.json", "run.json", "loss.png"
NOT_NEEDED = (LOG, RUN, CURVE)  # to use an adapter; whoever copies folders may leave them out
_AGAIN = "Else make it again with `lrltrain fit --overwrite`."
WORDS_KEPT = 256  # of the vocabulary, in the reference logits


def write_adapter(
    folder: Path,
    save: Callable[[Path], None],
    name: str,
    manifest: Mapping[str, Any],
    log: Sequence[Mapping[str, Any]],
    run: Mapping[str, Any],
    reference: Mapping[str, torch.Tensor],
) -> dict[str, Any]:
    """Write an adapter's folder whole, or leave what was there; call it under `lock(folder)`. Returns the manifest.

    `save` writes the weights into a folder.
    """
    with replaced(folder, owned_by(folder), "an adapter") as partial:
        save(partial)
        save_file({key: value.contiguous() for key, value in reference.items()}, partial / REFERENCE)
        write_json(partial / LOG, log)
        write_json(partial / RUN, run)
        draw_curve(log, manifest["trained"]["best_step"], name, partial / CURVE)
        outputs = [file_entry(path, partial) for path in walk(partial) if path.name != RUN]
        # Time and machine differ from run to run, and the manifest's own hash does not depend on them.
        machine = file_entry(partial / RUN, partial)
        complete = write_manifest(partial / MANIFEST, ADAPTER, {**manifest, "outputs": outputs, "run": machine})
        allowed = ~_umask()
        for path in partial.rglob("*"):  # safetensors writes for the owner's eyes alone
            with suppress(OSError):  # some file systems have no modes that could be changed
                path.chmod((0o777 if path.is_dir() else 0o666) & allowed)
    return complete


def draw_curve(log: Sequence[Mapping[str, Any]], best: int, name: str, path: Path) -> None:
    """Draw the loss curve; where that fails, say so: hours of training are not lost for a picture."""
    try:
        draw_losses(log, best, name, path)
    except Exception as error:  # noqa: BLE001 -- a library is missing, or its own renderer fails in a way of its own
        remove(path.parent, path.name)
        told = one_line(error, 200)
        note(f"note: {path.name} was not drawn, and the adapter has none: {type(error).__name__}: {told}")


def owned_by(folder: Path) -> Callable[[str], bool]:
    """Return what tells whether a file of an adapter's folder is the adapter's, by its path in it."""
    manifest = read_manifest(folder, ADAPTER) or _damaged_manifest(folder)
    known = {MANIFEST, RUN, *(entry["path"] for entry in entries(manifest))} if manifest else set()
    return known.__contains__


def _damaged_manifest(folder: Path) -> dict[str, Any]:
    """Return what a manifest says that does not hold what it should, so that its adapter can be replaced."""
    try:
        with Held(folder) as held:
            found = json.loads(held.read(MANIFEST))
        return found if all(isinstance(entry["path"], str) for entry in found["outputs"]) else {}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save_model(model: Any, folder: Path) -> None:
    """Save a whole model as transformers does, with the head's bias under both of its names.

    transformers keeps one of two names of a shared tensor; AutoAdapterModel looks for the other.
    """
    with quiet():
        model.save_pretrained(folder)
    file = folder / SAFE_WEIGHTS_NAME
    if file.is_file():  # a large model is in several, and is left as it is
        saved = load_file(file)
        biases = {name: value for name, value in model.state_dict().items() if value.ndim == 1 and name not in saved}
        if biases:
            whole = saved | {name: value.cpu().clone() for name, value in biases.items()}
            save_file(whole, file, metadata={"format": "pt"})


@torch.no_grad()
def reference_logits(model: Any, input_ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return a short input and what the model says to it, so that anyone can check that an adapter was loaded right.

    `input_ids` (1, length); `logits` (1, length, words) at the vocabulary entries `words`.
    """
    model.eval()
    logits = model(input_ids=input_ids).logits.float()
    words = torch.linspace(0, logits.shape[-1] - 1, WORDS_KEPT, device=logits.device).long().unique()
    return {"input_ids": input_ids.cpu(), "words": words.cpu(), "logits": logits[..., words].cpu()}


def open_adapter(folder: Path) -> dict[str, Any]:
    """Return the manifest of an adapter's folder. Raises StorageError where it is unfinished, damaged or no adapter."""
    try:
        manifest = load_manifest(folder, ADAPTER)
    except (FileNotFoundError, NotADirectoryError) as error:
        inside = ", ".join(sorted(str(path.parent) for path in folder.glob(f"**/{MANIFEST}"))[:3])
        hint = f"Finished artifacts below it: {inside}." if inside else "Make one with `lrltrain fit`."
        raise StorageError(f"{folder}: no finished adapter in this folder ({MANIFEST} is missing).", hint) from error
    except DamagedError as error:
        raise DamagedError(error.message, f"Copy it again from where it was made. {_AGAIN}") from error
    for _ in walk(folder):  # a link beside the files that the manifest names would be read by a library
        pass
    for fault in damaged(folder, manifest, NOT_NEEDED):
        raise DamagedError(f"{folder}: {fault}.", f"Copy it again from where it was made. {_AGAIN}")
    return manifest
