"""Runs that are not finished: whose folder it is, what it was begun with, and from where it goes on. IO."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from lrldata.errors import StorageError, TrainingError, UsageError, is_full
from lrldata.folder import refuse_strangers
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
from lrldata.paths import inside, remove_tree
from lrldata.versions import other_versions
from lrltrain.artifact import NOT_NEEDED, owned_by
from lrltrain.config import FitConfig
from lrltrain.methods import READERS
from lrltrain.models import Base
from lrltrain.names import base_name, distinct
from lrltrain.training.checkpoints import whole_steps

RECIPE = "recipe.json"
# Settings that may change when a run is resumed; all others change the shapes of weights, or what the loss is of.
CONTINUED = {"steps", "warmup", "learning_rate", "weight_decay", "eval_every", "dropout", "torch_compile"}
SPACE_NEEDED = 1 << 20  # bytes free on the disk below which a failure is put down to it


def run_folder(home: Path) -> Path:
    """Return where the checkpoints of an adapter's folder are kept while it is trained."""
    return home.with_name(f".{home.name}.run")


def start_or_resume(home: Path, run: Path, recipe: Mapping[str, Any], config: FitConfig) -> dict[str, Any]:
    """Refuse a folder that is in use for something else; begin a run, or clear the way for one that goes on.

    Returns the recipe of the run: the given one, and under `resumed`, where settings were changed on the way, at which
    step that was and what they were before. Raises StorageError, UsageError.
    """
    inside(run.parent, run.name)
    before, last = _recipe_of(run), max(whole_steps(run), default=0)
    if not (config.resume and last):
        refuse_in_use(home, recipe, config)
    whole = dict(recipe)
    if config.overwrite and not _is_same(before, recipe):  # where it is the same, it is this very run, interrupted
        remove_tree(run)
    elif last and not config.overwrite:
        whole |= _resumed(run, before, recipe, last, resume=config.resume)
    run.mkdir(parents=True, exist_ok=True)
    write_json(run / RECIPE, sealed({"recipe": whole}))
    return whole


def refuse_in_use(home: Path, recipe: Mapping[str, Any], config: FitConfig) -> None:
    """Refuse a folder that holds an adapter of other settings, or files of others. Raises StorageError."""
    if home.exists() and any(home.iterdir()):
        refuse_strangers(home, owned_by(home), "an adapter")
        manifest = read_manifest(home, ADAPTER) if config.overwrite else _held_in(home)
        if manifest and not config.overwrite:
            damage = ", ".join(damaged(home, manifest, NOT_NEEDED))
            told = difference(manifest, recipe) or f"of the same settings, but damaged: {damage}"
            raise StorageError(
                f"{home}: holds an adapter already ({told}).",
                "Use --overwrite to replace it, or another --out.",
            )


def like(recipe: Mapping[str, Any], before: Mapping[str, Any], *, resumed: bool = False) -> dict[str, Any]:
    """Return a recipe as the version of lrl that wrote `before` had it: without what it did not yet write down.

    A dataset that was built again to the same rows is the one of `before`. With `resumed`, the two are held to be the
    same where settings were changed on the way to `before`.
    """
    base = dict(recipe.get("base", {}))
    if "reading" not in before.get("base", {}):
        base.pop("reading", None)
    on_the_way = {"resumed": before["resumed"]} if resumed and "resumed" in before else {}
    inputs = [_input_like(*each) for each in zip_longest(recipe.get("inputs", ()), before.get("inputs", ()))]
    known = {"inputs": [each for each in inputs if each is not None]} if "inputs" in recipe else {}
    return {**recipe, **known, **({"base": base} if base else {}), **on_the_way}


def _input_like(mine: Any, before: Any) -> Any:
    if not isinstance(mine, Mapping) or "content" not in mine or not isinstance(before, Mapping):
        return mine
    if "content" not in before and mine["kind"] == "dataset":
        return {key: value for key, value in mine.items() if key != "content"}
    return before if all(mine[key] == before.get(key) for key in ("kind", "name", "content")) else mine


