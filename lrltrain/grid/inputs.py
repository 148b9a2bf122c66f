"""The user's own files and folders that a study reads: each language has its own, or none. IO.

A missing path is an error before the first job starts, not hours later, unless its folder has entries for other
languages: the study then has no data in this language.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from lrldata.errors import UsageError
from lrldata.language import Language, languages
from lrldata.remote import as_folder, is_remote
from lrldata.settings import as_local_path
from lrltrain.grid.places import is_made, listed
from lrltrain.names import HUB_ID

_TEXT = ("input", "text")  # settings of builds and fits
_TEST_SETS = {"topic": "sib200", "sentiment": "sentiment", "ner": "wikiann", "pppl": "flores"}  # in languages.toml
_RELATIVE = "Paths are relative to the current folder."


def local(path: Any) -> Path | None:
    """Return a local path as settings resolve it: with ~ and file://; None for any other address."""
    try:
        return Path(as_local_path(str(path)))
    except ValueError:
        return None


def has_text(settings: Mapping[str, Any]) -> bool:
    """Return whether the text of a build or fit exists in its language. Raises UsageError, naming the setting."""
    paths = [(key, path) for key in _TEXT if key in settings for path in listed(settings[key])]
    missing = [(key, path) for key, path in paths if not ((place := local(path)) and place.exists())]
    for key, path in missing:
        if (place := local(path)) is None or not _is_by_language(place.parent):
            raise UsageError(f"{key}: {path}: no such file or folder.", _RELATIVE)
    return not missing


def has_data(task: str, settings: Mapping[str, Any], language: Language, built: Collection[str], out: str) -> bool:
    """Return whether a language has data for a task.

    It has none if the study builds this dataset only for other languages. Raises UsageError if the data is neither a
    local path, nor built by the study, nor an id on the Hub.
    """
    data: Any = settings.get("data")
    if data is None:
        return getattr(language, _TEST_SETS[task]) is not None
    if is_made(data):
        if data in built or is_remote(out) or (as_folder(out) / data).exists():
            return True
        if Path(data).name in {Path(dataset).name for dataset in built}:
            return False
        raise UsageError(
            f"[eval] {task}: data: {data}: the study builds no such dataset, and {out} has none.",
            f"Paths that begin with datasets/ are in the workspace; for a folder of your own, write ./{data}.",
        )
    if not isinstance(data, str) or data == "flores" or ((path := local(data)) and path.exists()):
        return True
    if not HUB_ID.fullmatch(data) or "/" not in data or _is_by_language(Path(data).parent):
        raise UsageError(f"[eval] {task}: data: {data}: no such file or folder.", _RELATIVE)
    return True


def _is_by_language(folder: Path) -> bool:
    """Return whether a folder has one entry per language, named after its code, perhaps with an extension."""
    if not folder.is_dir():
        return False
    codes = {code for language in languages() for code in (language.code, language.flores, language.sib200)}
    return not codes.isdisjoint(entry.name.partition(".")[0] for entry in folder.iterdir())
