"""Runs that are not finished: whose folder it is, what it was begun with, and from where it goes on. IO."""

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
from lrldata.folder import refuse_strangers
from lrldata.manifest import (
    ADAPTER,
    DamagedError,
    damaged,
    file_entry,
    load_manifest,
    read_manifest,
    read_sealed,
    sealed,
    write_json,
)
from lrldata.paths import inside, remove_tree, walk
from lrltrain.artifact import owned_by
from lrltrain.config import FitConfig

RECIPE, FILES = "recipe.json", "files.json"
SPACE_NEEDED = 1 << 20  # bytes free on the disk below which a failure is put down to it


def run_folder(home: Path) -> Path:
    """Return where the checkpoints of an adapter's folder are kept while it is trained."""
    return home.with_name(f".{home.name}.run")


def claim(home: Path, run: Path, recipe: Mapping[str, Any], config: FitConfig) -> None:
    """Refuse a folder that is in use for something else; begin a run, or clear the way for one that goes on."""
    inside(run.parent, run.name)
    before, under_way = _recipe_of(run), last_checkpoint(run) is not None
    if home.exists() and any(home.iterdir()) and not (config.resume and under_way):
        refuse_strangers(home, owned_by(home), "an adapter")
        manifest = read_manifest(home, ADAPTER) if config.overwrite else _held_in(home)
        if manifest and not config.overwrite:
            raise StorageError(
                f"{home}: holds an adapter already ({_difference(manifest, recipe)}).",
                "Use --overwrite to replace it, or another --out.",
            )
    if config.overwrite and before != recipe:  # where it is the same, it is this very run, which was interrupted
        remove_tree(run)
    elif before != recipe and under_way and not config.resume:
        raise StorageError(
            f"{run}: a run of other settings was not finished ({_difference(before, recipe)}).",
            "Use --resume to go on with its weights under the new settings, or --overwrite to begin again.",
        )
    run.mkdir(parents=True, exist_ok=True)
    write_json(run / RECIPE, sealed({"recipe": dict(recipe)}))


def _held_in(home: Path) -> dict[str, Any] | None:
    """Return the manifest of the adapter in a folder; None where there is none. Raises DamagedError."""
    try:
        return load_manifest(home, ADAPTER)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except DamagedError as error:
        raise DamagedError(error.message, "Use --overwrite to make it again.") from error


def _recipe_of(run: Path) -> dict[str, Any]:
    """Return the recipe with which a run was begun; an empty one where that cannot be read."""
    try:
        found = read_sealed((run / RECIPE).read_bytes(), run / RECIPE)
    except (OSError, StorageError):
        return {}
    recipe = found.get("recipe")
    return recipe if isinstance(recipe, dict) else {}


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Name what differs between two recipes, the settings by name."""
    old, new = before.get("settings", {}), after["settings"]
    named = [f"{key}: {old.get(key)} before, now {new.get(key)}" for key in new if old.get(key) != new.get(key)]
    named += [key for key in ("base", "tokenizer", "inputs", "made_with") if before.get(key) != after.get(key)]
    return "; ".join(named[:3]) or "of the same settings, but with damaged files"


def vouch(checkpoint: Path) -> None:
    """Write down the files of a checkpoint by hash, as its last file: one without it was not written whole."""
    files = [file_entry(path, checkpoint) for path in walk(checkpoint) if path.name != FILES]
    write_json(checkpoint / FILES, sealed({"outputs": files}))


def last_checkpoint(run: Path) -> str | None:
    """Return the last checkpoint that was written whole and is unharmed. Later ones are removed."""
    while run.is_dir() and (last := get_last_checkpoint(str(run))) is not None:
        try:
            file = Path(last) / FILES
            whole = not list(damaged(Path(last), read_sealed(file.read_bytes(), file)))
        except (OSError, StorageError, TypeError, KeyError):
            whole = False
        if whole:
            return last
        if first_process():
            remove_tree(Path(last))
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
