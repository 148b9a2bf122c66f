"""All scores of a workspace as cells of one table, for reports and cards. Does not need SciPy. IO."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lrldata.layout import score_path
from lrltrain.evaluation.record import runs_in
from lrltrain.evaluation.statistics import exchanges_for
from lrltrain.reporting.conditions import ScoreOrigin, names_of_conditions
from lrltrain.reporting.current import note_unusual
from lrltrain.reporting.perplexity import read_perplexities
from lrltrain.reporting.reference import BASE_MODEL, Reference
from lrltrain.reporting.tables import OWN, PPPL, RESAMPLES, Cell, corrected, own_sets
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
    return corrected(_named_apart(own_sets(cells)) if together else cells)


def _named_apart(cells: Sequence[Cell]) -> list[Cell]:
    """Name the conditions of scores in merged columns, since those of several languages are averaged there."""
    merged = [cell for cell in cells if cell.column.data == OWN and cell.manifests]
    scores = [ScoreOrigin(cell.row, cell.column, cell.manifests[0], cell.seeds) for cell in merged]
    names = names_of_conditions(scores)
    note_unusual("scores", names)
    name_of = {id(cell): name for cell, name in zip(merged, names, strict=True)}
    rows = [cell.row._replace(variant=f"{cell.row.variant} {name_of.get(id(cell), '')}".strip()) for cell in cells]
    return [replace(cell, row=row) for cell, row in zip(cells, rows, strict=True)]


def _most_comparisons(workspace: Path) -> int:
    """Return an upper bound on the number of comparisons, without reading any score."""
    groups = {run.folder.parent for run in runs_in(workspace)}
    return len(groups) + sum(1 for _ in workspace.glob(score_path("*", "*", "*", f"{PPPL}-*")))
