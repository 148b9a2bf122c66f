"""Pseudo-perplexities of a workspace as cells of the table: with an adapter, and of the base model alone. IO."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrldata.errors import StorageError
from lrldata.manifest import (
    ADAPTER,
    MANIFEST,
    SCORES,
    DamagedError,
    damaged,
    fingerprint,
    identity,
    load_manifest,
    read_beside,
    read_manifest,
)
from lrldata.output import note
from lrldata.versions import versions_of
from lrldata.workspace import PATTERNS, is_hidden, score_path, source_of_adapter
from lrltrain.evaluation import statistics
from lrltrain.evaluation.bootstrap import ratio
from lrltrain.evaluation.likelihoods import SCORES_FILE, read_likelihoods, statistic_of
from lrltrain.evaluation.statistics import Interval
from lrltrain.reporting.conditions import Made, conditions_of, names_of_conditions
from lrltrain.reporting.current import (
    SHOWN,
    adapters_in,
    is_replaced,
    made_at,
    note_contents,
    note_replaced,
    note_unusual,
)
from lrltrain.reporting.data_names import Key, key_of, names_of
from lrltrain.reporting.reference import BASE_MODEL, Reference
from lrltrain.reporting.tables import NONE, PPPL, RESAMPLES, Cell, Column, Comparison, Row, variant_of
from lrltrain.reporting.train_seeds import joined, matched, seed_of

Measured = tuple[Path, Mapping[str, Any], Key]  # a folder, its manifest, and what was read
_AGAIN = "Measure it again with `lrltrain eval --overwrite`."


@dataclass(frozen=True)
class Found:
    """A cell, the manifest of its score, and by how much each sentence differs from what it is compared with.

    `folders` have the likelihoods of the sentences, by the seed of the adapter's training, 0 where there is one.
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
    """Return the perplexities of a workspace, each adapter's against its base model's or others'. Raises StorageError.

    Values and intervals are those of scores.json, except of changes against other adapters, which are computed here; p
    is of sign flips of the differences of sentences, as log-likelihood or, by the paper's formula, as perplexity. Two
    models are not compared, as their tokens differ. Left out are those of adapters that have been trained again since,
    and of base models on a text that was replaced by one of its name on which adapters were measured. With `together`,
    adapters that differ in the seed of their training alone have one cell.
    """
    sources, here = dict(_sources(workspace)), adapters_in(workspace)
    found = [*_measured(workspace)]
    replaced = [str(manifest["adapter"]["name"]) for _, manifest, _ in found if is_replaced(manifest, here)]
    note_replaced("perplexities", replaced)
    measured = _on_current_texts([each for each in found if not is_replaced(each[1], here)])
    called = names_of(key for _, _, key in measured)
    note_contents(called)
    measured.sort(key=lambda each: versions_of(each[1]["made_with"]), reverse=True)  # the newest come first, and stay
    alone: dict[str, dict[str, Path]] = {}
    for folder, manifest, _ in measured:
        if manifest["adapter"] is None:
            alone.setdefault(_alike(manifest, folder), {}).setdefault(fingerprint(manifest["made_with"]), folder)
    older: list[str] = []
    cells: dict[tuple[str, str], Found] = {}
    for folder, manifest, key in measured:
        score = read_beside(folder, SCORES_FILE)
        if score is None:
            continue  # the likelihoods of a base model, which the scores of adapters have as `before`
        at = made_at(folder)
        column, alike = Column(PPPL, called[key], str(score["metric"])), _alike(manifest, folder)
        of_base = alone.get(alike, {})
        with_it = of_base.get(fingerprint(manifest["made_with"]), next(iter(of_base.values()), None))
        base = Row(score["language"], score["base"], NONE, None)
        before = Cell(base, column, 1, score["sentences"], Interval(**(score["before"] or score["after"])))
        alone_as, alone_in = {**manifest, "adapter": None}, {0: with_it} if with_it else {}
        cells.setdefault((alike, ""), Found(before, alone_as, at=at, folders=alone_in))
        if score["adapter"] is None:
            continue
        hashed = str(manifest["adapter"]["manifest_sha256"])
        if (alike, hashed) in cells:
            older.append(", ".join(f"{name} {version}" for name, version in sorted(manifest["made_with"].items())))
            continue
        row = base._replace(method=score["method"], source=sources.get(hashed) or _source(score))
        row = row._replace(variant=variant_of(str(score["adapter"]), row))
        apart = _apart(folder, with_it, manifest["settings"]["formula"]) if score["ratio"] else None
        change = None if apart is None else Comparison(Interval(**score["ratio"]), p=1.0)
        cell = Cell(row, column, 1, score["sentences"], Interval(**score["after"]), against=change)
        cells[alike, hashed] = Found(cell, manifest, apart, at, {0: folder})
    if older:
        told_of = "; ".join(sorted(set(older))[:SHOWN])
        note(f"note: {len(older):,} perplexities are left out that were measured again by newer versions: {told_of}.")
    told = _told_apart(list(cells.values()))
    if together:
        told = joined("perplexities", told, _place, _join)
    if against != BASE_MODEL:
        told = [_compared(each, told, against, resamples) for each in told]
    return [_tested_by_sentence(each, times) for each in told]


