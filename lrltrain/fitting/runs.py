"""Unfinished runs: which adapter they belong to, how they were started, and from where they resume. IO."""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from lrldata.errors import StorageError, TrainingError, UsageError, is_full
from lrldata.folder import refuse_foreign_files
from lrldata.manifest import (
    ADAPTER,
    DamagedError,
    damaged,
    load_manifest,
    read_manifest,
    read_sealed,
    sealed,
    write_json,
)
from lrldata.output import note
from lrldata.paths import inside, remove_tree
from lrldata.versions import other_versions
from lrltrain.artifact import NOT_NEEDED, owned_by
from lrltrain.config import FitConfig
from lrltrain.memory import is_out_of_memory
from lrltrain.methods import READERS
from lrltrain.models import Base
from lrltrain.names import base_name, distinct
from lrltrain.precision import precision_of
from lrltrain.training.checkpoints import can_load, drop_beyond, whole_steps

RECIPE = "recipe.json"
# Settings that may change when a run is resumed; all others change the shapes of weights, or what the loss measures.
CONTINUED = {"steps", "warmup", "learning_rate", "weight_decay", "eval_every", "dropout", "torch_compile"}
SPACE_NEEDED = 1 << 20  # bytes free on the disk; with less, a failure is attributed to the full disk


def run_folder(home: Path) -> Path:
    """Return the folder of the checkpoints of an adapter while it is trained."""
    return home.with_name(f".{home.name}.run")


def start_or_resume(
    home: Path, run: Path, recipe: Mapping[str, Any], config: FitConfig, group: Sequence[str] = ()
) -> dict[str, Any]:
    """Refuse a folder that is in use for something else; start a run, or prepare one that resumes.

    Returns the run's recipe: the given one and, if settings were changed along the way, `resumed` with the step of
    each change and the earlier settings. `group` names the adapters that train together; a run that resumes keeps the
    group that it started in (see `group_of`). The precision may differ if it is `auto` and the run moves to another
    machine; see `precisions_of`. Raises StorageError, UsageError.
    """
    inside(run.parent, run.name)
    earlier, last_step = _recipe_of(run), max(whole_steps(run), default=0)
    if not (config.resume and last_step):
        refuse_in_use(home, recipe, config)
    full_recipe = dict(recipe)
    if config.overwrite and not _is_same(earlier, recipe):  # if it is the same, this is the interrupted run itself
        if last_step:
            reason = difference(earlier, recipe) if earlier else "its recipe cannot be read"
            note(f"{run}: an unfinished run at step {last_step:,} is discarded: {reason}.")
        remove_tree(run)
    elif last_step:
        group = group_of(run) or group
        full_recipe |= _resumed(run, earlier, recipe, last_step, resume=config.resume)
    precision, before = precision_of(config.precision), precisions_of(run) if last_step else []
    if before and before[-1] != precision:
        note(f"{home.name}: computed in {before[-1]} up to here, and now in {precision}.")
    precisions = before if before[-1:] == [precision] else [*before, precision]
    run.mkdir(parents=True, exist_ok=True)
    write_json(run / RECIPE, sealed({"recipe": full_recipe, "group": list(group), "precisions": precisions}))
    return full_recipe


def refuse_in_use(home: Path, recipe: Mapping[str, Any], config: FitConfig) -> None:
    """Refuse a folder that holds an adapter with other settings, or unrelated files. Raises StorageError."""
    if home.exists() and any(home.iterdir()):
        refuse_foreign_files(home, owned_by(home), "an adapter")
        manifest = read_manifest(home, ADAPTER) if config.overwrite else _held_in(home)
        if manifest and not config.overwrite:
            damage = ", ".join(damaged(home, manifest, NOT_NEEDED))
            reason = difference(manifest, recipe) or f"with the same settings, but damaged: {damage}"
            raise StorageError(
                f"{home}: already holds an adapter ({reason}).",
                "Use --overwrite to replace it, or another --out.",
            )


def as_recorded_by(recipe: Mapping[str, Any], before: Mapping[str, Any], *, resumed: bool = False) -> dict[str, Any]:
    """Return a recipe as written by the version of lrl that wrote `before`: without what that did not record yet.

    A dataset that was rebuilt with the same rows counts as that of `before`. Libraries may have been changed on the way
    to `before`; with `resumed`, settings too.
    """
    base = dict(recipe.get("base", {}))
    if "reading" not in before.get("base", {}):
        base.pop("reading", None)
    changes = before.get("resumed", [])
    earlier_changes = {"resumed": changes} if changes and (resumed or not _with_settings(changes)) else {}
    inputs = [_input_like(*pair) for pair in zip_longest(recipe.get("inputs", ()), before.get("inputs", ()))]
    known_inputs = {"inputs": [entry for entry in inputs if entry is not None]} if "inputs" in recipe else {}
    return {**recipe, **known_inputs, **({"base": base} if base else {}), **earlier_changes}


