"""Which scores belong to adapters that have not changed since they were measured. IO."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from lrldata.layout import finished
from lrldata.manifest import ADAPTER, MANIFEST, identity, read_manifest
from lrldata.output import note
from lrltrain.evaluation.record import Run, runs_in
from lrltrain.reporting.data_names import Key

SHOWN = 3  # names in a note
Adapters = Mapping[tuple[str, str], AbstractSet[str]]
AdapterManifests = Mapping[str, tuple[Path, Mapping[str, Any]]]  # folder and manifest, by the manifest's hash


def adapter_manifests(workspace: Path) -> AdapterManifests:
    """Return the folder and manifest of each adapter in a workspace, by the hash of the manifest."""
    manifests = ((folder, read_manifest(folder, ADAPTER)) for folder in finished(workspace, ADAPTER))
    return {identity(folder, manifest): (folder, manifest) for folder, manifest in manifests if manifest is not None}


def by_name(manifests: AdapterManifests) -> Adapters:
    """Return the hashes of adapters' manifests by base model id and adapter name."""
    hashes: dict[tuple[str, str], set[str]] = {}
    for digest, (_, manifest) in manifests.items():
        hashes.setdefault((str(manifest["base"]["id"]), str(manifest["name"])), set()).add(digest)
    return hashes


def is_replaced(manifest: Mapping[str, Any], adapters: Adapters) -> bool:
    """Return whether a score is of an adapter that has since been retrained here; False if the adapter is not here."""
    adapter = manifest["adapter"]
    if not adapter:
        return False
    current = adapters.get((str(manifest["base"]["id"]), str(adapter["name"])))
    return current is not None and adapter["manifest_sha256"] not in current


def current_runs(workspace: Path) -> tuple[list[Run], list[str]]:
    """Return the current runs of a workspace, and the names of the adapters whose runs are left out."""
    adapters, runs, replaced = by_name(adapter_manifests(workspace)), [], []
    for run in runs_in(workspace):
        if is_replaced(run.manifest, adapters):
            replaced.append(str(run.manifest["adapter"]["name"]))
        else:
            runs.append(run)
    return runs, replaced


def note_replaced(what: str, names: Sequence[str]) -> None:
    """Note how many scores are left out, and of which adapters."""
    if names:
        distinct = sorted(set(names))
        shown = ", ".join(distinct[:SHOWN]) + (", ..." if len(distinct) > SHOWN else "")
        note(f"{len(names):,} {what} are left out, because their adapters have since been retrained: {shown}.")


def note_contents(keys: Iterable[Key]) -> None:
    """Note test sets that have the same name but different contents, for instance after a correction."""
    contents_per_name = Counter(key._replace(content="") for key in set(keys))
    ambiguous = {f"{key.name} ({key.language})" for key, contents in contents_per_name.items() if contents > 1}
    if ambiguous:
        shown = ", ".join(sorted(ambiguous)[:SHOWN]) + (", ..." if len(ambiguous) > SHOWN else "")
        effect = "Each has a column of its own, not shared with other languages"
        hint = "Delete the scores of a file that was replaced, or rename the files"
        note(f"{shown}: test sets with the same name have different content. {effect}. {hint}.")


def made_at(folder: Path) -> int:
    """Return when a score was written, in minutes since 1970."""
    return int((folder / MANIFEST).stat().st_mtime // 60)


def note_unusual(what: str, names: Sequence[str]) -> None:
    """Note how many scores have rows of their own because of their conditions; those with an empty name are usual."""
    counted = Counter(filter(None, names))
    if counted:
        shown = ", ".join(f"{name} ({count:,})" for name, count in counted.most_common(SHOWN))
        more = ", ..." if len(counted) > SHOWN else ""
        note(
            f"{counted.total():,} {what} were made with other settings than most of their kind. They have rows "
            f"of their own and are left out of averages: {shown}{more}."
        )