def as_made_with(before: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe as the libraries that made `before` have it, which may write down one tokenizer in other ways."""
    made, now = before.get("made_with", {}), recipe.get("made_with", {})
    reads_otherwise = any(made.get(name) != now.get(name) for name in READERS)
    named = ("made_with", "tokenizer") if reads_otherwise else ("made_with",)
    return {**recipe, **{key: before[key] for key in named if key in before}}


def _is_same(before: Mapping[str, Any], recipe: Mapping[str, Any], *, resumed: bool = False) -> bool:
    return before == like(recipe, before, resumed=resumed)


def _resumed(
    run: Path, before: Mapping[str, Any], recipe: Mapping[str, Any], step: int, *, resume: bool
) -> dict[str, Any]:
    """Return what a recipe says of a run that goes on from a step. Raises StorageError, UsageError where it cannot."""
    if _is_same(before, recipe, resumed=resume):
        return {"resumed": before["resumed"]} if "resumed" in before else {}
    old, new = before.get("settings", {}), recipe["settings"]
    changed = [key for key in {*old, *new} if old.get(key) != new.get(key)]
    asked = as_made_with(before, like(recipe, before))
    fixed = [key for key in changed if key not in CONTINUED]
    fixed += [key for key in asked if key != "settings" and before.get(key) != asked[key]]
    if not resume or fixed:
        if not before:
            told = "what it was begun with cannot be read"
        else:
            told = f"a run of other settings was not finished ({difference(before, recipe, first=fixed)})"
        cannot = " They shape the weights, so that it cannot go on under them." if resume and before else ""
        hint = "" if fixed else "Use --resume to go on with its weights under the new settings, or "
        raise StorageError(
            f"{run}: {told}.{cannot}", f"{hint}{'--' if hint else 'Use --'}overwrite to begin again, or another --out."
        )
    if new.get("steps", step) < step:
        raise UsageError(
            f"--steps {new['steps']}: the unfinished run is at step {step} already.",
            f"Give --steps {step} or more, or --overwrite to begin again.",
        )
    entry = {"step": step, "settings": {key: old.get(key) for key in sorted(changed)}}
    if before.get("made_with") != recipe.get("made_with"):
        entry["made_with"] = before.get("made_with")
    return {"resumed": [*before.get("resumed", []), entry]}


def refuse_other_base(home: Path, base: Base, *, overwrite: bool) -> None:
    """Refuse a folder of adapters of another base model of the same last name. Raises StorageError."""
    parent = home.parent
    for folder in sorted(parent.iterdir()) if parent.is_dir() else []:
        manifest = _adapter_in(folder)
        held = manifest.get("base")
        same = overwrite or None in (held and held.get("content"), base.content) or base.may_be_of(manifest)
        if not held or (held["id"] == base.id and same):  # of a model on the Hub, whatever its commit
            continue
        if held["id"] != base.id:
            names = distinct({"": parent.name, base.id: base_name(base.id)}, {"": "", base.id: base.id})
            raise StorageError(
                f"{parent}: holds adapters of {held['id']}, another base model than {base.id}.",
                f"Give this one a folder of its own with --base-folder {names[base.id]}, or use another --out.",
            )
        raise StorageError(
            f"{parent}: holds adapters of another base model that is called {base.id}, of other weights.",
            f"Tell them apart with --base-id, as --base-id my-org/{parent.name}-2, or use another --out. "
            "Where it is the same model, changed since, --overwrite replaces its adapter.",
        )


def _adapter_in(folder: Path) -> Mapping[str, Any]:
    """Return an adapter's manifest, empty if the folder has none that can be read."""
    try:
        manifest = None if folder.name.startswith(".") else read_manifest(folder, ADAPTER)
    except (OSError, StorageError):  # a link, or a folder of others: it is not this one that is written
        return {}
    return manifest or {}


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


def difference(before: Mapping[str, Any], after: Mapping[str, Any], first: Iterable[str] = ()) -> str:
    """Name what differs between two recipes, the settings by name; of many, those that are to come first."""
    old, new = before.get("settings", {}), after["settings"]
    keys = [*new, *(key for key in old if key not in new)]
    named = {key: f"{key}: {old.get(key)} before, now {new.get(key)}" for key in keys if old.get(key) != new.get(key)}
    other = as_made_with(before, like(after, before))
    parts = (key for key in other if key not in ("settings", "made_with", "resumed"))
    named |= {key: key for key in parts if before.get(key) != other.get(key)}
    named |= {"made_with": told} if (told := other_versions(before, after)) else {}
    for each in before.get("resumed", []):
        settings = ", ".join(f"{key}: {value}" for key, value in each["settings"].items())
        named["resumed"] = f"resumed at step {each['step']} of a run with {settings or 'other libraries'}"
    ordered = [*(named[key] for key in first if key in named), *(named[key] for key in named if key not in first)]
    return "; ".join(ordered[:3])


@contextmanager
def translate_errors(run: Path, batch_size: int) -> Iterator[None]:
    """Say what went wrong in training that is not a bug: memory that ran out, or the disk."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"out of memory at {batch_size} blocks a batch.",
            "Lower --batch-size, and raise --accumulate by as much to keep the step, or lower --max-length.",
        ) from error
    except (RuntimeError, OSError, SafetensorError) as error:
        if is_full(error) or shutil.disk_usage(run.parent).free < SPACE_NEEDED:
            raise StorageError(
                f"{run}: no space left on the disk, or in your quota.",
                "Make room and give the same command again, or use another --out.",
            ) from error
        raise
