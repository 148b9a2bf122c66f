"""Names of models, as used in folders, tables and repositories."""

import json
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

BUILT_IN = "lrl-mini"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_SNAPSHOT = re.compile(r"models--(?:([\w.-]+?)--)?([\w.-]+)/snapshots/([0-9a-f]+)")  # old models have no organization
NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*"  # of a repository on the Hub, and of a folder
LONGEST_NAME = 96  # characters of a name on the Hub
LARGEST = 32 * 2**20  # maximum bytes of a configuration


def base_name(identifier: str) -> str:
    """Return the last part of a model's id, such as xlm-roberta-base."""
    return identifier.rstrip("/").rsplit("/", maxsplit=1)[-1]


def snapshot_of(folder: Path) -> tuple[str, str] | None:
    """Return the model id and commit of a folder that is a snapshot in the Hub's cache; None for other folders."""
    match = _SNAPSHOT.search(folder.resolve().as_posix())
    return ("/".join(filter(None, match.group(1, 2))), match[3]) if match else None


def declared_id(config: Mapping[str, object], folder: Path) -> str | None:
    """Return the Hub id stated in the configuration of a model in a folder; None if there is none.

    What looks like one may be the path of another model, from one of the folders that this one is in.
    """
    declared = config.get("_name_or_path")
    if not isinstance(declared, str) or "/" not in declared or not HUB_ID.fullmatch(declared):
        return None
    return None if any((parent / declared).is_dir() for parent in folder.resolve().parents) else declared


def public_id(model: str) -> str:
    """Return the default public id of a model that is a folder or on the Hub. IO."""
    folder = Path(model)
    if model == BUILT_IN or not folder.is_dir():
        return model
    return id_of_folder(folder, _read_config(folder))


def id_of_folder(folder: Path, config: Mapping[str, object]) -> str:
    """Return the default public id of a model in a folder, given its configuration."""
    snapshot = snapshot_of(folder)
    return snapshot[0] if snapshot else declared_id(config, folder) or folder.resolve().name


def _read_config(folder: Path) -> Mapping[str, object]:
    try:
        file = folder / "config.json"
        config = json.loads(file.read_text("utf-8")) if file.stat().st_size <= LARGEST else {}
    except (OSError, ValueError, RecursionError):
        return {}  # loading the model reports what is wrong with it
    return config if isinstance(config, dict) else {}


def distinct(names: Mapping[str, str], origins: Mapping[str, str]) -> dict[str, str]:
    """Return a unique name per model: its own name if not yet taken, else one prefixed with its parent folders.

    `names` maps each model to its name, and `origins` to its path or id: a second `bert`, from org-b/bert, becomes
    org-b--bert.
    """
    unique: dict[str, str] = {}
    for model, name in names.items():
        chosen = next(
            option for option in _candidates(name, origins[model]) if option.casefold() not in _folded(unique.values())
        )
        unique[model] = chosen
    return unique


def _folded(names: Iterable[str]) -> set[str]:
    return {name.casefold() for name in names}  # file systems and Hubs may ignore case


def _candidates(name: str, origin: str) -> Iterable[str]:
    """Yield candidate names for a model, shortest first."""
    yield name
    parts = [part for part in origin.split("/") if part not in ("", ".", "..")][:-1]
    for number in range(1, len(parts) + 1):
        prefixed = "--".join([*parts[-number:], name])
        if re.fullmatch(NAME, prefixed) and len(prefixed) <= LONGEST_NAME:
            yield prefixed
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "model"
    yield f"{plain}-{sha256(origin.encode(errors='surrogatepass')).hexdigest()[:6]}"
