"""All scores of a workspace as cells of one table, for reports and cards. Does not need SciPy. IO."""

from pathlib import Path

from lrldata.layout import score_path
from lrltrain.evaluation.record import PPPL, runs_in
from lrltrain.evaluation.significance import exchanges_for
from lrltrain.reporting.perplexity import read_perplexities
from lrltrain.reporting.reference import BASE_MODEL, Reference
from lrltrain.reporting.tables import RESAMPLES, Cell, corrected, own_sets
from lrltrain.reporting.task_cells import read_tasks


def read_cells(
    workspace: Path, resamples: int = RESAMPLES, *, together: bool = False, against: Reference = BASE_MODEL
) -> tuple[Cell, ...]:
    """Return one cell per folder of task runs, in folder order, followed by the perplexities.

    With `together`, as a table needs it, adapters that differ only in their training seed share one cell, and test sets
    that each belong to a single language share one column. p-values are corrected for all comparisons in the workspace.
    Raises StorageError if a file is damaged, UsageError if no score has the reference's name.
    """
    permutations = exchanges_for(_most_comparisons(workspace))
    tasks = read_tasks(workspace, resamples, permutations, together=together, against=against)
    perplexities = read_perplexities(workspace, permutations, together=together, against=against, resamples=resamples)
    cells = [*tasks, *perplexities]
    against.check(cell.row for cell in cells)
    return corrected(own_sets(cells) if together else cells)


def _most_comparisons(workspace: Path) -> int:
    """Return an upper bound on the number of comparisons, without reading any score."""
    groups = {run.folder.parent for run in runs_in(workspace)}
    return len(groups) + sum(1 for _ in workspace.glob(score_path("*", "*", "*", f"{PPPL}-*")))
