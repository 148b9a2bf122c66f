"""A model's files are data: what in them names code to run is refused, before a library reads them. IO.

transformers runs code that a model's configuration names, from its repository or another one: `auto_map`, a kernel for
attention, a file for generation. By default it asks on standard input, and for some of these it does not ask at all.
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
_GENERATE = "custom_generate/generate.py"  # of a folder on this machine, transformers runs it without a question
DEEPEST = 64  # levels; a configuration has five or so

_VERSIONED = re.compile(r"config\.[\w.-]+\.json")
_CODE = {"auto_map", "auto_mapping", "custom_pipelines", "custom_generate"}
_CODE_FLAG = re.compile(r"(remote|custom|external)_code")
_IMPLEMENTATION = re.compile(r"(attn|attention|experts?)_implementation(_internal)?$")
_KERNEL = re.compile(r"kernel|(^|_)impl(_|$)|implementation")
# What tokenizers read: transformers 4 takes the file that is named over the model's own. Names of files that nothing
# reads stand in many configurations, as they were saved: special_tokens_map_file.
_READ = re.compile(
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
_CLASS = re.compile(r"[\w-]+(\.\d+)?")  # kosmos-2.5 is a type of transformers' own
_ATTENTION = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
_BUILT_IN = {
    *_ATTENTION,
    *(f"paged|{name}" for name in _ATTENTION),
    *(f"{name}_paged" for name in _ATTENTION),
    "paged_attention",
    "batched_mm",  # of experts
    "grouped_mm",
}

_HINT = "A model's own code is never run: use a model that transformers has the code of."
_NOT_ONE = "That is not a configuration of a model; fetch it again, or use another model."


@dataclass(frozen=True)
class Checked:
    """A model's own configuration, in which nothing names code, and the commit it is of where it lies on the Hub."""

    config: dict[str, Any]
    commit: str | None


def check_files(name: str, location: str, revision: str | None = None) -> Checked:
    """Read the configurations of a model, in a folder or on the Hub. Raises ModelError that names file and key.

    `name` is what to call the model in messages. Files that are missing are fine; what needs them will say so.
    """
    source = _Source(location, revision)
    if source.folder is None and (Path(location).exists() or not HUB_ID.fullmatch(location)):
        raise ModelError(
            f"{name}: neither a folder nor an id on the Hub.", "An id looks like FacebookAI/xlm-roberta-base."
        )
    config = _check(name, CONFIG, source.find(CONFIG))
    for file in _more_configs(name, config):
        path = source.find(file)
        if path is None:  # found later, it would be read unchecked
            raise ModelError(f"{name}: {file}, which {CONFIG} names, is missing.", "Fetch the model again.")
        _check(name, file, path)
    for file in _OTHERS:
        _check(name, file, source.find(file))
    other = _check(name, _ADAPTER, source.find(_ADAPTER)).get("base_model_name_or_path")
    if other:  # where PEFT is installed, transformers loads that one, which is not checked
        raise ModelError(
            f"{name}: {_ADAPTER}: base_model_name_or_path is {_short(other)}, another model.", "Name that one."
        )
    if source.find(_GENERATE):
        raise ModelError(f"{name}: {_GENERATE} is code that would be run.", _HINT)
    return Checked(config, source.commit)


@contextmanager
def no_remote_code() -> Iterator[None]:
    """Have transformers run no code of a model, and not ask whether it may, by whatever way it comes to that.

    Afterwards it asks again, as this session may load models of its own.
    """
    before = dynamic_module_utils.TIME_OUT_REMOTE_CODE
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0  # the seconds that it waits for an answer
    try:
        yield
    finally:
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = before


def faults(value: Any, fault_of: Callable[[str, Any], str] | None = None) -> Iterator[str]:
    """Yield what in a configuration names code, or is otherwise at fault, each with its key, at any depth."""
    waiting: list[tuple[str, int, Any]] = [("", 0, value)]
    while waiting:
        where, depth, each = waiting.pop()
        if depth > DEEPEST:
            yield f"{where} is nested more than {DEEPEST} levels deep"
            return
        inner = list(each.items()) if isinstance(each, dict) else []
        for key, found in inner:
            fault = (fault_of or _fault)(key, found)
            if fault:
                yield f"{_below(where, key)} {fault}"
        inner += [(str(number), found) for number, found in enumerate(each)] if isinstance(each, list) else []
        waiting += [(_below(where, key), depth + 1, found) for key, found in inner if isinstance(found, dict | list)]


def _below(where: str, key: str) -> str:
    return f"{where}.{key}"[-100:] if where else key[-100:]  # for people; a key may have any length


