"""The pseudo-perplexities of a workspace as cells of the table, with adapters and of base models alone. IO."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrldata.errors import StorageError
from lrldata.layout import is_hidden, score_path, source_of_adapter
from lrldata.manifest import (
    SCORES,
    DamagedError,
    damaged,
    fingerprint,
    load_manifest,
    read_beside,
)
from lrldata.output import note, warn
from lrldata.versions import is_other_version, versions_of
from lrltrain.evaluation import statistics
from lrltrain.evaluation.bootstrap import ratio
from lrltrain.evaluation.likelihoods import SCORES_FILE, read_likelihoods, statistic_of
from lrltrain.evaluation.record import NONE, PPPL
from lrltrain.evaluation.significance import several_sign_flips
from lrltrain.evaluation.statistics import Interval
from lrltrain.reporting.conditions import ScoreOrigin, conditions_of, names_of_conditions
from lrltrain.reporting.current import (
    SHOWN,
    adapter_manifests,
    by_name,
    is_replaced,
    made_at,
    note_contents,
    note_replaced,
    note_unusual,
)
from lrltrain.reporting.data_names import Key, key_of, names_of
from lrltrain.reporting.reference import BASE_MODEL, Reference
from lrltrain.reporting.tables import RESAMPLES, Cell, Column, Comparison, Row, variant_of
from lrltrain.reporting.train_seeds import joined, matched, seed_of

Measured = tuple[Path, Mapping[str, Any], Key]  # a folder, its manifest, and the key of its text
_MEASURE_AGAIN = "Measure it again with `lrltrain eval --overwrite`."


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
    perplexity. Different base models are not compared, because their tokens differ. Perplexities of adapters that have
    since been retrained are left out, and so are those of base models on an old text, if adapters were measured on
    another text of the same name. With `together`, adapters that differ only in their training seed share one cell.
    """
    folders_and_manifests = adapter_manifests(workspace)
    adapters = by_name(folders_and_manifests)
    manifests = {
        digest: {**manifest, "source": source_of_adapter(folder.name, manifest)}
        for digest, (folder, manifest) in folders_and_manifests.items()
    }
    entries = [*_measured(workspace)]
    replaced = [str(manifest["adapter"]["name"]) for _, manifest, _ in entries if is_replaced(manifest, adapters)]
    note_replaced("perplexities", replaced)
    measured = _on_current_texts([entry for entry in entries if not is_replaced(entry[1], adapters)])
    names = names_of(key for _, _, key in measured)
    note_contents(names)
    measured.sort(key=lambda entry: versions_of(entry[1]["made_with"]), reverse=True)  # keep the newest of duplicates
    base_folders: dict[str, dict[str, Path]] = {}
    for folder, manifest, _ in measured:
        if manifest["adapter"] is None:
            base_folders.setdefault(_base_key(manifest, folder), {}).setdefault(
                fingerprint(manifest["made_with"]), folder
            )
    older: list[str] = []
    cells: dict[tuple[str, str], PerplexityCell] = {}
    for folder, manifest, key in measured:
        score = read_beside(folder, SCORES_FILE)
        if score is None:
            continue  # likelihoods of a base model; the scores of adapters contain it as `before`
        at = made_at(folder)
        column, base_key = Column(PPPL, names[key], str(score["metric"])), _base_key(manifest, folder)
        folders_of_base = base_folders.get(base_key, {})
        base_folder = folders_of_base.get(
            fingerprint(manifest["made_with"]), next(iter(folders_of_base.values()), None)
        )
        base = Row(score["language"], score["base"], NONE, None)
        before = Cell(base, column, 1, score["sentences"], Interval(**(score["before"] or score["after"])))
        base_manifest, base_by_seed = {**manifest, "adapter": None}, {0: base_folder} if base_folder else {}
        cells.setdefault((base_key, ""), PerplexityCell(before, base_manifest, at=at, folders=base_by_seed))
        if score["adapter"] is None:
            continue
        adapter_hash = str(manifest["adapter"]["manifest_sha256"])
        if (base_key, adapter_hash) in cells:
            older.append(", ".join(f"{name} {version}" for name, version in sorted(manifest["made_with"].items())))
            continue
        row = base._replace(method=score["method"], source=_source(score, manifests.get(adapter_hash)))
        row = row._replace(variant=variant_of(str(score["adapter"]), row))
        differences = _differences(folder, base_folder, manifest["settings"]["formula"]) if score["ratio"] else None
        change = None if differences is None else Comparison(Interval(**score["ratio"]), p=1.0)
        cell = Cell(row, column, 1, score["sentences"], Interval(**score["after"]), against=change)
        cells[base_key, adapter_hash] = PerplexityCell(cell, manifest, differences, at, {0: folder})
    if older:
        versions = "; ".join(sorted(set(older))[:SHOWN])
        note(f"{len(older):,} perplexities are left out, because newer versions measured them again: {versions}.")
    _note_other_versions(cells.values(), manifests)
    results = _with_conditions(list(cells.values()))
    if together:
        results = joined("perplexities", results, _join_key, _join)
    if against != BASE_MODEL:
        results = [_compare_with(result, results, against, resamples) for result in results]
    compared = ((number, result.apart) for number, result in enumerate(results) if result.cell.against is not None)
    ps = several_sign_flips({number: apart for number, apart in compared if apart is not None}, times, seed=0)
    return [_with_p(result.cell, ps.get(number)) for number, result in enumerate(results)]


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


