"""Settings of a command: a TOML file, with the flags of the command line above it; unknown keys are errors."""

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import unquote

from pydantic import BaseModel, BeforeValidator, ValidationError

from lrldata.errors import UsageError
from lrldata.network import is_here

Settings = TypeVar("Settings", bound=BaseModel)
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+")  # a Path of it has one slash


def on_this_machine(given: Any) -> Any:
    """Return a path as it is meant: ~ is the user's folder, and file:// nothing. Raises ValueError for an address."""
    if not isinstance(given, str | Path):
        return given  # which is told by its type
    address = _ADDRESS.match(str(given))
    if address and address[1] != "file":
        raise ValueError(f"{given} is an address: name a path of this machine")
    return Path(unquote("/" + str(given)[address.end() :]) if address else given).expanduser()


class Located(Protocol):
    """What lies in a folder: a dataset, an adapter, a workspace."""

    @property
    def path(self) -> Path:
        """Return the folder."""


Place = str | Path | Located  # what a function takes as a path


def located(given: Any) -> Any:
    """Return the path of what lies in a folder; anything else as it is."""
    path = getattr(given, "path", None)
    return path if isinstance(path, Path) else given


def as_path(given: object, name: str = "") -> Path:
    """Return what a function was given, as its argument `name`, as a path of this machine, as `on_this_machine` does.

    Raises UsageError.
    """
    given, told = located(given), f"{name}: " if name else ""
    if not isinstance(given, str | PathLike):
        raise UsageError(f"{told}{given!r:.60} is not a path.", "Name a file or folder.")
    try:
        return Path(on_this_machine(str(Path(given)) if isinstance(given, PathLike) else given))
    except (ValueError, RuntimeError) as error:  # an address, and ~ of nobody
        raise UsageError(f"{told}{given}: {str(error).rstrip('.')}.") from error


def path_or_id(given: Any) -> Any:
    """Return a path as text, without ~ and file://; ids on the Hub, and what is neither, stay as they are.

    Raises ValueError for a Path that is not there: it is no id.
    """
    if str(given).startswith("file:/"):
        return str(on_this_machine(given))
    if isinstance(given, Path) and not given.expanduser().exists():
        raise ValueError(f"{given}: no such file or folder")
    return str(Path(given).expanduser()) if isinstance(given, Path) or str(given).startswith("~/") else given


def several(given: Any) -> Any:
    """Return one path as a list of it, as a settings file may name one."""
    return [given] if isinstance(given, str | Path) else given


def joined(given: Any) -> Any:
    """Return a list of texts as one with commas, as options have them."""
    texts = isinstance(given, list) and all(isinstance(each, str) for each in given)
    return ",".join(given) if texts else given


Listed = Annotated[str, BeforeValidator(joined)]
LocalPath = Annotated[Path, BeforeValidator(on_this_machine)]
PathOrId = Annotated[str, BeforeValidator(path_or_id)]  # of a folder or file, or an id on the Hub


def read_toml(file: Path) -> dict[str, Any]:
    """Read a settings file; its keys may be written with hyphens, as the options are. Raises UsageError."""
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
    """Make settings of a kind from the values of a file (or preset) and the flags above them.

    Raises UsageError that names the flag, or the file and the key; for a mistyped key it names the nearest one.
    `missing` is the way out where a setting that must be there is not.
    """
    for name in ("allow_http", "key_env"):  # they decide who is given which secret
        if name in values:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{file}: {name}: a settings file may not say so.", f"Give {flag}.")
    if (
        file
        and "out" not in flags
        and "://" in str(values.get("out", ""))
        and model.model_fields["out"].annotation is Path
    ):
        raise UsageError(f"{file}: out: {values['out']} is no folder.", "Give a remote workspace with --out.")
    try:
        return model(**dict(values) | dict(flags))
    except ValidationError as error:
        faults = error.errors()
        fault = next(
            (each for each in faults if each["type"] == "extra_forbidden"), faults[0]
        )  # a typo, before what it left out
        key, begins = _told(fault["loc"], fault["input"]), f"{file}: " if file else ""
        fault = _of_all_kinds(fault, faults)
        if fault["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, model.model_fields, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(model.model_fields)}."
            raise UsageError(f"{begins}unknown key {key!r}.", hint) from error
        if fault["type"] == "missing":
            lacking = f"{begins}{key} is missing." if file else f"--{key.replace('_', '-')} is missing."
            what = "No language given." if key == "lang" else lacking
            raise UsageError(what, missing) from error
        top = str(fault["loc"][0]) if fault["loc"] else key
        where = f"--{top.replace('_', '-')}" if top in flags else f"{file}: {key}" if top in values else ""
        message = fault["msg"].removeprefix("Value error, ")
        ended = message if message.endswith("?") else f"{message}."
        raise UsageError(f"{where}: {ended}".removeprefix(": ")) from error


def _of_all_kinds(fault: Any, faults: Sequence[Any]) -> Any:
    """Return a fault with what each kind wants that a setting may be of."""
    place = fault["loc"][:-1]  # of the setting; the last is the kind
    same = (each for each in faults if place and each["loc"][:-1] == place and each["input"] is fault["input"])
    wants = dict.fromkeys(each["msg"] for each in same)
    several = len(wants) > 1 and all(each.startswith("Input should be ") for each in wants)
    told = " or ".join(each.removeprefix("Input should be ") for each in wants)
    return {**fault, "msg": f"Input should be {told}"} if several else fault


def refuse_recipient(file: Path | None, endpoint: object, secret: str, hint: str) -> None:
    """Raise UsageError where a settings file, which may be anybody's, says who is given a secret of the user's."""
    if endpoint and not is_here(str(endpoint)):
        raise UsageError(f"{file}: endpoint: {secret} would be sent to {str(endpoint)!r:.200}.", hint)


def _told(place: tuple[int | str, ...], value: Any) -> str:
    """Write where a setting is: of a table of which there are several, which one."""
    match place:
        case (str(table), int(number), *rest) if rest:
            return f"[[{table}]] {number + 1}: {'.'.join(map(str, rest))}"
        case (str(name), int(number)):
            return f"[[{name}]] {number + 1}" if isinstance(value, dict) else f"{name} {number + 1}"
    return ".".join(map(str, place)) or "settings"