def _with_settings(changes: Iterable[Mapping[str, Any]]) -> bool:
    return any(change["settings"] for change in changes)


def differs_in_libraries_only(run: Path, recipe: Mapping[str, Any]) -> bool:
    """Return whether an unfinished run has this recipe, but began with other libraries, and can be resumed."""
    earlier, steps = _recipe_of(run), whole_steps(run)
    is_same = earlier == as_made_with(earlier, as_recorded_by(recipe, earlier))
    return is_same and bool(steps) and not _is_same(earlier, recipe) and can_load(run, max(steps))


def steps_kept(run: Path, recipe: Mapping[str, Any], config: FitConfig) -> list[int]:
    """Return the steps of the checkpoints from which a run may resume; none if it will be discarded."""
    return [] if config.overwrite and not _is_same(_recipe_of(run), recipe) else whole_steps(run)


def drop_uncommon(group: Iterable[tuple[Path, Mapping[str, Any], FitConfig]]) -> None:
    """Remove the checkpoints after the last step that all runs of a group, with their recipes, have in common."""
    kept = {run: set(steps_kept(run, recipe, config)) for run, recipe, config in group}
    for run, steps in kept.items():
        if steps:  # otherwise, the run is new, or will be discarded with a note
            drop_beyond(run, max(set.intersection(*kept.values()), default=0))


def _input_like(current: Any, before: Any) -> Any:
    if not isinstance(current, Mapping) or "content" not in current or not isinstance(before, Mapping):
        return current
    if "content" not in before and current["kind"] == "dataset":
        return {key: value for key, value in current.items() if key != "content"}
    return before if all(current[key] == before.get(key) for key in ("kind", "name", "content")) else current


