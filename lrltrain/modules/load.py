"""Load adapters from a folder or the Hub into a transformers model, and save or unload them again. IO."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from lrldata.arguments import naming_arguments
from lrldata.errors import ModelError, StorageError, is_full, one_line
from lrldata.manifest import MANIFEST
from lrldata.output import note
from lrldata.paths import remove, remove_tree
from lrldata.settings import AnyPath, as_path, path_or_id, unwrap_path
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
from lrltrain.modules.reference import output_differs
from lrltrain.names import HUB_ID
from lrltrain.session import isolated_session
from lrltrain.trust import faults

_PARTIAL = ".lrl-partial"  # the subfolder in which save_adapter writes
_CHECK_FOLDER = "Check the path, its permissions and the free space."
_CONFIGS, _WEIGHTS, _PICKLED = ["*.json"], ["*.safetensors"], ["*.bin"]


def load_adapter(model: Any, source: AnyPath, *, revision: str | None = None) -> AdapterStack | FusedStack:
    """Insert an adapter written by lrl or the library `adapters` into a transformers model and activate it.

    Adapters that are already in the model stay, and the new one is stacked on top. The adapter's weights are in single
    precision and can be trained further; the model's own weights are not changed.

    Args:
        model: A model of transformers 4.57 or later from a family in `lrltrain.modules.families`, with a head or not.
        source: An adapter returned by `fit`, an adapter's folder, or the id of a repository on the Hub.
        revision: A branch, tag or commit of that repository; `main` by default.

    Returns:
        The adapter, as a torch module that is now part of the model.

    Raises:
        ModelError: If the model's family is not supported, or the adapter is damaged, was trained in another model, or
            is already in the model.

    Example:
        >>> model = AutoModelForMaskedLM.from_pretrained("FacebookAI/xlm-roberta-base")
        >>> lrltrain.load_adapter(model, "my-org/xlm-roberta-base-ro-glotcc-seq_bn_inv")
    """
    source = unwrap_path(source)
    if not isinstance(source, str | Path) or not hasattr(model, "config"):
        raise ModelError("load_adapter needs a transformers model, and the folder or id of an adapter.", "")
    try:
        location = path_or_id(source)
    except ValueError as error:  # a Path that does not exist
        raise ModelError(
            f"{source}: neither a folder nor an id on the Hub.", "Give the folder of an adapter."
        ) from error
    folder = _folder_of(location, revision)
    _check_kind(source, folder)
    folder = _with_weights(location, folder)
    is_fusion = (folder / FUSION_CONFIG).is_file()
    name = FUSION_CONFIG if is_fusion else CONFIG
    config = read_config(folder / name)
    fault = next(faults(config), None)
    if fault:
        raise ModelError(f"{source}: {name}: {fault}.", "An adapter's own code is never run.")
    model = _checked(model)
    with isolated_session():
        stack = load_fusion(folder, model) if is_fusion else load_adapter_files(folder, model)
        if isinstance(stack, FusedStack):
            stack.freeze_unused()
        existing = inserted(model)
        if present := [name for name in stack.names if any(name in other.names for other in existing)]:
            raise ModelError(
                f"{source}: {', '.join(present)} is already in the model.",
                "Remove it with lrltrain.unload_adapter.",
            )
        if stack.coupling is not None and _used_coupling(existing) is not None:
            note(f"{source}: its invertible adapter is not used, as the model already has one.")
            stack.coupling.requires_grad_(False)  # DistributedDataParallel would wait for its gradients
        _note_base(source, str(config.get("model_name", "")), str(model.config.name_or_path))
        try:
            insert(model, stack)
            if not existing and output_differs(folder, model):
                note(f"{source}: the model's output differs from that after training. {_base_sentence(folder)}")
        except BaseException:  # such as an interrupt in a notebook
            take_out(model)
            if existing:
                insert(model, *existing)
            raise
    torch.compiler.reset()  # code compiled earlier does not include the adapter
    return stack


def _used_coupling(stacks: Sequence[AdapterStack | FusedStack]) -> torch.nn.Module | None:
    """Return the invertible adapter that a model with these adapters uses: the first one."""
    return next((stack.coupling for stack in stacks if stack.coupling is not None), None)


def _uncompiled(model: Any) -> Any:
    """Return the model inside one from torch.compile, whose weights have other names."""
    return getattr(model, "_orig_mod", model)


def _checked(model: Any) -> Any:
    """Return the model itself. Raises ModelError for a model of PEFT, which replaces modules when it merges weights."""
    model = _uncompiled(model)
    if hasattr(model, "get_base_model"):
        raise ModelError(
            "PEFT wraps this model.", "Call load_adapter on the transformers model, and wrap it afterwards."
        )
    return model


def _unwrapped(model: Any) -> Any:
    """Return the transformers model inside a wrapper: of torch.compile, of processes, or of PEFT."""
    model = _uncompiled(model)
    while not hasattr(model, "config") and hasattr(model, "module"):  # of DistributedDataParallel
        model = _uncompiled(model.module)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _base_sentence(folder: Path) -> str:
    """Return a sentence that names the adapter's base model according to its manifest."""
    manifest = read_config(folder / MANIFEST) if (folder / MANIFEST).is_file() else {}
    base = dict(manifest.get("base") or {})
    if not base.get("revision"):
        return f"Is this the base model that it was trained in{', ' + str(base['id']) if base.get('id') else ''}?"
    return (
        f"Load the base model that it was trained in: from_pretrained({base['id']!r}, revision={base['revision']!r})."
    )


