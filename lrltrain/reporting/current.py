"""Which scores are of adapters that are still as they were measured. IO."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from lrldata.manifest import ADAPTER, MANIFEST, identity, read_manifest
from lrldata.output import note
from lrldata.workspace import PATTERNS, is_hidden
from lrltrain.evaluation.record import Run, runs_in
from lrltrain.reporting.data_names import Key

SHOWN = 3  # names in a note
Adapters = Mapping[tuple[str, str], AbstractSet[str]]


def adapters_in(workspace: Path) -> Adapters:
    """Return the hashes of the manifests of adapters in a workspace, by the id of their base model and their name."""
    found: dict[tuple[str, str], set[str]] = {}
    for path in sorted(workspace.glob(f"{PATTERNS[ADAPTER]}/{MANIFEST}")):
        manifest = read_manifest(path.parent, ADAPTER)
        if manifest is not None and not is_hidden(path, workspace):
            key = str(manifest["base"]["id"]), str(manifest["name"])
            found.setdefault(key, set()).add(identity(path.parent, manifest))
    return found


def is_replaced(manifest: Mapping[str, Any], adapters: Adapters) -> bool:
    """Return whether a score is of an adapter that has been trained again; one from elsewhere has not."""
    adapter = manifest["adapter"]
    if not adapter:
        return False
    here = adapters.get((str(manifest["base"]["id"]), str(adapter["name"])))
    return here is not None and adapter["manifest_sha256"] not in here


def current_runs(workspace: Path) -> tuple[list[Run], list[str]]:
    """Return the runs of a workspace, and for those that are left out the names of their adapters."""
    adapters, runs, replaced = adapters_in(workspace), [], []
    for run in runs_in(workspace):
        if is_replaced(run.manifest, adapters):
            replaced.append(str(run.manifest["adapter"]["name"]))
        else:
            runs.append(run)
    return runs, replaced


def note_replaced(what: str, names: Sequence[str]) -> None:
    """Say how many scores are left out, by the names of their adapters."""
    if names:
        several = sorted(set(names))
        told = ", ".join(several[:SHOWN]) + (", ..." if len(several) > SHOWN else "")
        note(f"note: {len(names):,} {what} are left out, of adapters that have been trained again since: {told}.")


def note_contents(keys: Iterable[Key]) -> None:
    """Say which test sets are there with several contents under one name, as after a correction."""
    counted = Counter(key._replace(content="") for key in set(keys))
    several = {f"{key.name} ({key.language})" for key, contents in counted.items() if contents > 1}
    if several:
        told = ", ".join(sorted(several)[:SHOWN]) + (", ..." if len(several) > SHOWN else "")
        apart = "Each has a column of its own, apart from those of other languages"
        hint = "Delete the scores of a file that was replaced, or give files names of their own"
        note(f"note: {told}: test sets of one name differ. {apart}. {hint}.")


def made_at(folder: Path) -> int:
    """Return when a score was written, in minutes."""
    return int((folder / MANIFEST).stat().st_mtime // 60)


def note_unusual(what: str, names: Sequence[str]) -> None:
    """Say how many scores have rows of their own, by the names that conditions gave them; empty ones are usual."""
    counted = Counter(filter(None, names))
    if counted:
        told = ", ".join(f"{name} ({many:,})" for name, many in counted.most_common(SHOWN))
        more = ", ..." if len(counted) > SHOWN else ""
        note(
            f"note: {counted.total():,} {what} were made under other settings than most of their kind. They have rows "
            f"of their own and are in no average: {told}{more}."
        )
