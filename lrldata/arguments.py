"""Keyword arguments of the Python API as options of the commands. Pure.

Errors of a command name its options, and those of a function its arguments.
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

from lrldata.errors import LrlError, StorageError, UsageError
from lrldata.output import WORDED
from lrldata.progress import Progress
from lrldata.settings import as_path, located

Function = TypeVar("Function", bound=Callable[..., Any])

_COMMANDS = re.compile(r"(`[^`]*`)")
_OPTION = re.compile(r"--([a-z][a-z0-9-]*)(?:[ =]([A-Z]+(?:[,/][A-Z]+)*\b(?!\.\w)|\w[\w./,-]*\w))?")
_CODE = re.compile(r"(?!(?:and|are|as|for|is|it|or|out|to)\b)[a-z]{2,3}(?:_[A-Za-z]+)?(?:,[a-z]{2,3})*")
# What messages name as values: any other word after an option goes on with the sentence.
_VALUES = set(
    "any bf16 chat completion conceptnet documents english flores fp32 full fusion glotcc mean native none other ours "
    "paper pppl theirs topic web".split()
)


@dataclass(frozen=True)
class Call:
    """The options of a call: those that are settings, the file of others, and whether to show progress."""

    flags: dict[str, Any]
    config: Path | None
    progress: Progress


def call_of(known: type[Any], options: Mapping[str, Any], **flags: Any) -> Call:
    """Return what keyword arguments say; those that are None say nothing. Raises UsageError for one not of `known`."""
    for name in options.keys() - known.__annotations__.keys():
        near = difflib.get_close_matches(name, known.__annotations__, n=1)
        raise UsageError(f"unknown argument {name!r}.", f"Did you mean {near[0]!r}?" if near else "")
    settings = {key: plain(value) for key, value in (dict(options) | flags).items() if value is not None}
    config, quiet = settings.pop("config", None), bool(settings.pop("quiet", False))
    for key, value in settings.items():
        if isinstance(value, str | PathLike | int) and _is_list(known.__annotations__.get(key)):
            settings[key] = [value]  # where several may be given
    if "out" in settings:
        settings["out"] = as_text(settings["out"], "out")
    return Call(settings, None if config is None else as_path(config, "config"), Progress(quiet))


def plain(value: Any) -> Any:
    """Return an argument as settings have it: paths, numbers and lists, of what has, is or gives such."""
    value = located(value)
    if hasattr(value, "tolist") and hasattr(value, "dtype"):  # of NumPy
        return value.tolist()
    return [plain(each) for each in value] if is_several(value) else value


def is_several(value: Any) -> bool:
    """Return whether an argument gives several things: a list, a generator, an array, but no text and no table."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | PathLike | BaseModel)


def _is_list(kind: Any) -> bool:
    """Return whether an argument is a list of something, or one of it."""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    origins = [get_origin(each) for each in kinds if each is not NoneType]
    return Sequence in origins and set(origins) <= {Sequence, Literal}


def as_text(path: Any, name: str) -> str:
    """Return a path as text. Raises UsageError for what is none."""
    path = located(path)
    if not isinstance(path, str | PathLike) or isinstance(fspath(path), bytes):
        raise UsageError(f"{name}: {path!r} is not a path.", "Give a text or a pathlib.Path.")
    return str(path)


def with_options(options: type[Any]) -> Callable[[Function], Function]:
    """Let `help` and notebooks show the keyword arguments that a function takes as `**options`."""

    def shown(function: Function) -> Function:
        own = signature(function)
        named = [each for each in own.parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
        keywords = [
            Parameter(key, Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for key, kind in options.__annotations__.items()
        ]
        function.__signature__ = own.replace(parameters=[*named, *keywords])  # type: ignore[attr-defined]
        return function

    return shown


@contextmanager
def naming_arguments(names: Collection[str]) -> Iterator[None]:
    """Let errors name arguments: `--learning-rate` becomes `learning_rate`, `--lang ro` becomes `lang="ro"`.

    Options that are none of `names` stay as they are, and so do commands between backquotes. Notes are worded so too.
    """
    token = WORDED.set(partial(in_python, names=names))
    try:
        yield
    except LrlError as error:
        error.message, error.hint = (in_python(text, names) for text in (error.message, error.hint))
        error.args = (f"{error.message} {error.hint}".strip(),)
        raise
    except OSError as error:
        if error.errno is None:  # a library's, and not the system's
            raise
        told = f"{error.filename}: {(error.strerror or str(error)).lower()}" if error.filename else str(error)
        raise StorageError(f"{told}.", "Check the path and the rights to it.") from error
    finally:
        WORDED.reset(token)


def in_python(text: str, names: Collection[str]) -> str:
    """Return a message with options written as arguments."""

    def written(found: re.Match[str]) -> str:
        name, value = found[1].replace("-", "_"), found[2]
        if name not in names:
            return found[0]
        if value and not (value in _VALUES or value[0].isupper() or (name == "lang" and _CODE.fullmatch(value))):
            return f"{name} {value}"
        return f'{name}="{value}"' if value else name

    parts = _COMMANDS.split(text)
    return "".join(part if number % 2 else _OPTION.sub(written, part) for number, part in enumerate(parts))