def save_adapter(model: Any, folder: AnyPath, *, name: str | None = None) -> Path:
    """Save an adapter that `load_adapter` inserted into a model to a folder, for example after further training.

    `load_adapter` and the library `adapters` can read the folder; PEFT can read LoRA from its subfolder `peft`.
    The model's own `save_pretrained` would store the adapter among the model's weights. If several processes train
    together (torch.distributed), only the first one writes, and the others do not wait for it.

    Args:
        model: The model that was passed to `load_adapter`.
        folder: The folder to write to, new or empty.
        name: The adapter's name, one of the `names` of the returned adapter; needed if the model has several adapters.

    Returns:
        The folder.

    Raises:
        ModelError: If the model has no adapter, or several and `name` is not given, or if the folder is not empty.
        UsageError: If `folder` is a URL or not a path.
        StorageError: If the folder cannot be written.

    Example:
        >>> stack = lrltrain.load_adapter(model, "my-org/xlm-roberta-base-ro-glotcc-lora")
        >>> lrltrain.save_adapter(model, "further-trained")
    """
    model = _unwrapped(model)
    stacks = [stack for stack in inserted(model) if name is None or name in stack.names]
    if len(stacks) != 1:
        available = ", ".join(adapter for stack in inserted(model) for adapter in stack.names)
        message = f"The model has no adapter {name!r}." if name else f"The model has {len(stacks)} adapters."
        raise ModelError(
            message, f"It has: {available}. Pass the name of one." if available else "Insert one with load_adapter."
        )
    path, stack = as_path(folder, "folder"), stacks[0]
    if any(weight.is_meta for weight in stack.parameters()):
        raise ModelError(
            "The adapter is offloaded.", "Remove the hooks first: accelerate.hooks.remove_hook_from_submodules(model)."
        )
    if rank := _rank():
        if rank == 1:
            note("only the first process saves the adapter.")
        return path
    with naming_arguments({"folder"}):
        if path.is_file():
            raise ModelError(f"{path}: is a file.", "Give a folder.")
        if path.is_dir() and any(entry.name != _PARTIAL for entry in path.iterdir()):
            raise ModelError(
                f"{path}: is not empty.", "Give another folder: existing files would be mixed with the new ones."
            )
        _write(path, model, stack)
    own = set(map(id, stack.parameters()))
    if any(weight.requires_grad and id(weight) not in own for weight in model.parameters()):
        note(
            "only the adapter was saved. If you trained the model, its other weights changed too: call "
            "model.requires_grad_(False) before load_adapter to train only the adapter."
        )
    return path


def _rank() -> int:
    """Return the number of this process among those that train together, from 0."""
    distributed = torch.distributed
    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0


