"""The scores of tasks in a workspace, by adapter, counted and corrected as `lrltrain report` does. IO."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrldata.errors import StorageError
from lrltrain.evaluation.record import Run
from lrltrain.reporting.cells import read_cells, understood
from lrltrain.reporting.current import current_runs
from lrltrain.reporting.tables import PPPL, Cell


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
        groups: dict[Path, list[Run]] = {}
        for run in current_runs(root)[0]:
            groups.setdefault(run.folder.parent, []).append(run)
        owners = [_owner(runs) for runs in groups.values()]
        if not any(owner in adapters for owner in owners):
            return {}
        cells = read_cells(root)
        comparisons = sum(cell.against is not None for cell in cells)
        firsts = [runs[0] for runs in groups.values()]
        tasks = [cell for cell in cells if cell.column.task != PPPL]
        if [_place(run) for run in firsts] != [(cell.row[:4], cell.column.task) for cell in tasks]:
            raise StorageError(f"{root}: scores were written while they were read.", "Run the same command again.")
    found: dict[str, tuple[TaskScore, ...]] = {}
    for owner, run, cell in zip(owners, firsts, tasks, strict=True):
        if owner in adapters:
            found[str(owner)] = (*found.get(str(owner), ()), TaskScore(cell, run.manifest, comparisons))
    return found


def _owner(runs: Collection[Run]) -> str | None:
    """Return the hash of the manifest of the adapter that runs are of; None where there is none."""
    owners = {(run.manifest["adapter"] or {}).get("manifest_sha256") for run in runs}
    return owners.pop() if len(owners) == 1 else None


def _place(run: Run) -> tuple[tuple[str | None, ...], str]:
    """Return the place of a run in a report, but for the name of its data, which has a hash where two have one name."""
    return (run.language, run.base, run.method, run.source), run.task
