"""The perplexities in a workspace, as they are stored: one folder per adapter or base model, text and settings. IO."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lrldata.errors import StorageError
from lrldata.layout import is_hidden, score_path
from lrldata.manifest import SCORES, DamagedError, damaged, fingerprint, load_manifest
from lrldata.output import note
from lrldata.versions import versions_of
from lrltrain.evaluation.record import PPPL
from lrltrain.reporting.current import AdapterManifests, by_name, is_replaced, note_replaced
from lrltrain.reporting.data_names import Key, key_of

_MEASURE_AGAIN = "Measure it again with `lrltrain eval --overwrite`."


class Measured(NamedTuple):
    """A folder with the likelihoods of sentences, its manifest, and the key of its text."""

    folder: Path
    manifest: Mapping[str, Any]
    key: Key

    @property
    def base_key(self) -> str:
        """Return a key that the score of an adapter shares with that of its base model."""
        parts = (self.manifest[part] for part in ("data", "base", "settings"))
        return fingerprint([self.folder.parents[1].as_posix(), *parts])


def current_perplexities(workspace: Path, adapters: AdapterManifests) -> list[Measured]:
    """Return the perplexities of a workspace, the newest first.

    Those of adapters that have since been retrained are left out, and so are those of base models on an old text, if
    adapters were measured on another text of the same name. Raises StorageError.
    """
    measured, hashes = [*_measured(workspace)], by_name(adapters)
    replaced = [str(entry.manifest["adapter"]["name"]) for entry in measured if is_replaced(entry.manifest, hashes)]
    note_replaced("perplexities", replaced)
    current = _on_current_texts([entry for entry in measured if not is_replaced(entry.manifest, hashes)])
    return sorted(current, key=lambda entry: versions_of(entry.manifest["made_with"]), reverse=True)


def _on_current_texts(measured: Sequence[Measured]) -> list[Measured]:
    """Leave out base models on a text without adapters, if another text of the same name has adapters."""
    texts = [(entry.manifest["base"]["id"], entry.key) for entry in measured]
    adapted = {text for text, entry in zip(texts, measured, strict=True) if entry.manifest["adapter"]}
    names = {(base, key._replace(content="")) for base, key in adapted}
    kept = [
        entry
        for (base, key), entry in zip(texts, measured, strict=True)
        if (base, key) in adapted or (base, key._replace(content="")) not in names
    ]
    if dropped := len(measured) - len(kept):
        note(f"{dropped:,} perplexities of base models are left out: no adapter here was measured on their texts.")
    return kept


def _measured(workspace: Path) -> Iterator[Measured]:
    """Yield the folders of scores with their manifests and the keys of their texts.

    A text without a limit gets the smallest limit of its name that covers all its sentences, since it is then the same.
    """
    scored = [*_scored(workspace)]
    limits: dict[str, set[int]] = {}
    for _, manifest in scored:
        if limit := (manifest.get("text") or {}).get("limit"):
            limits.setdefault(str(manifest["data"]["name"]), set()).add(limit)
    for folder, manifest in scored:
        data, limit = manifest["data"], (manifest.get("text") or {}).get("limit")
        if limit is None:
            count, others = data.get("sentences"), limits.get(str(data["name"]), ())
            limit = min((other for other in others if count and count <= other), default=None)
        yield Measured(folder, manifest, key_of(folder.relative_to(workspace).parts[1], PPPL, data, limit))


def _scored(workspace: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for folder in sorted(workspace.glob(score_path("*", "*", "*", f"{PPPL}-*"))):
        if is_hidden(folder, workspace):
            continue  # from an interrupted replacement, or from another program
        try:
            manifest = load_manifest(folder, SCORES)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except DamagedError as error:
            raise DamagedError(error.message, _MEASURE_AGAIN) from error
        for fault in damaged(folder, manifest):
            raise StorageError(f"{folder}: {fault}.", _MEASURE_AGAIN)
        yield folder, manifest