def _on_current_texts(measured: Sequence[Measured]) -> list[Measured]:
    """Leave out base models on a text without adapters, if another text of the same name has adapters."""
    texts = [(manifest["base"]["id"], key) for _, manifest, key in measured]
    adapted = {text for text, (_, manifest, _) in zip(texts, measured, strict=True) if manifest["adapter"]}
    names = {(base, key._replace(content="")) for base, key in adapted}
    kept = [
        entry
        for (base, key), entry in zip(texts, measured, strict=True)
        if (base, key) in adapted or (base, key._replace(content="")) not in names
    ]
    if dropped := len(measured) - len(kept):
        note(f"{dropped:,} perplexities of base models are left out: no adapter here was measured on their texts.")
    return kept


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
        yield folder, manifest, key_of(folder.relative_to(workspace).parts[1], PPPL, data, limit)


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


def _note_other_versions(results: Iterable[PerplexityCell], adapters: Mapping[str, Mapping[str, Any]]) -> None:
    """Note the adapters that were measured on another version of their dataset."""
    names = set()
    for result in results:
        text, of = result.manifest.get("text") or {}, result.manifest["adapter"]
        adapter = adapters.get(of["manifest_sha256"]) if of and text.get("kind") == "dataset" else None
        is_own = adapter is not None and adapter["language"]["code"] == result.cell.row.language
        if adapter and is_own and is_other_version({**result.manifest["data"], **text}, adapter["inputs"]):
            names.add(str(of["name"]))
    if names:
        shown = ", ".join(sorted(names)[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
        warn(f"test splits that may contain training lines, since the datasets were rebuilt: {shown}.")


def _source(score: Mapping[str, Any], adapter: Mapping[str, Any] | None) -> str:
    """Return the source of an adapter; if it is not here, from its name: LANGUAGE_SOURCE_METHOD or ..._VARIANT."""
    if adapter is not None:
        return str(adapter["source"])
    return str(score["adapter"]).removeprefix(f"{score['language']}_").partition(f"_{score['method']}")[0]


def _base_key(manifest: Mapping[str, Any], folder: Path) -> str:
    """Return a key that the score of an adapter shares with that of its base model."""
    return fingerprint([folder.parents[1].as_posix(), *(manifest[key] for key in ("data", "base", "settings"))])


def _differences(folder: Path, base_folder: Path | None, formula: str) -> NDArray[np.float64] | None:
    if base_folder is None:
        return None
    after, before = read_likelihoods(folder), read_likelihoods(base_folder)
    if not np.array_equal(after.tokens, before.tokens):
        return None  # the tokenizer has changed: sentences cannot be compared
    return after.differences(before, formula)