def _fault(key: str, value: Any) -> str:
    """Say what is wrong with the value of one key; nothing, if it names no code."""
    if value is None or value is False:
        return ""
    if (key in _CODE or _CODE_FLAG.search(key)) and any(True for _ in _leaves(value)):
        return "asks for the model's own code to be run"
    if _IMPLEMENTATION.search(key) and not all(each is None or each in _BUILT_IN for each in _leaves(value)):
        return f"is {_short(value)}, not an implementation that comes with transformers"
    if _KERNEL.search(key) and any(isinstance(each, str) and "/" in each for each in _leaves(value)):
        return f"is {_short(value)}, which names code on the Hub"
    if key in _CLASSES and not all(isinstance(each, str) and _CLASS.fullmatch(each) for each in _leaves(value)):
        return f"is {_short(value)}, not a name that transformers knows"
    return ""


def _file_fault(folder: Path, key: str, value: Any) -> str:
    """Say that a key would have a file of this machine read that is not in the model's folder."""
    for each in _leaves(value) if _READ.search(key) else ():
        with suppress(OSError, ValueError):
            if isinstance(each, str) and Path(each).exists():
                place = Path(os.path.abspath(each))  # noqa: PTH100 -- files of the Hub's cache are links
                if not place.is_relative_to(os.path.abspath(folder)):  # noqa: PTH100
                    return f"is {_short(each)}, a file of this machine and not of the model"
    return ""


def _leaves(value: Any) -> Iterator[Any]:
    """Yield the values in a value that are neither lists nor objects, an empty text left out."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
        elif each != "":
            yield each


def _short(value: Any) -> str:
    return json.dumps(value)[:80] if isinstance(value, str | int | float | bool) else "a list or an object"


class _Source:
    """Where the files of a model are looked for: a folder, or a repository of the Hub at one commit."""

    def __init__(self, location: str, revision: str | None) -> None:
        self.location = location
        self.revision = revision
        self.commit: str | None = None
        self.folder = Path(location) if location and Path(location).is_dir() else None
        self._unreachable = False

    def find(self, name: str) -> Path | None:
        """Return where a file lies, None where there is none. Raises OSError if a Hub has no such model."""
        if self.folder:
            path = self.folder / name
            return path if path.is_file() else None
        try:
            found = cached_file(
                self.location,
                name,
                revision=self.commit or self.revision,
                local_files_only=self._unreachable,
                _commit_hash=self.commit,  # what is known to be missing at a commit is not asked for again
            )
        except OSError as error:
            if name == CONFIG:
                raise
            # What is in the cache is used where the Hub cannot be reached; one timeout is enough to learn that.
            self._unreachable = self._unreachable or isinstance(error.__cause__, LocalEntryNotFoundError)
            return None
        self.commit = self.commit or extract_commit_hash(found, None)
        return Path(found) if found else None


def _check(name: str, file: str, path: Path | None) -> dict[str, Any]:
    """Return a configuration, which is empty where there is no such file. Raises ModelError."""
    if path is None:
        return {}
    where = f"{name}: {file}"
    if path.stat().st_size > LARGEST:
        raise ModelError(f"{where}: has more than {LARGEST // 2**20} MB.", _NOT_ONE)
    try:
        config = json.loads(path.read_text("utf-8"))
    except RecursionError as error:
        raise ModelError(f"{where}: is nested more than {DEEPEST} levels deep.", _NOT_ONE) from error
    except ValueError as error:
        raise ModelError(f"{where}: is not JSON: {error}.", _NOT_ONE) from error
    if not isinstance(config, dict):
        raise ModelError(f"{where}: is not a JSON object.", _NOT_ONE)
    fault = next(faults(config), None)
    if fault:
        raise ModelError(f"{where}: {fault}.", _HINT)
    fault = next(faults(config, partial(_file_fault, path.parent)), None)
    if fault:
        raise ModelError(f"{where}: {fault}.", "Take that key out: transformers finds the model's files itself.")
    return config


def _more_configs(name: str, config: dict[str, Any]) -> list[str]:
    """Return the configurations that stand in for config.json in some versions of transformers."""
    listed = config.get("configuration_files") or []
    if not isinstance(listed, list) or not all(isinstance(each, str) and len(each) < 100 for each in listed[:100]):
        raise ModelError(f"{name}: {CONFIG}: configuration_files is not a list of file names.", _HINT)
    others = [each for each in listed if each != CONFIG and each.startswith("config.") and each.endswith(".json")]
    odd = next((each for each in others if not _VERSIONED.fullmatch(each)), None)
    if odd is not None or len(listed) > 100:
        raise ModelError(f"{name}: {CONFIG}: configuration_files names {_short(odd)}, no file of this model.", _HINT)
    return others
