"""Write and open an adapter's folder: portable weights, the log of the run, and the manifest, written last. IO."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from transformers.utils import SAFE_WEIGHTS_NAME

from lrldata.errors import StorageError, one_line
from lrldata.folder import replaced
from lrldata.layout import source_of_adapter
from lrldata.manifest import (
    ADAPTER,
    MANIFEST,
    DamagedError,
    damaged,
    entries,
    file_entry,
    identity,
    load_manifest,
    read_manifest,
    write_json,
    write_manifest,
)
from lrldata.output import note
from lrldata.paths import OpenFolder, remove, walk
from lrltrain.curve import draw_losses
from lrltrain.dropout import replace_rates
from lrltrain.models import quiet
from lrltrain.modules.files import CONFIG
from lrltrain.modules.reference import REFERENCE
from lrltrain.rotary import add_earlier_keys
from lrltrain.tensors import share, write_tensors

LOG, RUN, CURVE = "log.json", "run.json", "loss.png"
NOT_NEEDED = (LOG, RUN, CURVE)  # not needed to use an adapter, and may be missing from a copy of its folder
_RETRAIN = "Or train it again with `lrltrain fit --overwrite`."
WORDS_KEPT = 256  # vocabulary entries in the reference logits


@dataclass(frozen=True)
class LanguageAdapter:
    """An adapter made by `lrltrain fit`, or a base model fully fine-tuned by it."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def method(self) -> str:
        """Return seq_bn, seq_bn_inv, lora, fusion or full."""
        return str(self.manifest["method"])

    @property
    def language(self) -> str:
        """Return the code of its language."""
        return str(self.manifest["language"]["code"])

    @property
    def name(self) -> str:
        """Return its name, such as ug_glotcc_seq_bn."""
        return str(self.manifest["name"])

    @property
    def source(self) -> str:
        """Return the source of the text that it was trained on."""
        return source_of_adapter(self.folder.resolve().name, self.manifest)

    def as_json(self) -> dict[str, Any]:
        """Return its entry in a manifest."""
        return {"name": self.name, "manifest_sha256": identity(self.folder, self.manifest)}


def write_adapter(
    folder: Path,
    save: Callable[[Path], None],
    name: str,
    manifest: Mapping[str, Any],
    log: Sequence[Mapping[str, Any]],
    run: Mapping[str, Any],
    reference: Mapping[str, torch.Tensor],
) -> dict[str, Any]:
    """Write an adapter's folder and return its manifest; if writing fails, the previous folder is kept.

    Call it under `lock(folder)`. `save` writes the weights into a folder.
    """
    with replaced(folder, owned_by(folder), "an adapter") as partial:
        save(partial)
        write_tensors({key: value.contiguous() for key, value in reference.items()}, partial / REFERENCE)
        write_json(partial / LOG, log)
        write_json(partial / RUN, run)
        draw_curve(log, manifest["trained"]["best_step"], name, partial / CURVE)
        outputs = [file_entry(path, partial) for path in walk(partial) if path.name != RUN]
        # Time and machine differ between runs, so they are kept out of the manifest's own hash.
        run_entry = file_entry(partial / RUN, partial)
        complete = write_manifest(partial / MANIFEST, ADAPTER, {**manifest, "outputs": outputs, "run": run_entry})
        for path in partial.rglob("*"):  # transformers' files too
            share(path)
    return complete


def draw_curve(log: Sequence[Mapping[str, Any]], best: int, name: str, path: Path) -> None:
    """Draw the loss curve; if that fails, print a note, so that a failed plot does not discard hours of training."""
    try:
        draw_losses(log, best, name, path)
    except Exception as error:  # noqa: BLE001 -- a library may be missing, and its renderer may raise any error
        remove(path.parent, path.name)
        reason = one_line(error, 200)
        note(f"{path.name} could not be drawn and is missing from the adapter: {type(error).__name__}: {reason}.")


def owned_by(folder: Path) -> Callable[[str], bool]:
    """Return a predicate that tells whether a path in an adapter's folder is one of the adapter's files."""
    manifest = read_manifest(folder, ADAPTER) or _damaged_manifest(folder)
    paths = {MANIFEST, RUN, *(entry["path"] for entry in entries(manifest))} if manifest else set()
    return paths.__contains__


