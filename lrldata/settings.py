"""Settings of a command: a TOML file, overridden by the flags of the command line; unknown keys are errors."""

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import unquote

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from lrldata.errors import UsageError
from lrldata.network import is_here

Settings = TypeVar("Settings", bound=BaseModel)
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+")  # one slash is left in a Path of an address


def as_local_path(value: Any) -> Any:
    """Resolve a local path: ~ is the user's folder, file:// is removed. Raises ValueError for any other address."""
    if not isinstance(value, str | Path):
        return value  # pydantic reports its type
    address = _ADDRESS.match(str(value))
    if address and address[1] != "file":
        raise ValueError(f"{value} is an address; give a local path")
    return Path(unquote("/" + str(value)[address.end() :]) if address else value).expanduser()


class HasPath(Protocol):
    """Anything with a folder: a dataset, an adapter, a workspace."""

    @property
    def path(self) -> Path:
        """Return the folder."""


AnyPath = str | Path | HasPath  # what functions accept as a path


def unwrap_path(value: Any) -> Any:
    """Return the path of an object that has a folder; anything else unchanged.

    Raises UsageError for a dataset or adapter that has been replaced since.
    """
    path = getattr(value, "path", None)
    if not isinstance(path, Path):
        return value
    if check_current := getattr(value, "check_current", None):
        check_current()
    return path


def as_path(value: object, name: str = "") -> Path:
    """Return an argument of a function, called `name`, as a local path, resolved as in `as_local_path`.

    Raises UsageError.
    """
    value, prefix = unwrap_path(value), f"{name}: " if name else ""
    if not isinstance(value, str | PathLike):
        raise UsageError(f"{prefix}{value!r:.60} is not a path.", "Name a file or folder.")
    try:
        return Path(as_local_path(str(Path(value)) if isinstance(value, PathLike) else value))
    except (ValueError, RuntimeError) as error:  # an address, or ~ of an unknown user
        raise UsageError(f"{prefix}{value}: {str(error).rstrip('.')}.") from error


def path_or_id(value: Any) -> Any:
    """Return a path as text, without ~ and file://; ids on the Hub and values of other types are returned unchanged.

    Raises ValueError for a Path that does not exist, because it cannot be an id.
    """
    if str(value).startswith("file:/"):
        return str(as_local_path(value))
    if isinstance(value, Path) and not value.expanduser().exists():
        raise ValueError(f"{value}: no such file or folder")
    return str(Path(value).expanduser()) if isinstance(value, Path) or str(value).startswith("~/") else value


def several(value: Any) -> Any:
    """Return a single path as a list, because a settings file may give one path instead of a list."""
    return [value] if isinstance(value, str | Path) else value


def _single(value: Any) -> Any:
    """Return a local path. Raises ValueError for a list, which a settings file may give where only one path fits."""
    if isinstance(value, list):
        raise ValueError("Input should be one path, not a list")  # noqa: TRY004 -- pydantic reports only ValueError
    return as_local_path(value)


def _for_writing(value: Any) -> Any:
    """Return the path of a folder to write to. Raises ValueError for names that Polars cannot read files under."""
    path = _single(value)
    try:
        str(path.absolute() if isinstance(path, Path) else path).encode()
    except UnicodeEncodeError as error:
        raise ValueError("the name of this folder is not UTF-8. Use another folder") from error
    return path


def joined(value: Any) -> Any:
    """Return a list of texts as one text with commas, the form that options have."""
    is_text_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return ",".join(value) if is_text_list else value


Listed = Annotated[str, BeforeValidator(joined)]
LocalPath = Annotated[Path, BeforeValidator(_single)]
OutputFolder = Annotated[Path, BeforeValidator(_for_writing), Field(validate_default=True)]
PathOrId = Annotated[str, BeforeValidator(path_or_id)]  # a folder, a file, or an id on the Hub


