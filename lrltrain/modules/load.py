"""`lrltrain.load_adapter`: an adapter from a folder or the Hub, put into a transformers model. IO."""

from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from lrldata.errors import ModelError, one_line
from lrldata.settings import path_or_id
from lrltrain.modules.files import CONFIG, FUSION_CONFIG, load_adapter_files, load_fusion, read_config
from lrltrain.modules.insert import AdapterStack, FusedStack, insert
from lrltrain.names import HUB_ID
from lrltrain.session import undisturbed
from lrltrain.trust import faults

_FILES = ["*.json", "*.bin", "*.safetensors"]


def load_adapter(model: Any, source: str | Path, *, revision: str | None = None) -> AdapterStack | FusedStack:
    """Put an adapter that lrl or the library `adapters` wrote into a transformers model, active.

    Adapters that are in the model already stay, and the new one is stacked on them. The adapter's weights are in single
    precision and can be trained further; the model's own are left as they are.

    Args:
        model: a model of transformers, 4.57 or later, of a family of `lrltrain.modules.families`, with a head or not.
        source: a folder, or the id of a repository on the Hub.
        revision: a branch, tag or commit of that repository; `main` without it.

    Returns:
        The adapter, as a torch module that is now part of the model.

    Raises:
        ModelError: the model's family is not supported, or the adapter is damaged, or was trained in another model.

    Example:
        >>> model = AutoModelForMaskedLM.from_pretrained("FacebookAI/xlm-roberta-base")
        >>> lrltrain.load_adapter(model, "my-org/xlm-roberta-base-ro-glotcc-seq_bn_inv")
    """
    if not isinstance(source, str | Path) or not hasattr(model, "config"):
        raise ModelError("load_adapter takes a model of transformers, and the folder or id of an adapter.", "")
    folder = _folder_of(path_or_id(source), revision)
    fuses = (folder / FUSION_CONFIG).is_file()
    if not fuses and not (folder / CONFIG).is_file() and (folder / "config.json").is_file():
        raise ModelError(f"{source}: holds a whole model.", "Load it with from_pretrained of transformers.")
    name = FUSION_CONFIG if fuses else CONFIG
    fault = next(faults(read_config(folder / name)), None)
    if fault:
        raise ModelError(f"{source}: {name}: {fault}.", "An adapter's own code is never run.")
    with undisturbed():
        stack = load_fusion(folder, model) if fuses else load_adapter_files(folder, model)
        insert(model, stack)
    return stack


def _folder_of(source: str, revision: str | None) -> Path:
    if Path(source).is_dir():
        if revision:
            raise ModelError(f"{source}: a folder has no revisions.", "Leave `revision` out.")
        return Path(source)
    if not HUB_ID.fullmatch(source):
        raise ModelError(f"{source}: neither a folder nor an id on the Hub.", "An id looks like my-org/adapter.")
    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        told = one_line(error, 200)
        raise ModelError(
            f"{source}: cannot be fetched from the Hub: {told}.", "Check id, revision and token."
        ) from error
