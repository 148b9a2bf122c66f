"""Map keyword arguments of the Python API to the options of the commands. Pure.

Errors of a command name its options (`--max-bytes`); errors of a function name its arguments (`max_bytes`).
"""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, signature
from os import PathLike, fspath
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel

from lrldata.errors import ROOM, LrlError, StorageError, UsageError, is_full, one_line
from lrldata.output import WORDED
from lrldata.progress import Progress
from lrldata.settings import as_path, unwrap_path

Function = TypeVar("Function", bound=Callable[..., Any])

_COMMANDS = re.compile(r"(`[^`]*`)")
_OPTION = re.compile(r"--([a-z][a-z0-9-]*)(?:[ =]([A-Z]+(?:[,/][A-Z]+)*\b(?!\.\w)|\w[\w./,-]*\w))?")
_CODE = re.compile(r"(?!(?:and|are|as|for|is|it|or|out|to)\b)[a-z]{2,3}(?:_[A-Za-z]+)?(?:,[a-z]{2,3})*")
# Words that messages use as values of options. Any other word after an option continues the sentence.
_VALUES = set(
    "any bf16 chat completion conceptnet documents english flores fp16 fp32 full fusion glotcc glotlid lines mean "
    "native none other ours paper pppl theirs topic web".split()
)


@dataclass(frozen=True)
class Call:
    """The options of a call: its settings, the file with further settings, and whether to show progress."""

    flags: dict[str, Any]
    config: Path | None
    progress: Progress


def call_of(known: type[Any], options: Mapping[str, Any], **flags: Any) -> Call:
    """Convert keyword arguments to the options of a call; None is ignored. Raises UsageError for one not in `known`."""
    for name in options.keys() - known.__annotations__.keys():
        matches = difflib.get_close_matches(name, known.__annotations__, n=1)
        raise UsageError(f"unknown argument {name!r}.", f"Did you mean {matches[0]!r}?" if matches else "")
    settings = {key: plain(value) for key, value in (dict(options) | flags).items() if value is not None}
    config, quiet = settings.pop("config", None), bool(settings.pop("quiet", False))
    for key, value in settings.items():
        if isinstance(value, str | PathLike | int) and _is_list(known.__annotations__.get(key)):
            settings[key] = [value]  # one value instead of a list
    if "out" in settings:
        settings["out"] = as_text(settings["out"], "out")
    return Call(settings, None if config is None else as_path(config, "config"), Progress(quiet))


def plain(value: Any) -> Any:
    """Convert an argument to the form of settings: arrays and iterables to lists, objects with a path to that path."""
    value = unwrap_path(value)
    if hasattr(value, "tolist") and hasattr(value, "dtype"):  # an array or number of NumPy
        return value.tolist()
    return [plain(item) for item in value] if is_several(value) else value


def is_several(value: Any) -> bool:
    """Return whether an argument holds several values: a list, a generator, an array, but not text or a table."""
    return isinstance(value, Iterable) and not (
        is_table(value) or isinstance(value, str | bytes | Mapping | PathLike | BaseModel)
    )


def is_table(value: Any) -> bool:
    """Return whether an argument is a data frame or an object of `datasets`, whose rows are not arguments."""
    return hasattr(value, "columns") or hasattr(value, "column_names")


def _is_list(annotation: Any) -> bool:
    """Return whether an annotation is a list type, with only literals and None as alternatives."""
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    origins = [get_origin(member) for member in members if member is not NoneType]
    return Sequence in origins and set(origins) <= {Sequence, Literal}


def as_text(path: Any, name: str) -> str:
    """Return a path or address as text. Raises UsageError if it is neither."""
    path = unwrap_path(path)
    if not isinstance(path, str | PathLike) or isinstance(fspath(path), bytes):
        raise UsageError(f"{name}: {path!r} is not a path.", "Give a text or a pathlib.Path.")
    if isinstance(path, str):
        return path
    scheme, colon, rest = str(path).partition(":/")  # Path("s3://bucket/a") is s3:/bucket/a
    if not colon or not re.fullmatch("[a-z][a-z0-9+.-]+", scheme):
        return str(path)
    return f"file:///{rest}" if scheme == "file" else f"{scheme}://{rest}"


def with_options(options: type[Any]) -> Callable[[Function], Function]:
    """Return a decorator that makes `help` and notebooks show a function's `**options` as keyword arguments."""

    def decorate(function: Function) -> Function:
        original = signature(function)
        explicit = [
            parameter for parameter in original.parameters.values() if parameter.kind is not Parameter.VAR_KEYWORD
        ]
        keywords = [
            Parameter(key, Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for key, kind in options.__annotations__.items()
        ]
        function.__signature__ = original.replace(parameters=[*explicit, *keywords])  # type: ignore[attr-defined]
        return function

    return decorate


@contextmanager
def naming_arguments(names: Collection[str]) -> Iterator[None]:
    """Reword errors to name arguments: `--learning-rate` becomes `learning_rate`, `--lang ro` becomes `lang="ro"`.

    Options that are not in `names` stay as they are, and so do commands in backquotes. Notes are reworded too.
    """
    token = WORDED.set(partial(in_python, names=names))
    try:
        yield
    except LrlError as error:
        error.message, error.hint = (in_python(text, names) for text in (error.message, error.hint))
        error.args = (f"{error.message} {error.hint}".strip(),)
        raise
    except Exception as error:
        if is_full(error):  # whichever library found out
            message = f"no space left on a disk, or in your quota ({one_line(error, 200)})."
            raise StorageError(message, in_python(ROOM, names)) from error
        if not isinstance(error, OSError) or error.errno is None:  # raised by a library, not by the operating system
            raise
        message = f"{error.filename}: {(error.strerror or str(error)).lower()}" if error.filename else str(error)
        raise StorageError(f"{message}.", "Check the path and its permissions.") from error
    finally:
        WORDED.reset(token)


def in_python(text: str, names: Collection[str]) -> str:
    """Return a message with its options written as Python arguments."""

    def replacement(match: re.Match[str]) -> str:
        name, value = match[1].replace("-", "_"), match[2]
        if name not in names:
            return match[0]
        is_data = (name, value) == ("labels", "data")  # after other options, the word continues the sentence
        is_value = is_data or value in _VALUES or (name == "lang" and _CODE.fullmatch(value or ""))
        if value and not (is_value or value[0].isupper()):
            return f"{name} {value}"
        return f'{name}="{value}"' if value else name

    parts = _COMMANDS.split(text)
    return "".join(part if position % 2 else _OPTION.sub(replacement, part) for position, part in enumerate(parts))
