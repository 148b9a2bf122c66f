"""The task scores in a workspace, by adapter, computed as in `lrltrain report`. IO.

A report combines adapters that differ only in their seed. Here each adapter is separate, so p is corrected for more
comparisons.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrldata.manifest import reporting_invalid_content
from lrltrain.evaluation.record import OF_TASK
from lrltrain.reporting.cells import read_cells
from lrltrain.reporting.current import current_runs
from lrltrain.reporting.tables import Cell


@dataclass(frozen=True)
class TaskScore:
    """A task score: the result over its runs, and the manifest of one of them; they differ only in the seed.

    `comparisons` is the number of comparisons in the workspace, for all of which p is corrected.
    """

    cell: Cell
    manifest: Mapping[str, Any]
    comparisons: int


def read_task_scores(root: Path, adapters: Collection[str]) -> dict[str, tuple[TaskScore, ...]]:
    """Return the task scores of adapters by the hash of their manifests. Raises StorageError if a run is damaged.

    If any of the adapters has scores, all scores of the workspace are computed, as p is corrected for all comparisons.
    """
    with reporting_invalid_content(root):
        if not any(_owner([run.manifest]) in adapters for run in current_runs(root)[0]):
            return {}
        cells = read_cells(root)
    comparisons = sum(cell.against is not None for cell in cells)
    scores: dict[str, tuple[TaskScore, ...]] = {}
    for cell in cells:
        owner = _owner(cell.manifests)
        if owner in adapters:
            scores[str(owner)] = (*scores.get(str(owner), ()), TaskScore(cell, cell.manifests[0], comparisons))
    return scores


def _owner(manifests: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the hash of the manifest of the adapter that the runs use; None if they use no adapter or several.

    Runs that trained the fusion layers on the task are excluded, as those layers are not the published ones.
    """
    if any(manifest["method"].endswith(OF_TASK) for manifest in manifests):
        return None
    owners = {(manifest["adapter"] or {}).get("manifest_sha256") for manifest in manifests}
    return owners.pop() if len(owners) == 1 else None