def _tested_by_sentence(found: Found, times: int) -> Cell:
    cell, apart = found.cell, found.apart
    cell = replace(cell, runs=cell.runs or ((None, None, cell.score.value),))
    if cell.against is None or apart is None:
        return cell
    return replace(cell, against=replace(cell.against, p=statistics.sign_flips(apart, times, seed=0)))


def _place(found: Found) -> tuple[Row, Hashable]:
    """Return where a perplexity is in the table, and what else those have in common that are joined."""
    return found.cell.row, (found.cell.column, found.cell.items, fingerprint(conditions_of(found.manifest)))


def _join(row: Row, several: list[Found]) -> Found:
    """Make one of adapters from several seeds, by geometric means, with intervals over sentences and seeds."""
    cells = [each.cell for each in several]
    if len(cells) == 1:
        return replace(several[0], cell=replace(cells[0], row=row))
    scores, changes = [cell.score for cell in cells], [cell.against.change for cell in cells if cell.against]
    aparts = [each.apart for each in several if each.apart is not None]
    whole = len(aparts) == len(changes) == len(cells) and len({len(each) for each in aparts}) == 1
    against = Comparison(_geometric(changes), p=1.0) if whole else None
    sd = statistics.deviation([score.value for score in scores])
    many = len(cells)
    runs = tuple((seed_of(cell.row)[1], None, cell.score.value) for cell in cells)
    cell = replace(cells[0], row=row, seeds=many, train_seeds=many, score=_geometric(scores), sd=sd, against=against)
    cell = replace(cell, runs=runs)
    folders = {seed_of(each.cell.row)[1] or 0: folder for each in several for folder in each.folders.values()}
    return Found(cell, several[0].manifest, np.mean(aparts, axis=0) if whole else None, folders=folders)


def _compared(found: Found, every: Sequence[Found], against: Reference, resamples: int) -> Found:
    """Compare with what is named: adapters of several seeds one by one, a single one with each."""
    other = _other(found, every, against)
    found = replace(found, cell=replace(found.cell, against=None), apart=None)
    seeds = matched(found.folders, other.folders, single=True) if other else []
    pairs = [(found.folders[mine], other.folders[its]) for mine, its in seeds] if other else []
    read = {folder: read_likelihoods(folder) for pair in pairs for folder in pair}
    if not pairs or any(not np.array_equal(read[one].tokens, read[another].tokens) for one, another in pairs):
        return found
    formula = found.manifest["settings"]["formula"]
    statistic = statistic_of(formula)
    changes = [ratio(read[one], read[another], statistic, resamples, 0) for one, another in pairs]
    apart = np.mean([read[one].differences(read[another], formula) for one, another in pairs], axis=0)
    change = _geometric(changes) if len(changes) > 1 else changes[0]
    return replace(found, cell=replace(found.cell, against=Comparison(change, p=1.0)), apart=apart)


def _other(found: Found, every: Sequence[Found], against: Reference) -> Found | None:
    """Return what is compared with, under the same conditions."""
    row, conditions = found.cell.row, conditions_of(found.manifest)
    fitting = [
        each
        for each in every
        if each.cell.column == found.cell.column
        and against.fits(row, each.cell.row)
        and conditions_of(each.manifest) == conditions
    ]
    return against.choose(row, fitting, lambda each: each.cell.row, lambda each: each.cell.seeds)


