"""`lrltrain.load_adapter`: an adapter from a folder or the Hub, put into a transformers model. IO."""

from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from lrldata.arguments import naming_arguments
from lrldata.errors import ModelError, one_line
from lrldata.manifest import MANIFEST
from lrldata.output import note
from lrldata.settings import Place, as_path, located, path_or_id
from lrltrain.modules.files import (
    CONFIG,
    FUSION_CONFIG,
    SAFE_FUSION_WEIGHTS,
    SAFE_WEIGHTS,
    load_adapter_files,
    load_fusion,
    read_config,
    save_fusion,
)
from lrltrain.modules.files import save_adapter as write_files
from lrltrain.modules.insert import AdapterStack, FusedStack, insert, inserted, take_out
from lrltrain.modules.reference import says_otherwise
from lrltrain.names import HUB_ID
from lrltrain.session import undisturbed
from lrltrain.trust import faults

_CONFIGS, _WEIGHTS, _PICKLED = ["*.json"], ["*.safetensors"], ["*.bin"]


def load_adapter(model: Any, source: Place, *, revision: str | None = None) -> AdapterStack | FusedStack:
    """Put an adapter that lrl or the library `adapters` wrote into a transformers model, active.

    Adapters that are in the model already stay, and the new one is stacked on them. The adapter's weights are in single
    precision and can be trained further; the model's own are left as they are.

    Args:
        model: a model of transformers, 4.57 or later, of a family of `lrltrain.modules.families`, with a head or not.
        source: an adapter of `fit`, the folder of one, or the id of a repository on the Hub.
        revision: a branch, tag or commit of that repository; `main` without it.

    Returns:
        The adapter, as a torch module that is now part of the model.

    Raises:
        ModelError: the model's family is not supported, or the adapter is damaged, was trained in another model, or is
            in the model already.

    Example:
        >>> model = AutoModelForMaskedLM.from_pretrained("FacebookAI/xlm-roberta-base")
        >>> lrltrain.load_adapter(model, "my-org/xlm-roberta-base-ro-glotcc-seq_bn_inv")
    """
    source = located(source)
    if not isinstance(source, str | Path) or not hasattr(model, "config"):
        raise ModelError("load_adapter takes a model of transformers, and the folder or id of an adapter.", "")
    try:
        named = path_or_id(source)
    except ValueError as error:  # a Path that is not there
        raise ModelError(
            f"{source}: neither a folder nor an id on the Hub.", "Name the folder of an adapter."
        ) from error
    folder = _folder_of(named, revision)
    _check_kind(source, folder)
    folder = _with_weights(named, folder)
    fuses = (folder / FUSION_CONFIG).is_file()
    name = FUSION_CONFIG if fuses else CONFIG
    config = read_config(folder / name)
    fault = next(faults(config), None)
    if fault:
        raise ModelError(f"{source}: {name}: {fault}.", "An adapter's own code is never run.")
    with undisturbed():
        stack = load_fusion(folder, model) if fuses else load_adapter_files(folder, model)
        before = inserted(model)
        if any(each.names == stack.names for each in before):
            raise ModelError(
                f"{source}: {', '.join(stack.names)} is in the model already.", "lrltrain.unload_adapter takes it out."
            )
        if stack.coupling is not None and any(each.coupling is not None for each in before):
            note(f"note: {source}: its invertible adapter is not used, as there is one in the model already.")
        _note_base(source, str(config.get("model_name", "")), str(model.config.name_or_path))
        insert(model, stack)
        if not before and says_otherwise(folder, model):
            note(f"note: {source}: with it the model says something else than after training. {_trained_in(folder)}")
    torch.compiler.reset()  # what was compiled before does not have the adapter
    return stack


def _trained_in(folder: Path) -> str:
    """Say which base model an adapter wants, as its manifest has it."""
    manifest = read_config(folder / MANIFEST) if (folder / MANIFEST).is_file() else {}
    base = dict(manifest.get("base") or {})
    if not base.get("revision"):
        return f"Is this the base model that it was trained in{', ' + str(base['id']) if base.get('id') else ''}?"
    return f"Load its base model as it was: from_pretrained({base['id']!r}, revision={base['revision']!r})."


