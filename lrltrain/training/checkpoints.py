"""Checkpoints of one adapter: weights, moments, the best weights so far, and the state of the training loop. IO."""

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from lrldata.errors import StorageError
from lrldata.manifest import damaged, file_entry, read_sealed, sealed, write_json
from lrldata.output import note
from lrldata.paths import remove_tree, walk
from lrltrain.tensors import write_tensors
from lrltrain.training.processes import first_process

KEPT = 2  # number of checkpoints
STATE, TENSORS, FILES = "state.json", "tensors.safetensors", "files.json"
_NAME = re.compile(r"checkpoint-(\d+)")


@dataclass
class TrainingState:
    """The state of one adapter's training, apart from its weights."""

    step: int = 0
    best_step: int = 0
    best_loss: float = float("inf")
    log: list[dict[str, Any]] = field(default_factory=list)
    failed: str = ""
    share: float = 0.0  # seconds of training, including earlier runs: this adapter's part of its group's time
    seconds: float = 0.0  # the whole time of the group, as earlier versions recorded it


def save_checkpoint(run: Path, state: TrainingState, tensors: dict[str, Tensor]) -> None:
    """Write and then seal the checkpoint of a step. Only the KEPT latest checkpoints are kept."""
    folder = run / f"checkpoint-{state.step}"
    remove_tree(folder)
    folder.mkdir(parents=True)
    write_tensors(
        {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, folder / TENSORS
    )
    write_json(folder / STATE, asdict(state))
    seal_checkpoint(folder)
    for step in steps_of(run)[:-KEPT]:
        remove_tree(run / f"checkpoint-{step}")


def seal_checkpoint(folder: Path) -> None:
    """List the files of a checkpoint with their hashes in a last file. A checkpoint without this file is incomplete."""
    files = [file_entry(path, folder) for path in walk(folder) if path.name != FILES]
    write_json(folder / FILES, sealed({"outputs": files}))


def steps_of(run: Path) -> list[int]:
    """Return the steps that have a checkpoint, complete or not, in ascending order."""
    names = (_NAME.fullmatch(path.name) for path in run.iterdir()) if run.is_dir() else ()
    return sorted(int(match[1]) for match in names if match)


def whole_steps(run: Path) -> list[int]:
    """Return the steps with a complete, undamaged checkpoint, in ascending order. Other checkpoints are removed.

    Raises OSError, and removes nothing, if a checkpoint cannot be read, for example without permission.
    """
    steps, damaged_folders = [], []
    for step in steps_of(run):
        folder = run / f"checkpoint-{step}"
        if _is_whole(folder):
            steps.append(step)
        else:
            damaged_folders.append(folder)
    for folder in damaged_folders:
        if first_process():
            if (folder / FILES).exists():  # otherwise its process was killed while it wrote the checkpoint
                note(f"{folder} is damaged and is removed.")
            remove_tree(folder)
    return steps


def _is_whole(folder: Path) -> bool:
    """Return whether a checkpoint has all of its files, unchanged. Raises OSError if one cannot be read."""
    file = folder / FILES
    try:
        return not list(damaged(folder, read_sealed(file.read_bytes(), file)))
    except (FileNotFoundError, NotADirectoryError, StorageError, TypeError, KeyError):
        return False


def drop_beyond(run: Path, step: int) -> None:
    """Remove checkpoints after `step` when a run resumes from it; they would be mistaken for newer ones."""
    for later in steps_of(run):
        if later > step:
            remove_tree(run / f"checkpoint-{later}")


def can_load(run: Path, step: int) -> bool:
    """Return whether this version of lrl can read a checkpoint."""
    try:
        load_checkpoint(run, step)
    except StorageError:
        return False
    return True


def load_checkpoint(run: Path, step: int) -> tuple[TrainingState, dict[str, Tensor]]:
    """Read a checkpoint. Raises StorageError if this version of lrl cannot read it."""
    folder = run / f"checkpoint-{step}"
    try:
        state = TrainingState(**json.loads((folder / STATE).read_text("utf-8")))
        return state, load_file(folder / TENSORS)
    except (OSError, ValueError, TypeError) as error:
        raise StorageError(
            f"{folder}: this version of lrl cannot resume from this checkpoint.",
            "Start over with --overwrite, or use another --out.",
        ) from error
