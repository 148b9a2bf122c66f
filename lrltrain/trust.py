"""Refuse models whose files name code to run, before a library reads them. IO.

transformers runs code named in a model's configuration, from the model's repository or another one: `auto_map`, an
attention kernel, a file for generation. By default it asks for permission on standard input, but not in every case.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub.errors import LocalEntryNotFoundError
from transformers import dynamic_module_utils
from transformers.utils.hub import cached_file, extract_commit_hash

from lrldata.errors import ModelError
from lrltrain.names import HUB_ID, LARGEST

CONFIG = "config.json"
_ADAPTER = "adapter_config.json"
_OTHERS = (
    "tokenizer_config.json",
    "generation_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
)
_GENERATE = "custom_generate/generate.py"  # in a local folder, transformers runs it without asking
DEEPEST = 64  # maximum nesting; real configurations have about five levels

_VERSIONED = re.compile(r"config\.[\w.-]+\.json")
_CODE = {"auto_map", "auto_mapping", "custom_pipelines", "custom_generate"}
_CODE_FLAG = re.compile(r"(remote|custom|external)_code")
_IMPLEMENTATION = re.compile(r"(attn|attention|experts?)_implementation(_internal)?$")
_KERNEL = re.compile(r"kernel|(^|_)impl(_|$)|implementation")
# Files that tokenizers read: transformers 4 prefers a file named by such a key to the model's own. Other saved file
# names, such as special_tokens_map_file, occur in many configurations, but nothing reads them.
_TOKENIZER_FILE = re.compile(
    r"(vocab|tokenizer|merges|spm|normalizer|emoji|shape|pronunciation|model|lyrics|genres|artists)_file$|_spm$"
)
_CLASSES = {
    "architectures",
    "tokenizer_class",
    "slow_tokenizer_class",
    "processor_class",
    "image_processor_type",
    "feature_extractor_type",
    "video_processor_type",
    "model_type",
}
_CLASS = re.compile(r"[\w-]+(\.\d+)?")  # kosmos-2.5 is a model type of transformers
_ATTENTION = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
_BUILT_IN = {
    *_ATTENTION,
    *(f"paged|{name}" for name in _ATTENTION),
    *(f"{name}_paged" for name in _ATTENTION),
    "paged_attention",
    "batched_mm",  # for experts
    "grouped_mm",
}

_HINT = "A model's own code is never run: use a model that transformers supports without it."
_INVALID = "This is not a valid model configuration; download it again, or use another model."


@dataclass(frozen=True)
class CheckedModel:
    """A model's configuration, which names no code, and its commit if the model is on the Hub."""

    config: dict[str, Any]
    commit: str | None


def check_files(name: str, location: str, revision: str | None = None) -> CheckedModel:
    """Read and check the configurations of a model, in a folder or on the Hub.

    `name` is the model's name in messages. A missing file is not an error here: the code that needs it reports it.
    Raises ModelError, which names the file and key.
    """
    source = _Source(location, revision)
    if source.folder is None and (Path(location).exists() or not HUB_ID.fullmatch(location)):
        raise ModelError(
            f"{name}: neither a folder nor an id on the Hub.", "An id looks like FacebookAI/xlm-roberta-base."
        )
    config = _check(name, CONFIG, source.find(CONFIG))
    for file in _more_configs(name, config):
        path = source.find(file)
        if path is None:  # a library that finds it later would read it unchecked
            raise ModelError(f"{name}: {file}, which {CONFIG} names, is missing.", "Download the model again.")
        _check(name, file, path)
    for file in _OTHERS:
        _check(name, file, source.find(file))
    other_model = _check(name, _ADAPTER, source.find(_ADAPTER)).get("base_model_name_or_path")
    if other_model:  # if PEFT is installed, transformers loads that model, which is not checked
        raise ModelError(
            f"{name}: {_ADAPTER}: base_model_name_or_path is {_short(other_model)}, another model.",
            "Use that model instead.",
        )
    if source.find(_GENERATE):
        raise ModelError(f"{name}: {_GENERATE} contains code that transformers would run.", _HINT)
    return CheckedModel(config, source.commit)


@contextmanager
def no_remote_code() -> Iterator[None]:
    """Prevent transformers from running a model's code, and from asking whether it may, on any code path.

    Afterwards it asks again, as the session may load other models.
    """
    timeout = dynamic_module_utils.TIME_OUT_REMOTE_CODE
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0  # seconds to wait for an answer
    try:
        yield
    finally:
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = timeout


def faults(value: Any, fault_of: Callable[[str, Any], str] | None = None) -> Iterator[str]:
    """Yield each fault in a configuration at any depth, with its key; without `fault_of`, values that name code."""
    waiting: list[tuple[str, int, Any]] = [("", 0, value)]
    while waiting:
        path, depth, node = waiting.pop()
        if depth > DEEPEST:
            yield f"{path} is nested more than {DEEPEST} levels deep"
            return
        children = list(node.items()) if isinstance(node, dict) else []
        for key, child in children:
            fault = (fault_of or _fault)(key, child)
            if fault:
                yield f"{_key_path(path, key)} {fault}"
        children += [(str(number), child) for number, child in enumerate(node)] if isinstance(node, list) else []
        waiting += [
            (_key_path(path, key), depth + 1, child) for key, child in children if isinstance(child, dict | list)
        ]


