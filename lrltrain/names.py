"""Names of models, as folders, tables and repositories write them."""

import json
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

BUILT_IN = "lrl-mini"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_SNAPSHOT = re.compile(r"models--([\w.-]+?)--([\w.-]+)/snapshots/([0-9a-f]+)")
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
LARGEST = 32 * 2**20  # bytes of a configuration


def base_name(identifier: str) -> str:
    """Return the last part of a model's id: xlm-roberta-base."""
    return identifier.rstrip("/").rsplit("/", maxsplit=1)[-1]


def snapshot_of(folder: Path) -> tuple[str, str] | None:
    """Return id and commit of a folder that is a snapshot in the Hub's cache; None for others."""
    found = _SNAPSHOT.search(folder.resolve().as_posix())
    return (f"{found[1]}/{found[2]}", found[3]) if found else None


def declared_id(config: Mapping[str, object]) -> str | None:
    """Return the id on the Hub by which a model's own configuration knows it."""
    known = config.get("_name_or_path")
    is_id = isinstance(known, str) and "/" in known and HUB_ID.fullmatch(known) and not Path(known).exists()
    return str(known) if is_id else None


def public_id(model: str) -> str:
    """Return the id of a model that is a folder or on the Hub, as it is known where nothing else is asked for. IO."""
    folder = Path(model)
    if model == BUILT_IN or not folder.is_dir():
        return model
    snapshot = snapshot_of(folder)
    return snapshot[0] if snapshot else declared_id(_config(folder)) or folder.resolve().name


def _config(folder: Path) -> Mapping[str, object]:
    try:
        file = folder / "config.json"
        found = json.loads(file.read_text("utf-8")) if file.stat().st_size <= LARGEST else {}
    except (OSError, ValueError, RecursionError):
        return {}  # what is wrong with it is said where the model is loaded
    return found if isinstance(found, dict) else {}


def distinct(names: Mapping[str, str], origins: Mapping[str, str]) -> dict[str, str]:
    """Return a name for each model that no other has: its own, for the first of a name, then one with its parents.

    `names` has the name of each model, and `origins` the path or id that it comes from: org-b--bert for org-b/bert.
    """
    taken: dict[str, str] = {}
    for model, name in names.items():
        chosen = next(each for each in _longer(name, origins[model]) if each.casefold() not in _folded(taken.values()))
        taken[model] = chosen
    return taken


def _folded(names: Iterable[str]) -> set[str]:
    return {name.casefold() for name in names}  # for file systems and Hubs that do not tell them apart


def _longer(name: str, origin: str) -> Iterable[str]:
    """Yield names for a model, the shortest first."""
    yield name
    parts = [part for part in origin.split("/") if part not in ("", ".", "..")][:-1]
    for number in range(1, len(parts) + 1):
        longer = "--".join([*parts[-number:], name])
        if _SAFE.fullmatch(longer) and len(longer) <= 96:  # characters of a name on the Hub
            yield longer
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "model"
    yield f"{plain}-{sha256(origin.encode(errors='surrogatepass')).hexdigest()[:6]}"
