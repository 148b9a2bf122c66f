"""Runs that are not finished: whose folder it is, what it was begun with, and from where it goes on. IO."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers.trainer_utils import get_last_checkpoint

from lrldata.errors import StorageError, TrainingError
from lrldata.manifest import ADAPTER, read_manifest, write_json
from lrltrain.config import FitConfig

RECIPE = "recipe.json"
SPACE_NEEDED = 1 << 20  # bytes free on the disk below which a failure is put down to it


def run_folder(home: Path) -> Path:
    """Return where the checkpoints of an adapter's folder are kept while it is trained."""
    return home.with_name(f".{home.name}.run")


def claim(home: Path, run: Path, recipe: Mapping[str, Any], config: FitConfig) -> None:
    """Refuse a folder that is in use for something else; begin a run, or clear the way for one that goes on."""
    known = run / RECIPE
    before = json.loads(known.read_text("utf-8")) if known.is_file() else None
    if config.overwrite:
        if before != recipe:  # else it is this very run, which was interrupted
            shutil.rmtree(run, ignore_errors=True)
    elif home.exists() and any(home.iterdir()) and not config.resume:
        manifest = read_manifest(home, ADAPTER)
        what = f"holds an adapter of other settings ({_difference(manifest, recipe)})" if manifest else "is not empty"
        raise StorageError(f"{home}: {what}.", "Use --overwrite to replace it, or another --out.")
    elif before is not None and before != recipe and not config.resume and get_last_checkpoint(str(run)):
        raise StorageError(
            f"{run}: a run of other settings was not finished ({_difference(before, recipe)}).",
            "Use --resume to go on with its weights under the new settings, or --overwrite to begin again.",
        )
    run.mkdir(parents=True, exist_ok=True)
    write_json(known, recipe)


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Name what differs between two recipes, the settings by name."""
    old, new = before["settings"], after["settings"]
    named = [f"{key}: {old.get(key)} before, now {new.get(key)}" for key in new if old.get(key) != new.get(key)]
    named += [key for key in ("base", "tokenizer", "inputs", "made_with") if before.get(key) != after.get(key)]
    return "; ".join(named[:3]) or "damaged files"


def last_checkpoint(run: Path) -> str | None:
    """Return the last checkpoint that was written whole; the trainer writes its state last. Others are removed."""
    while (last := get_last_checkpoint(str(run))) is not None:
        try:
            json.loads((Path(last) / "trainer_state.json").read_text("utf-8"))
        except (OSError, ValueError):
            if first_process():
                shutil.rmtree(last)
            continue
        return last
    return None


@contextmanager
def in_words(run: Path, batch_size: int) -> Iterator[None]:
    """Say what went wrong in training that is not a bug: memory that ran out, or the disk."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"out of memory at {batch_size} blocks a batch.",
            "Lower --batch-size, and raise --accumulate by as much to keep the step, or lower --max-length.",
        ) from error
    except (RuntimeError, OSError, SafetensorError) as error:
        if shutil.disk_usage(run).free < SPACE_NEEDED:
            raise StorageError(
                f"{run}: no space left on the disk.", "Make room and give the same command again, or use another --out."
            ) from error
        raise


def processes() -> int:
    """Return how many processes train together, as torchrun says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def first_process() -> bool:
    """Return whether this process is the one that writes and speaks."""
    return os.environ.get("RANK", "0") == "0"
