"""The pseudo-perplexities of a workspace as cells of the table, with adapters and of base models alone. IO."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrldata.layout import source_of_adapter
from lrldata.manifest import fingerprint, read_beside
from lrldata.output import note, warn
from lrldata.versions import is_other_version
from lrltrain.evaluation import statistics
from lrltrain.evaluation.bootstrap import ratio
from lrltrain.evaluation.likelihoods import SCORES_FILE, read_likelihoods, statistic_of
from lrltrain.evaluation.record import NONE, PPPL
from lrltrain.evaluation.significance import several_sign_flips
from lrltrain.evaluation.statistics import Interval
from lrltrain.reporting.conditions import ScoreOrigin, conditions_of, names_of_conditions
from lrltrain.reporting.current import (
    SHOWN,
    AdapterManifests,
    adapter_manifests,
    made_at,
    note_contents,
    note_unusual,
)
from lrltrain.reporting.data_names import names_of
from lrltrain.reporting.reference import BASE_MODEL, Reference
from lrltrain.reporting.stored_perplexities import Measured, current_perplexities
from lrltrain.reporting.tables import RESAMPLES, Cell, Column, Comparison, Row, variant_of
from lrltrain.reporting.train_seeds import joined, matched, seed_of


@dataclass(frozen=True)
class PerplexityCell:
    """A cell, the manifest of its score, and each sentence's difference from the reference (`apart`).

    `folders` contain the likelihoods of the sentences, by the training seed of the adapter, or 0 if there is only one.
    """

    cell: Cell
    manifest: Mapping[str, Any]
    apart: NDArray[np.float64] | None = None
    at: int = 0
    folders: Mapping[int, Path] = field(default_factory=dict)


def read_perplexities(
    workspace: Path,
    times: int,
    *,
    together: bool = False,
    against: Reference = BASE_MODEL,
    resamples: int = RESAMPLES,
) -> list[Cell]:
    """Return the perplexities of a workspace, compared with the base model or another reference. Raises StorageError.

    Values and intervals are those of scores.json, except for changes against other adapters, which are computed here.
    p is from a sign-flip test over the differences of sentences, in log-likelihood or, for the paper's formula, in
    perplexity. Different base models are not compared, because their tokens differ. With `together`, adapters that
    differ only in their training seed share one cell.
    """
    adapters = adapter_manifests(workspace)
    cells = _cells_of(current_perplexities(workspace, adapters), adapters)
    _note_other_versions(cells, adapters)
    results = _with_conditions(cells)
    if together:
        results = joined("perplexities", results, _join_key, _join)
    if against != BASE_MODEL:
        results = [_compare_with(result, results, against, resamples) for result in results]
    compared = ((number, result.apart) for number, result in enumerate(results) if result.cell.against is not None)
    ps = several_sign_flips({number: apart for number, apart in compared if apart is not None}, times, seed=0)
    return [_with_p(result.cell, ps.get(number)) for number, result in enumerate(results)]


def _cells_of(measured: Sequence[Measured], adapters: AdapterManifests) -> list[PerplexityCell]:
    """Return a cell per adapter and base model on each text. Of several measurements, the first one counts."""
    names = names_of(entry.key for entry in measured)
    note_contents(names)
    base_folders = _base_folders(measured)
    older: list[str] = []
    cells: dict[tuple[str, str], PerplexityCell] = {}
    for entry in measured:
        score = read_beside(entry.folder, SCORES_FILE)
        if score is None:
            continue  # likelihoods of a base model; the scores of adapters contain it as `before`
        column, base_key = Column(PPPL, names[entry.key], str(score["metric"])), entry.base_key
        base = _base_cell(entry, score, column, base_folders.get(base_key, {}))
        cells.setdefault((base_key, ""), base)
        if score["adapter"] is None:
            continue
        adapter_hash = str(entry.manifest["adapter"]["manifest_sha256"])
        if (base_key, adapter_hash) in cells:
            made_with = sorted(entry.manifest["made_with"].items())
            older.append(", ".join(f"{name} {version}" for name, version in made_with))
            continue
        source = _source(score, adapters.get(adapter_hash))
        cells[base_key, adapter_hash] = _adapter_cell(entry, score, column, source, base.folders.get(0))
    if older:
        versions = "; ".join(sorted(set(older))[:SHOWN])
        note(f"{len(older):,} perplexities are left out, because newer versions measured them again: {versions}.")
    return list(cells.values())


def _base_folders(measured: Iterable[Measured]) -> dict[str, dict[str, Path]]:
    """Return the likelihoods of base models by their key, and by the versions of the libraries."""
    folders: dict[str, dict[str, Path]] = {}
    for entry in measured:
        if entry.manifest["adapter"] is None:
            versions = fingerprint(entry.manifest["made_with"])
            folders.setdefault(entry.base_key, {}).setdefault(versions, entry.folder)
    return folders


def _base_cell(
    entry: Measured, score: Mapping[str, Any], column: Column, folders: Mapping[str, Path]
) -> PerplexityCell:
    """Return the cell of a score's base model, with its likelihoods by the same versions, or else by others."""
    folder = folders.get(fingerprint(entry.manifest["made_with"]), next(iter(folders.values()), None))
    row, value = Row(score["language"], score["base"], NONE, None), score["before"] or score["after"]
    cell = Cell(row, column, 1, score["sentences"], Interval(**value))
    manifest = {**entry.manifest, "adapter": None}
    return PerplexityCell(cell, manifest, at=made_at(entry.folder), folders={0: folder} if folder else {})