def read_toml(file: Path) -> dict[str, Any]:
    """Read a settings file, whose keys may have hyphens as the options do. Raises UsageError."""
    file = as_path(file)
    try:
        values = tomllib.loads(file.read_text("utf-8-sig"))
    except FileNotFoundError as error:
        raise UsageError(f"{file}: no such settings file.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: not TOML: {error}.") from error
    return {key.replace("-", "_"): value for key, value in values.items()}


def check(
    model: type[Settings], values: Mapping[str, Any], flags: Mapping[str, Any], file: Path | None, missing: str = ""
) -> Settings:
    """Create settings from the values of a file (or preset), overridden by the flags.

    Raises UsageError naming the flag, or the file and the key; for a mistyped key, also the nearest valid key.
    `missing` is the hint if a required setting is missing.
    """
    for name in ("allow_http", "key_env"):  # they decide who receives which secret
        if name in values:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{file}: {name}: a settings file cannot set this.", f"Give {flag}.")
    out = str(values.get("out", ""))
    is_address = "://" in out and not out.startswith("file://")
    if file and "out" not in flags and is_address and model.model_fields["out"].annotation is Path:
        raise UsageError(f"{file}: out: {out} is not a folder.", "Give a remote workspace with --out.")
    try:
        return model(**dict(values) | dict(flags))
    except ValidationError as error:
        faults = error.errors()
        # A mistyped key comes before the key that is missing because of it.
        typos = [candidate for candidate in faults if candidate["type"] == "extra_forbidden"]
        fault = (typos or faults)[0]
        key, prefix = _describe_place(fault["loc"], fault["input"]), f"{file}: " if file else ""
        fault = _merge_alternatives(fault, faults)
        if fault["type"] == "extra_forbidden":
            matches = difflib.get_close_matches(key, model.model_fields, n=1)
            hint = f"Did you mean {matches[0]!r}?" if matches else f"Known: {', '.join(model.model_fields)}."
            raise UsageError(f"{prefix}unknown key {key!r}.", hint) from error
        if fault["type"] == "missing":
            missing_key = f"{prefix}{key} is missing." if file else f"--{key.replace('_', '-')} is missing."
            problem = "No language given." if key == "lang" else missing_key
            raise UsageError(problem, missing) from error
        setting = str(fault["loc"][0]) if fault["loc"] else key
        place = f"--{setting.replace('_', '-')}" if setting in flags else f"{file}: {key}" if setting in values else ""
        message = fault["msg"].removeprefix("Value error, ")
        sentence = message if message.endswith("?") else f"{message}."
        raise UsageError(f"{place}: {sentence}".removeprefix(": ")) from error


def _merge_alternatives(fault: Any, faults: Sequence[Any]) -> Any:
    """Return a fault with the expectations of all types that the setting may have."""
    setting = fault["loc"][:-1]  # without the last part, which is the type
    related = (
        other for other in faults if setting and other["loc"][:-1] == setting and other["input"] is fault["input"]
    )
    messages = dict.fromkeys(other["msg"] for other in related)
    mergeable = len(messages) > 1 and all(message.startswith("Input should be ") for message in messages)
    expected = " or ".join(message.removeprefix("Input should be ") for message in messages)
    return {**fault, "msg": f"Input should be {expected}"} if mergeable else fault


def refuse_recipient(file: Path | None, endpoint: object, secret: str, hint: str) -> None:
    """Raise UsageError if a settings file, which may be anybody's, determines who receives a secret of the user."""
    if endpoint and not is_here(str(endpoint)):
        raise UsageError(f"{file}: endpoint: {secret} would be sent to {str(endpoint)!r:.200}.", hint)


def _describe_place(place: tuple[int | str, ...], value: Any) -> str:
    """Return the location of a setting as text; for one of several tables, with its number."""
    match place:
        case (str(table), int(number), *rest) if rest:
            return f"[[{table}]] {number + 1}: {'.'.join(map(str, rest))}"
        case (str(name), int(number)):
            return f"[[{name}]] {number + 1}" if isinstance(value, dict) else f"{name} {number + 1}"
    return ".".join(map(str, place)) or "settings"