def _geometric(intervals: Sequence[Interval]) -> Interval:
    """Return the geometric mean; how far its ends are away adds up from sentences, all seeds' alike, and from seeds."""
    value, low, high = (geometric_mean(getattr(each, end) for each in intervals) for end in ("value", "low", "high"))
    apart = statistics.margin(np.log([each.value for each in intervals]))
    return Interval(
        value,
        value * np.exp(-np.hypot(np.log(value / low), apart)),
        value * np.exp(np.hypot(np.log(high / value), apart)),
    )


def _on_current_texts(measured: Sequence[Measured]) -> list[Measured]:
    """Leave out what was measured of base models alone, on a text of whose name there is one with adapters too."""
    texts = [(manifest["base"]["id"], key) for _, manifest, key in measured]
    adapted = {text for text, (_, manifest, _) in zip(texts, measured, strict=True) if manifest["adapter"]}
    named = {(base, key._replace(content="")) for base, key in adapted}
    kept = [
        each
        for (base, key), each in zip(texts, measured, strict=True)
        if (base, key) in adapted or (base, key._replace(content="")) not in named
    ]
    if gone := len(measured) - len(kept):
        note(f"note: {gone:,} perplexities of base models are left out, of texts that no adapter here was measured on.")
    return kept


def _told_apart(found: Sequence[Found]) -> list[Found]:
    """Name what else would share a place in the table."""
    made = [Made(each.cell.row, each.cell.column, each.manifest, at=each.at) for each in found]
    names = names_of_conditions(made)
    note_unusual(
        "perplexities", [name for name, each in zip(names, found, strict=True) if each.cell.row.method != NONE]
    )
    rows = [
        each.cell.row._replace(variant=f"{each.cell.row.variant} {name}".strip())
        for each, name in zip(found, names, strict=True)
    ]
    return [replace(each, cell=replace(each.cell, row=row)) for each, row in zip(found, rows, strict=True)]


def _measured(workspace: Path) -> Iterator[Measured]:
    """Yield the folders of scores with what was read.

    A text that has no more sentences than were read of others of its name at most is one of them.
    """
    found = [*_scored(workspace)]
    limits: dict[str, set[int]] = {}
    for _, each in found:
        if limit := (each.get("text") or {}).get("limit"):
            limits.setdefault(str(each["data"]["name"]), set()).add(limit)
    for folder, manifest in found:
        data, limit = manifest["data"], (manifest.get("text") or {}).get("limit")
        if limit is None:
            count, others = data.get("sentences"), limits.get(str(data["name"]), ())
            limit = min((each for each in others if count and count <= each), default=None)
        yield folder, manifest, key_of(folder.relative_to(workspace).parts[1], PPPL, data, limit)


def _scored(workspace: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for folder in sorted(workspace.glob(score_path("*", "*", "*", f"{PPPL}-*"))):
        if is_hidden(folder, workspace):
            continue  # of an exchange that was interrupted, or of another program
        try:
            manifest = load_manifest(folder, SCORES)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except DamagedError as error:
            raise DamagedError(error.message, _AGAIN) from error
        for fault in damaged(folder, manifest):
            raise StorageError(f"{folder}: {fault}.", _AGAIN)
        yield folder, manifest


def _sources(workspace: Path) -> Iterator[tuple[str, str]]:
    """Yield the source of each adapter in the workspace by the hash of its manifest."""
    for path in sorted(workspace.glob(f"{PATTERNS[ADAPTER]}/{MANIFEST}")):
        manifest = read_manifest(path.parent, ADAPTER)
        if manifest is not None:
            yield identity(path.parent, manifest), source_of_adapter(path.parent.name, manifest)


def _source(score: Mapping[str, Any]) -> str:
    """Return the source by the adapter's name, LANGUAGE_SOURCE_METHOD or LANGUAGE_SOURCE_METHOD_VARIANT."""
    return str(score["adapter"]).removeprefix(f"{score['language']}_").partition(f"_{score['method']}")[0]


def _alike(manifest: Mapping[str, Any], folder: Path) -> str:
    """Return what an adapter's score and that of its base model have in common."""
    return fingerprint([folder.parents[1].as_posix(), *(manifest[key] for key in ("data", "base", "settings"))])


def _apart(folder: Path, alone: Path | None, formula: str) -> NDArray[np.float64] | None:
    if alone is None:
        return None
    after, before = read_likelihoods(folder), read_likelihoods(alone)
    if not np.array_equal(after.tokens, before.tokens):
        return None  # a tokenizer that changed: sentences cannot be compared
    return after.differences(before, formula)