def _key_path(path: str, key: str) -> str:
    return f"{path}.{key}"[-100:] if path else key[-100:]  # shortened, as a key may have any length


def _fault(key: str, value: Any) -> str:
    """Return what is wrong with the value of a key; an empty string if it names no code."""
    if value is None or value is False:
        return ""
    if (key in _CODE or _CODE_FLAG.search(key)) and any(True for _ in _leaves(value)):
        return "asks for the model's own code to be run"
    if _IMPLEMENTATION.search(key) and not all(leaf is None or leaf in _BUILT_IN for leaf in _leaves(value)):
        return f"is {_short(value)}, not an implementation that comes with transformers"
    if _KERNEL.search(key) and any(isinstance(leaf, str) and "/" in leaf for leaf in _leaves(value)):
        return f"is {_short(value)}, which names code on the Hub"
    if key in _CLASSES and not all(isinstance(leaf, str) and _CLASS.fullmatch(leaf) for leaf in _leaves(value)):
        return f"is {_short(value)}, not a name that transformers knows"
    return ""


def _file_fault(folder: Path, key: str, value: Any) -> str:
    """Return a fault if a key names an existing file outside the model's folder, else an empty string."""
    for leaf in _leaves(value) if _TOKENIZER_FILE.search(key) else ():
        with suppress(OSError, ValueError):
            if isinstance(leaf, str) and Path(leaf).exists():
                path = Path(os.path.abspath(leaf))  # noqa: PTH100 -- files in the Hub's cache are links
                if not path.is_relative_to(os.path.abspath(folder)):  # noqa: PTH100
                    return f"is {_short(leaf)}, a file on this machine outside the model's folder"
    return ""


def _leaves(value: Any) -> Iterator[Any]:
    """Yield the leaves of a nested value: all that are neither lists nor objects nor empty strings."""
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
        elif node != "":
            yield node


def _short(value: Any) -> str:
    return json.dumps(value)[:80] if isinstance(value, str | int | float | bool) else "a list or an object"


class _Source:
    """The location of a model's files: a folder, or a repository on the Hub at one commit."""

    def __init__(self, location: str, revision: str | None) -> None:
        self.location = location
        self.revision = revision
        self.commit: str | None = None
        self.folder = Path(location) if location and Path(location).is_dir() else None
        self._unreachable = False

    def find(self, name: str) -> Path | None:
        """Return the path of a file, None if it does not exist. Raises OSError if the Hub has no such model."""
        if self.folder:
            path = self.folder / name
            return path if path.is_file() else None
        try:
            cached = cached_file(
                self.location,
                name,
                revision=self.commit or self.revision,
                local_files_only=self._unreachable,
                _commit_hash=self.commit,  # avoids requests for files known to be missing at this commit
            )
        except OSError as error:
            if name == CONFIG:
                raise
            # If the Hub is unreachable, cached files are used; wait for a timeout only once.
            self._unreachable = self._unreachable or isinstance(error.__cause__, LocalEntryNotFoundError)
            return None
        self.commit = self.commit or extract_commit_hash(cached, None)
        return Path(cached) if cached else None


def _check(name: str, file: str, path: Path | None) -> dict[str, Any]:
    """Return a checked configuration, empty if the file does not exist. Raises ModelError."""
    if path is None:
        return {}
    label = f"{name}: {file}"
    if path.stat().st_size > LARGEST:
        raise ModelError(f"{label}: is larger than {LARGEST // 2**20} MB.", _INVALID)
    try:
        config = json.loads(path.read_text("utf-8"))
    except RecursionError as error:
        raise ModelError(f"{label}: is nested more than {DEEPEST} levels deep.", _INVALID) from error
    except ValueError as error:
        raise ModelError(f"{label}: is not JSON: {error}.", _INVALID) from error
    if not isinstance(config, dict):
        raise ModelError(f"{label}: is not a JSON object.", _INVALID)
    fault = next(faults(config), None)
    if fault:
        raise ModelError(f"{label}: {fault}.", _HINT)
    fault = next(faults(config, partial(_file_fault, path.parent)), None)
    if fault:
        raise ModelError(f"{label}: {fault}.", "Remove that key: transformers finds the model's files itself.")
    return config


def _more_configs(name: str, config: dict[str, Any]) -> list[str]:
    """Return the names of configurations that replace config.json in some versions of transformers."""
    listed = config.get("configuration_files") or []
    is_short = isinstance(listed, list) and len(listed) <= 100
    if not is_short or not all(isinstance(file, str) and len(file) < 100 for file in listed):
        raise ModelError(f"{name}: {CONFIG}: configuration_files is not a list of at most 100 file names.", _HINT)
    others = [file for file in listed if file != CONFIG and file.startswith("config.") and file.endswith(".json")]
    invalid = next((file for file in others if not _VERSIONED.fullmatch(file)), None)
    if invalid is not None:
        raise ModelError(
            f"{name}: {CONFIG}: configuration_files names {_short(invalid)}, which is not a file of this model.", _HINT
        )
    return others