def save_adapter(model: Any, folder: Place, *, name: str | None = None) -> Path:
    """Write an adapter that `load_adapter` put into a model, as after further training, into a folder.

    It loads again with `load_adapter` and the library `adapters`; LoRA also with PEFT, from the folder `peft` in it.
    `save_pretrained` of the model would write it into the model's own weights.

    Args:
        model: the model that was given to `load_adapter`.
        folder: where to write to, new or empty.
        name: one of the `names` of what `load_adapter` returned, if the model has several adapters.

    Returns:
        The folder.

    Raises:
        ModelError: the model has no adapter, or several and no `name`; the folder is not empty.
        UsageError: `folder` is an address, or no path.
        StorageError: the folder cannot be written.

    Example:
        >>> stack = lrltrain.load_adapter(model, "my-org/xlm-roberta-base-ro-glotcc-lora")
        >>> lrltrain.save_adapter(model, "further-trained")
    """
    stacks = [each for each in inserted(model) if name is None or name in each.names]
    if len(stacks) != 1:
        held = ", ".join(each for stack in inserted(model) for each in stack.names)
        told = f"The model has no adapter {name!r}." if name else f"The model has {len(stacks)} adapters."
        raise ModelError(told, f"It has: {held}. Give the name of one." if held else "Give it one with load_adapter.")
    home, stack = as_path(folder, "folder"), stacks[0]
    with naming_arguments({"folder"}):
        if home.is_file():
            raise ModelError(f"{home}: is a file.", "Name a folder.")
        if home.is_dir() and any(home.iterdir()):
            raise ModelError(
                f"{home}: is not empty.", "Give another folder: what is there would stay beside the new files."
            )
        home.mkdir(parents=True, exist_ok=True)
        if isinstance(stack, FusedStack):
            save_fusion(home, model, stack)
        else:
            write_files(home, model, stack)
    return home


def unload_adapter(model: Any, name: str | None = None) -> None:
    """Take an adapter out of a model that `load_adapter` put in, or all of them; the others stay, in their order.

    Args:
        model: the model that was given to `load_adapter`.
        name: one of the `names` of what `load_adapter` returned; all adapters without it.

    Raises:
        ModelError: the model has no adapter with this name.

    Example:
        >>> lrltrain.load_adapter(model, "my-org/xlm-roberta-base-ro-glotcc-seq_bn")
        >>> lrltrain.unload_adapter(model)
        >>> lrltrain.load_adapter(model, "my-org/xlm-roberta-base-ug-glotcc-seq_bn")
    """
    kept = [each for each in inserted(model) if name is not None and name not in each.names]
    if name is not None and len(kept) == len(inserted(model)):
        held = ", ".join(each for stack in inserted(model) for each in stack.names)
        raise ModelError(f"The model has no adapter {name!r}.", f"It has: {held or 'none'}.")
    take_out(model)
    if kept:
        insert(model, *kept)
    torch.compiler.reset()


def _note_base(source: str | Path, trained: str, given: str) -> None:
    """Say where an adapter was trained in a base model of another name; people have models under names of their own."""
    known = all(HUB_ID.fullmatch(each) and not Path(each).exists() for each in (trained, given))
    if known and trained.rpartition("/")[2].lower() != given.rpartition("/")[2].lower():
        note(f"note: {source} was trained in {trained}, and this is {given}: is that a copy of it, or trained from it?")


def _check_kind(source: str | Path, folder: Path) -> None:
    """Raise ModelError for a folder that holds a whole model."""
    names = (CONFIG, FUSION_CONFIG)
    if not any((folder / name).is_file() for name in names) and (folder / "config.json").is_file():
        raise ModelError(f"{source}: holds a whole model.", "Load it with from_pretrained of transformers.")


def _folder_of(source: str, revision: str | None) -> Path:
    if Path(source).is_dir():
        if revision:
            raise ModelError(f"{source}: a folder has no revisions.", "Leave `revision` out.")
        return Path(source)
    if not HUB_ID.fullmatch(source):
        raise ModelError(f"{source}: neither a folder nor an id on the Hub.", "An id looks like my-org/adapter.")
    return _fetched(source, revision, _CONFIGS)


def _with_weights(source: str, folder: Path) -> Path:
    """Return the folder with its weights, fetched where it is on the Hub: pickled ones if there are no others.

    A whole model that is named by mistake is not fetched, and neither is what is not read.
    """
    if Path(source).is_dir():
        return folder
    commit = folder.name
    fetched = _fetched(source, commit, _WEIGHTS)
    safe = any((fetched / name).is_file() for name in (SAFE_WEIGHTS, SAFE_FUSION_WEIGHTS))
    return fetched if safe else _fetched(source, commit, _PICKLED)


def _fetched(source: str, revision: str | None, patterns: list[str]) -> Path:
    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        told = one_line(error, 200)
        raise ModelError(
            f"{source}: cannot be fetched from the Hub: {told}.", "Check id, revision and token."
        ) from error
