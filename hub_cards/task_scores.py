"""The scores of tasks in a workspace, by adapter, as `lrltrain report` has them. IO.

There, adapters that differ in their seed alone are one; here each stands by itself, so that p is corrected for more
comparisons.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrldata.manifest import understood
from lrltrain.evaluation.record import OF_TASK
from lrltrain.reporting.cells import read_cells
from lrltrain.reporting.current import current_runs
from lrltrain.reporting.tables import Cell


@dataclass(frozen=True)
class TaskScore:
    """A score of a task: what was counted of its runs, and the manifest of one of them, which differ in the seed alone.

    `comparisons` is the number of those in the workspace, for all of which p is corrected.
    """

    cell: Cell
    manifest: Mapping[str, Any]
    comparisons: int


def read_task_scores(root: Path, adapters: Collection[str]) -> dict[str, tuple[TaskScore, ...]]:
    """Return the scores of tasks of adapters, by the hash of their manifests. Raises StorageError for what is damaged.

    Where one of them has any, all scores of the workspace are counted, as p is corrected for all comparisons.
    """
    with understood(root):
        if not any(_owner([run.manifest]) in adapters for run in current_runs(root)[0]):
            return {}
        cells = read_cells(root)
    comparisons = sum(cell.against is not None for cell in cells)
    found: dict[str, tuple[TaskScore, ...]] = {}
    for cell in cells:
        owner = _owner(cell.manifests)
        if owner in adapters:
            found[str(owner)] = (*found.get(str(owner), ()), TaskScore(cell, cell.manifests[0], comparisons))
    return found


def _owner(manifests: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the hash of the manifest of the adapter that runs are of; None where there is none, or not one.

    Where the layers of a fusion learned the task, they are not those that are published.
    """
    if any(manifest["method"].endswith(OF_TASK) for manifest in manifests):
        return None
    owners = {(manifest["adapter"] or {}).get("manifest_sha256") for manifest in manifests}
    return owners.pop() if len(owners) == 1 else None