def _adapter_cell(
    entry: Measured, score: Mapping[str, Any], column: Column, source: str, base_folder: Path | None
) -> PerplexityCell:
    """Return the cell of an adapter's score, compared with the base model if that is possible."""
    row = Row(score["language"], score["base"], score["method"], source)
    row = row._replace(variant=variant_of(str(score["adapter"]), row))
    formula = entry.manifest["settings"]["formula"]
    differences = _differences(entry.folder, base_folder, formula) if score["ratio"] else None
    change = None if differences is None else Comparison(Interval(**score["ratio"]), p=1.0)
    cell = Cell(row, column, 1, score["sentences"], Interval(**score["after"]), against=change)
    return PerplexityCell(cell, entry.manifest, differences, made_at(entry.folder), {0: entry.folder})


def _with_p(cell: Cell, p: float | None) -> Cell:
    cell = replace(cell, runs=cell.runs or ((None, None, cell.score.value),))
    return cell if cell.against is None or p is None else replace(cell, against=replace(cell.against, p=p))


def _join_key(result: PerplexityCell) -> tuple[Row, Hashable]:
    """Return the row of a perplexity, and what else it must share with those it is joined with."""
    return result.cell.row, (result.cell.column, result.cell.items, fingerprint(conditions_of(result.manifest)))


def _join(row: Row, results: list[PerplexityCell]) -> PerplexityCell:
    """Join adapters of several seeds by geometric means, with intervals over sentences and seeds."""
    cells = [result.cell for result in results]
    if len(cells) == 1:
        return replace(results[0], cell=replace(cells[0], row=row))
    scores, changes = [cell.score for cell in cells], [cell.against.change for cell in cells if cell.against]
    differences = [result.apart for result in results if result.apart is not None]
    is_complete = len(differences) == len(changes) == len(cells) and len({len(values) for values in differences}) == 1
    against = Comparison(_geometric(changes), p=1.0) if is_complete else None
    sd = statistics.deviation([score.value for score in scores])
    count = len(cells)
    runs = tuple((seed_of(cell.row)[1], None, cell.score.value) for cell in cells)
    cell = replace(cells[0], row=row, seeds=count, train_seeds=count, score=_geometric(scores), sd=sd, against=against)
    cell = replace(cell, runs=runs)
    folders = {seed_of(result.cell.row)[1] or 0: folder for result in results for folder in result.folders.values()}
    return PerplexityCell(
        cell, results[0].manifest, np.mean(differences, axis=0) if is_complete else None, folders=folders
    )