def _write(folder: Path, model: Any, stack: AdapterStack | FusedStack) -> None:
    """Write the files of an adapter, or none of them if that fails. Raises StorageError.

    The configuration appears last, because a folder without it is not loaded. Everything happens inside the folder,
    which may be a mount point.
    """
    partial = folder / _PARTIAL
    moved: list[Path] = []
    try:
        remove_tree(partial)  # of a process that was killed
        partial.mkdir(parents=True)
        if isinstance(stack, FusedStack):
            save_fusion(partial, model, stack)
        else:
            write_files(partial, model, stack)
        for path in sorted(partial.iterdir(), key=lambda path: path.name in (CONFIG, FUSION_CONFIG)):
            moved.append(path.rename(folder / path.name))  # noqa: PERF401 -- an error may come at any of them
    except BaseException as error:
        for path in moved:
            remove_tree(path) if path.is_dir() else remove(folder, path.name)
        if not isinstance(error, OSError) and "inline_container" not in str(error):  # torch.save cannot write
            raise
        raise StorageError(f"{folder}: cannot be written: {one_line(error, 200)}.", _CHECK_FOLDER) from error
    finally:
        remove_tree(partial)


def unload_adapter(model: Any, name: str | None = None) -> None:
    """Remove an adapter that `load_adapter` inserted into a model, or all of them; the others keep their order.

    Args:
        model: The model that was passed to `load_adapter`.
        name: The adapter's name, one of the `names` of the returned adapter; by default all adapters are removed.

    Raises:
        ModelError: If the model has no adapter with this name.

    Example:
        >>> lrltrain.load_adapter(model, "my-org/xlm-roberta-base-ro-glotcc-seq_bn")
        >>> lrltrain.unload_adapter(model)
        >>> lrltrain.load_adapter(model, "my-org/xlm-roberta-base-ug-glotcc-seq_bn")
    """
    model = _unwrapped(model)
    kept = [stack for stack in inserted(model) if name is not None and name not in stack.names]
    if name is not None and len(kept) == len(inserted(model)):
        available = ", ".join(adapter for stack in inserted(model) for adapter in stack.names)
        raise ModelError(f"The model has no adapter {name!r}.", f"It has: {available or 'none'}.")
    before, after = _used_coupling(inserted(model)), _used_coupling(kept)
    take_out(model)
    if kept:
        insert(model, *kept)
    if after is not None and after is not before:
        after.requires_grad_(any(weight.requires_grad for stack in kept for weight in stack.parameters()))
    torch.compiler.reset()


def _note_base(source: str | Path, trained: str, actual: str) -> None:
    """Print a note if an adapter was trained in a base model with another name; it may still be a renamed copy."""
    are_hub_ids = all(HUB_ID.fullmatch(model) and not Path(model).exists() for model in (trained, actual))
    if are_hub_ids and trained.rpartition("/")[2].lower() != actual.rpartition("/")[2].lower():
        note(f"{source} was trained in {trained}, but this model is {actual}: is it a copy, or trained from it?")


def _check_kind(source: str | Path, folder: Path) -> None:
    """Raise ModelError for a folder that holds a whole model."""
    names = (CONFIG, FUSION_CONFIG)
    if not any((folder / name).is_file() for name in names) and (folder / "config.json").is_file():
        raise ModelError(f"{source}: contains a whole model.", "Load it with from_pretrained of transformers.")


def _folder_of(source: str, revision: str | None) -> Path:
    if Path(source).is_dir():
        if revision:
            raise ModelError(f"{source}: a folder has no revisions.", "Omit `revision`.")
        return Path(source)
    if not HUB_ID.fullmatch(source):
        raise ModelError(f"{source}: neither a folder nor an id on the Hub.", "An id looks like my-org/adapter.")
    return _download(source, revision, _CONFIGS)


def _with_weights(source: str, folder: Path) -> Path:
    """Return the folder with its weights, downloaded if it is on the Hub; pickled weights only if there are no others.

    Only files that are read are downloaded, so naming a whole model by mistake does not download it.
    """
    if Path(source).is_dir():
        return folder
    commit = folder.name
    downloaded = _download(source, commit, _WEIGHTS)
    has_safetensors = any((downloaded / name).is_file() for name in (SAFE_WEIGHTS, SAFE_FUSION_WEIGHTS))
    return downloaded if has_safetensors else _download(source, commit, _PICKLED)


def _download(source: str, revision: str | None, patterns: list[str]) -> Path:
    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = one_line(error, 200)
        hint = "Free some disk space, or set HF_HOME." if is_full(error) else "Check its id, revision and token."
        raise ModelError(f"{source}: cannot be downloaded from the Hub: {reason}.", hint) from error
