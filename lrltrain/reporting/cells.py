"""All scores of a workspace as cells of one table, which reports and cards share; needs no SciPy. IO."""

from pathlib import Path

from lrldata.workspace import score_path
from lrltrain.evaluation.record import runs_in
from lrltrain.evaluation.statistics import times_for
from lrltrain.reporting.perplexity import read_perplexities
from lrltrain.reporting.reference import BASE_MODEL, Reference
from lrltrain.reporting.tables import PPPL, RESAMPLES, Cell, corrected, own_sets
from lrltrain.reporting.task_cells import read_tasks


def read_cells(
    workspace: Path, resamples: int = RESAMPLES, *, together: bool = False, against: Reference = BASE_MODEL
) -> tuple[Cell, ...]:
    """Return the scores of tasks, a cell a folder of runs in the order of the folders, and then the perplexities.

    With `together`, as a table wants it, adapters that differ in the seed of their training alone have one cell, and
    test sets that each language has of its own one column. p is corrected for all comparisons in the workspace.
    Raises StorageError for what is damaged, UsageError where nothing is of the name that others are compared with.
    """
    times = times_for(_most_comparisons(workspace))
    tasks = read_tasks(workspace, resamples, times, together=together, against=against)
    perplexities = read_perplexities(workspace, times, together=together, against=against, resamples=resamples)
    cells = [*tasks, *perplexities]
    against.check(cell.row for cell in cells)
    return corrected(own_sets(cells) if together else cells)


def _most_comparisons(workspace: Path) -> int:
    """Return a number that comparisons cannot exceed, before anything is read."""
    groups = {run.folder.parent for run in runs_in(workspace)}
    return len(groups) + sum(1 for _ in workspace.glob(score_path("*", "*", "*", f"{PPPL}-*")))