def _compare_with(
    result: PerplexityCell, results: Sequence[PerplexityCell], against: Reference, resamples: int
) -> PerplexityCell:
    """Compare with the reference: seed by seed if both have several, or a single adapter with each seed."""
    other = _reference_for(result, results, against)
    result = replace(result, cell=replace(result.cell, against=None), apart=None)
    seeds = matched(result.folders, other.folders, single=True) if other else []
    pairs = [(result.folders[seed], other.folders[other_seed]) for seed, other_seed in seeds] if other else []
    read = {folder: read_likelihoods(folder) for pair in pairs for folder in pair}
    if not pairs or any(not np.array_equal(read[one].tokens, read[another].tokens) for one, another in pairs):
        return result
    formula = result.manifest["settings"]["formula"]
    statistic = statistic_of(formula)
    changes = [ratio(read[one], read[another], statistic, resamples, 0) for one, another in pairs]
    differences = np.mean([read[one].differences(read[another], formula) for one, another in pairs], axis=0)
    change = _geometric(changes) if len(changes) > 1 else changes[0]
    return replace(result, cell=replace(result.cell, against=Comparison(change, p=1.0)), apart=differences)


def _reference_for(
    result: PerplexityCell, results: Sequence[PerplexityCell], against: Reference
) -> PerplexityCell | None:
    """Return the reference of a perplexity, measured under the same conditions."""
    row, conditions = result.cell.row, conditions_of(result.manifest)
    candidates = [
        other
        for other in results
        if other.cell.column == result.cell.column
        and against.fits(row, other.cell.row)
        and conditions_of(other.manifest) == conditions
    ]
    return against.choose(row, candidates, lambda other: other.cell.row, lambda other: other.cell.seeds)


def _geometric(intervals: Sequence[Interval]) -> Interval:
    """Return a geometric mean; its interval combines the error over sentences, shared by all seeds, and over seeds."""
    value, low, high = (
        geometric_mean(getattr(interval, end) for interval in intervals) for end in ("value", "low", "high")
    )
    margin = statistics.margin(np.log([interval.value for interval in intervals]))
    return Interval(
        value,
        value * np.exp(-np.hypot(np.log(value / low), margin)),
        value * np.exp(np.hypot(np.log(high / value), margin)),
    )


def _with_conditions(results: Sequence[PerplexityCell]) -> list[PerplexityCell]:
    """Give scores that would share a place in the table distinct variants."""
    scores = [ScoreOrigin(result.cell.row, result.cell.column, result.manifest, at=result.at) for result in results]
    names = names_of_conditions(scores)
    note_unusual(
        "perplexities", [name for name, result in zip(names, results, strict=True) if result.cell.row.method != NONE]
    )
    rows = [
        result.cell.row._replace(variant=f"{result.cell.row.variant} {name}".strip())
        for result, name in zip(results, names, strict=True)
    ]
    return [replace(result, cell=replace(result.cell, row=row)) for result, row in zip(results, rows, strict=True)]


def _note_other_versions(results: Iterable[PerplexityCell], adapters: AdapterManifests) -> None:
    """Note the adapters that were measured on another version of their dataset."""
    names = set()
    for result in results:
        text, of = result.manifest.get("text") or {}, result.manifest["adapter"]
        if not of or text.get("kind") != "dataset" or of["manifest_sha256"] not in adapters:
            continue
        _, adapter = adapters[of["manifest_sha256"]]
        is_own = adapter["language"]["code"] == result.cell.row.language
        if is_own and is_other_version({**result.manifest["data"], **text}, adapter["inputs"]):
            names.add(str(of["name"]))
    if names:
        shown = ", ".join(sorted(names)[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
        warn(f"test splits that may contain training lines, since the datasets were rebuilt: {shown}.")


def _source(score: Mapping[str, Any], adapter: tuple[Path, Mapping[str, Any]] | None) -> str:
    """Return the source of an adapter; if it is not here, from its name: LANGUAGE_SOURCE_METHOD or ..._VARIANT."""
    if adapter is not None:
        folder, manifest = adapter
        return source_of_adapter(folder.name, manifest)
    return str(score["adapter"]).removeprefix(f"{score['language']}_").partition(f"_{score['method']}")[0]


def _differences(folder: Path, base_folder: Path | None, formula: str) -> NDArray[np.float64] | None:
    if base_folder is None:
        return None
    after, before = read_likelihoods(folder), read_likelihoods(base_folder)
    if not np.array_equal(after.tokens, before.tokens):
        return None  # the tokenizer has changed: sentences cannot be compared
    return after.differences(before, formula)