def _damaged_manifest(folder: Path) -> dict[str, Any]:
    """Return a manifest that fails validation but lists its outputs, so that its adapter can be replaced; else {}."""
    try:
        with OpenFolder(folder) as files:
            manifest = json.loads(files.read(MANIFEST))
        return manifest if all(isinstance(entry["path"], str) for entry in manifest["outputs"]) else {}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}


def save_model(model: Any, folder: Path) -> None:
    """Save a whole model as transformers does, so that its versions 4 and 5 and `adapters` read the same model.

    transformers saves a shared tensor, such as the bias of the head, under only one of its two names; AutoAdapterModel
    looks for the other.
    """
    _make_generation_consistent(model)
    if rates := getattr(model, "own_dropout_rates", None):
        replace_rates(model.config, rates)
    with quiet():
        model.save_pretrained(folder)
    add_earlier_keys(folder)
    file = folder / SAFE_WEIGHTS_NAME
    if file.is_file():  # a large model is split into several files, which are left unchanged
        stored = load_file(file)
        vectors = {name: value for name, value in model.state_dict().items() if value.ndim == 1}
        saved = {vectors[name].data_ptr() for name in vectors.keys() & stored.keys()}
        missing = {name: value for name, value in vectors.items() if name not in stored and value.data_ptr() in saved}
        if missing:
            weights = stored | {name: value.cpu().clone() for name, value in missing.items()}
            write_tensors(weights, file, {"format": "pt"})


def _make_generation_consistent(model: Any) -> None:
    """Enable sampling if a setting of it is given, as in Vicuna: transformers 4 refuses to save such a model."""
    generation: Any = getattr(model, "generation_config", None)
    if generation is None or transformers.__version__ >= "5":
        return
    with suppress(ValueError):
        generation.validate(strict=True)
        return
    generation.do_sample = True


@torch.no_grad()
def reference_logits(model: Any, input_ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return a short input and the model's logits for it, with which anyone can check that an adapter loaded correctly.

    `input_ids` has shape (1, length); `logits` has shape (1, length, words), at the vocabulary entries `words`.
    """
    model.eval()
    logits = model(input_ids=input_ids).logits.float()
    words = torch.linspace(0, logits.shape[-1] - 1, WORDS_KEPT, device=logits.device).long().unique()
    return {"input_ids": input_ids.cpu(), "words": words.cpu(), "logits": logits[..., words].cpu()}


def open_adapter(folder: Path) -> dict[str, Any]:
    """Return the manifest of an adapter's folder. Raises StorageError if unfinished, damaged or not an adapter."""
    try:
        manifest = load_manifest(folder, ADAPTER)
    except (FileNotFoundError, NotADirectoryError) as error:
        if (folder / CONFIG).is_file():
            raise StorageError(
                f"{folder}: has no {MANIFEST}, so it is not known how this adapter was trained.",
                "Give a folder made by `lrltrain fit`. One made by `save_adapter` can be loaded, but not measured.",
            ) from error
        finished = ", ".join(sorted(str(path.parent) for path in folder.glob(f"**/{MANIFEST}"))[:3])
        hint = f"Finished artifacts in its subfolders: {finished}." if finished else "Make one with `lrltrain fit`."
        raise StorageError(f"{folder}: no finished adapter in this folder ({MANIFEST} is missing).", hint) from error
    except DamagedError as error:
        raise DamagedError(error.message, f"Copy it again from its original location. {_RETRAIN}") from error
    for _ in walk(folder):  # raises an error for a link that the manifest does not list, but a library would read
        pass
    for fault in damaged(folder, manifest, NOT_NEEDED):
        raise DamagedError(f"{folder}: {fault}.", f"Copy it again from its original location. {_RETRAIN}")
    return manifest


def open_language_adapter(folder: Path) -> LanguageAdapter:
    """Open an adapter's folder. Raises StorageError."""
    return LanguageAdapter(folder, open_adapter(folder))


def refuse_replaced(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Raise StorageError if a folder no longer holds the adapter with this manifest; call it after reading its files.

    Otherwise, what is computed with another adapter would be recorded as this one's.
    """
    current = read_manifest(folder, ADAPTER)
    if current is None or identity(folder, current) != identity(folder, manifest):
        raise StorageError(f"{folder}: the adapter was replaced meanwhile.", "Run the same command again.")