def as_made_with(before: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe as the libraries that made `before` record it; they may describe one tokenizer differently."""
    old_versions, new_versions = before.get("made_with", {}), recipe.get("made_with", {})
    readers_differ = any(old_versions.get(name) != new_versions.get(name) for name in READERS)
    keys = ("made_with", "tokenizer") if readers_differ else ("made_with",)
    return {**recipe, **{key: before[key] for key in keys if key in before}}


def _is_same(before: Mapping[str, Any], recipe: Mapping[str, Any], *, resumed: bool = False) -> bool:
    return before == as_recorded_by(recipe, before, resumed=resumed)


def _resumed(
    run: Path, before: Mapping[str, Any], recipe: Mapping[str, Any], step: int, *, resume: bool
) -> dict[str, Any]:
    """Return the additional recipe entry of a resumed run. Raises StorageError, UsageError if it cannot resume."""
    if _is_same(before, recipe, resumed=resume):
        return {"resumed": before["resumed"]} if "resumed" in before else {}
    old, new = before.get("settings", {}), recipe["settings"]
    changed = [key for key in {*old, *new} if old.get(key) != new.get(key)]
    expected = as_made_with(before, as_recorded_by(recipe, before))
    fixed = [key for key in changed if key not in CONTINUED]
    fixed += [key for key in expected if key != "settings" and before.get(key) != expected[key]]
    if not resume or fixed:
        if not before:
            reason = "its recipe cannot be read"
        else:
            reason = f"a run with other settings was not finished ({difference(before, recipe, first=fixed)})"
        explanation = " These shape the weights, so the run cannot be resumed with them." if resume and before else ""
        hint = "Use --overwrite to start again, or another --out."
        if not fixed and new.get("steps", step) >= step:
            hint = f"Use --resume to continue from its weights with the new settings. {hint}"
        raise StorageError(f"{run}: {reason}.{explanation}", hint)
    if new.get("steps", step) < step:
        raise UsageError(
            f"--steps {new['steps']}: the unfinished run is already at step {step}.",
            f"Give --steps {step} or more, or --overwrite to start again.",
        )
    entry = {"step": step, "settings": {key: old.get(key) for key in sorted(changed)}}
    if before.get("made_with") != recipe.get("made_with"):
        entry["made_with"] = before.get("made_with")
    return {"resumed": [*before.get("resumed", []), entry]}


def refuse_other_base(home: Path, base: Base, *, overwrite: bool) -> None:
    """Refuse a folder of adapters of another base model with the same last name. Raises StorageError."""
    parent = home.parent
    for folder in sorted(parent.iterdir()) if parent.is_dir() else []:
        manifest = _adapter_in(folder)
        recorded_base = manifest.get("base")
        is_same = (
            overwrite
            or None in (recorded_base and recorded_base.get("content"), base.content)
            or base.may_be_of(manifest)
        )
        if not recorded_base or (recorded_base["id"] == base.id and is_same):  # for a model on the Hub, at any commit
            continue
        if recorded_base["id"] != base.id:
            names = distinct({"": parent.name, base.id: base_name(base.id)}, {"": "", base.id: base.id})
            raise StorageError(
                f"{parent}: holds adapters of {recorded_base['id']}, a different base model than {base.id}.",
                f"Give this one its own folder with --base-folder {names[base.id]}, or use another --out.",
            )
        raise StorageError(
            f"{parent}: holds adapters of a base model that is also called {base.id} but has different weights.",
            f"Distinguish them with --base-id, such as --base-id my-org/{parent.name}-2, or use another --out. "
            "If it is the same model and has changed since, --overwrite replaces its adapter.",
        )


def _adapter_in(folder: Path) -> Mapping[str, Any]:
    """Return an adapter's manifest, or an empty one if the folder has none that can be read."""
    try:
        manifest = None if folder.name.startswith(".") else read_manifest(folder, ADAPTER)
    except (OSError, StorageError):  # a link or an unrelated folder, which is not the one to be written
        return {}
    return manifest or {}


def _held_in(home: Path) -> dict[str, Any] | None:
    """Return the manifest of the adapter in a folder; None if there is none. Raises DamagedError."""
    try:
        return load_manifest(home, ADAPTER)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except DamagedError as error:
        raise DamagedError(error.message, "Use --overwrite to make it again.") from error


def _recipe_of(run: Path) -> dict[str, Any]:
    """Return the recipe that a run was started with, or an empty one if it is missing or damaged."""
    recipe = _start_of(run).get("recipe")
    return recipe if isinstance(recipe, dict) else {}


def group_of(run: Path) -> list[str]:
    """Return the names of the adapters that a run started together with, including its own; empty if unknown."""
    group = _start_of(run).get("group")
    return list(map(str, group)) if isinstance(group, list) else []


def precisions_of(run: Path) -> list[str]:
    """Return the precisions that a run was computed in, one after the other; empty if unknown."""
    precisions = _start_of(run).get("precisions")
    return list(map(str, precisions)) if isinstance(precisions, list) else []


def _start_of(run: Path) -> dict[str, Any]:
    try:
        return read_sealed((run / RECIPE).read_bytes(), run / RECIPE)
    except (FileNotFoundError, NotADirectoryError, StorageError):
        return {}


def difference(before: Mapping[str, Any], after: Mapping[str, Any], first: Iterable[str] = ()) -> str:
    """Describe what differs between two recipes, settings by name; `first` are the keys to list first."""
    old, new = before.get("settings", {}), after["settings"]
    keys = [*new, *(key for key in old if key not in new)]
    descriptions = {
        key: f"{key}: {old.get(key)} before, now {new.get(key)}" for key in keys if old.get(key) != new.get(key)
    }
    other = as_made_with(before, as_recorded_by(after, before))
    parts = (key for key in other if key not in ("settings", "made_with", "resumed"))
    descriptions |= {key: key for key in parts if before.get(key) != other.get(key)}
    descriptions |= {"made_with": versions} if (versions := other_versions(before, after)) else {}
    for change in before.get("resumed", []):
        settings = ", ".join(f"{key}: {value}" for key, value in change["settings"].items())
        descriptions["resumed"] = f"resumed at step {change['step']} of a run with {settings or 'other libraries'}"
    ordered = [
        *(descriptions[key] for key in first if key in descriptions),
        *(descriptions[key] for key in descriptions if key not in first),
    ]
    return "; ".join(ordered[:3])


@contextmanager
def translate_errors(run: Path, batch_size: int) -> Iterator[None]:
    """Explain failures of training that are not bugs: memory or disk space that ran out."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise TrainingError(
                f"out of memory with {batch_size} blocks per batch.",
                "Lower --batch-size, and raise --accumulate by the same factor to keep the step, or lower "
                "--max-length.",
            ) from error
        if is_full(error) or shutil.disk_usage(run.parent).free < SPACE_NEEDED:
            raise StorageError(
                f"{run}: no space left on the disk, or in your quota.",
                "Free some space and run the same command again, or use another --out.",
            ) from error
        raise
