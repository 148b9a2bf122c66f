"""Task scores as artifacts: one folder per run, with the predictions for all items, from which all scores are computed.

    WORKSPACE/scores/LANGUAGE/BASE/NAME/TASK-DATA-HASH/seed-SEED/{manifest.json, predictions.parquet, run.json}

A finished run is never repeated, and an interrupted one has no manifest. IO.
"""

import glob
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from lrldata.folder import LOCKS, lock, replaced
from lrldata.layout import TASK_RUNS, is_hidden, score_path
from lrldata.locks import wait_for_lock
from lrldata.manifest import (
    MANIFEST,
    SCORES,
    DamagedError,
    file_entry,
    fingerprint,
    is_unchanged,
    load_manifest,
    read_manifest,
    write_json,
    write_manifest,
)
from lrldata.versions import versions_of
from lrltrain.names import base_name

PREDICTIONS, CIRCUMSTANCES = "predictions.parquet", "run.json"
NOT_NEEDED = (CIRCUMSTANCES,)  # may be missing from a copy of a run
TASKS = {"topic": "macro_f1", "sentiment": "macro_f1", "ner": "f1"}  # with the main metric of each
PPPL: Final = "pppl"  # the task of perplexity and pseudo-perplexity
NONE = "none"  # the method without a language adapter, which is the default reference
WITH = "+"  # in the method of a prompted model with an adapter, such as prompt-0+lora
FROM = "-from-"  # in the method of a model that learned the task in another language
OF_TASK = "-task"  # suffix of the method of a fusion whose layers learned the task
_RUN = re.compile(r"seed-\d+")


@dataclass(frozen=True)
class Run:
    """One run of a task: a method on one language and data set, with one seed."""

    folder: Path
    manifest: Mapping[str, Any] = field(repr=False, hash=False)

    @property
    def language(self) -> str:
        """Return the code of the language that was tested."""
        return str(self.manifest["language"])

    @property
    def task(self) -> str:
        """Return topic, sentiment or ner."""
        return str(self.manifest["task"])

    @property
    def data(self) -> str:
        """Return the name of the data set."""
        return str(self.manifest["data"]["name"])

    @property
    def base(self) -> str:
        """Return the id of the base model, or of the model that was prompted."""
        return str(self.manifest["base"]["id"])

    @property
    def method(self) -> str:
        """Return none (no language adapter), seq_bn, seq_bn_inv, lora, full, fusion, fusion-task, prompt-0, ..."""
        return str(self.manifest["method"])

    @property
    def source(self) -> str | None:
        """Return the source of the text that the language adapter was trained on; None if there is none."""
        source = self.manifest["source"]
        return str(source) if source is not None else None

    @property
    def seed(self) -> int:
        """Return the seed."""
        return int(self.manifest["settings"]["seed"])

    @property
    def result(self) -> Mapping[str, float]:
        """Return the scores by metric, 0 to 1, including the one in TASKS."""
        result: Mapping[str, float] = self.manifest["result"]
        return result

    @property
    def circumstances(self) -> dict[str, Any]:
        """Return what may differ when the run is repeated, such as seconds; empty if run.json is missing."""
        file = self.folder / CIRCUMSTANCES
        return dict(json.loads(file.read_text("utf-8"))) if file.is_file() else {}

    @property
    def predictions(self) -> pl.DataFrame:
        """Read the predictions, one row per item of the test set: item (its number there, from 0), gold and predicted.

        Each is a label, or for ner a list of tags, both of equal length. An answer that is no label is null. The frame
        is not cached. In runs of a sample (--limit) made by earlier versions, items are numbered within the sample.
        """
        with (self.folder / PREDICTIONS).open("rb") as stream:  # polars would read its path as a pattern
            return pl.read_parquet(stream)


def folder_of(out: Path, recipe: Mapping[str, Any], name: str) -> Path:
    """Return where a run belongs; runs that differ only in their seed are next to each other."""
    without_seed = {**recipe, "settings": {key: value for key, value in recipe["settings"].items() if key != "seed"}}
    measure = f"{recipe['task']}-{recipe['data']['name']}-{fingerprint(without_seed)[:8]}"
    base, seed = base_name(recipe["base"]["id"]), recipe["settings"]["seed"]
    return out / score_path(recipe["language"], base, name, measure, seed)


def find_run(folder: Path, recipe: Mapping[str, Any]) -> Run | None:
    """Return the run in the folder if it is finished, undamaged, and made with this recipe."""
    if not is_unchanged(folder, SCORES, fingerprint(recipe), NOT_NEEDED):
        return None
    return Run(folder, read_manifest(folder, SCORES) or {})


def earlier_run(folder: Path, recipe: Mapping[str, Any]) -> Run | None:
    """Return the newest finished run with this recipe by other versions; `folder` is where this run belongs."""
    same_data = folder.parent.name.rpartition("-")[0]
    runs = []
    for other in sorted(folder.parent.parent.glob(f"{glob.escape(same_data)}-*/{folder.name}")):
        manifest = read_manifest(other, SCORES) or {}
        their_recipe = {**recipe, "made_with": manifest.get("made_with")}
        if other != folder and is_unchanged(other, SCORES, fingerprint(their_recipe), NOT_NEEDED):
            runs.append(Run(other, manifest))
    return max(runs, key=lambda run: versions_of(run.manifest["made_with"]), default=None)


@contextmanager
def exclusive(folders: Iterable[Path]) -> Iterator[None]:
    """Let no other process make these runs meanwhile; wait if one does. Afterwards, look for finished runs again."""
    with ExitStack() as stack:
        for home in sorted(folder.resolve() for folder in folders):
            locks = home.parent / LOCKS
            locks.mkdir(parents=True, exist_ok=True)
            reason = f"{home}: another process is working on it"
            stack.enter_context(wait_for_lock(locks / f"{home.name}.making", reason))
        yield


def write_run(
    folder: Path,
    recipe: Mapping[str, Any],
    predictions: pl.DataFrame,
    result: Mapping[str, float],
    circumstances: Mapping[str, Any] | None = None,
    **more: Any,
) -> Run:
    """Write a finished run.

    `recipe` has everything that shapes the run: task, language, data (name, files with hashes, counts), base (id,
    revision), adapter (name and manifest_sha256, or None), method, source, settings (with seed), made_with. `more` has
    other findings, such as overlap, contamination, tokens or cost, as JSON-like values. `circumstances` may differ when
    the run is repeated, such as seconds; they go to run.json and not into the manifest's own hash.
    """
    home = folder.resolve()
    with lock(home), replaced(home, {MANIFEST, PREDICTIONS, CIRCUMSTANCES}.__contains__, "a run") as partial:
        with (partial / PREDICTIONS).open("wb") as stream:
            predictions.write_parquet(stream, compression="zstd", statistics=False)
        outputs = [file_entry(partial / PREDICTIONS, partial)]
        manifest = {**recipe, "recipe": fingerprint(recipe), "result": dict(result), **more, "outputs": outputs}
        if circumstances:
            write_json(partial / CIRCUMSTANCES, circumstances)
            manifest |= {"run": file_entry(partial / CIRCUMSTANCES, partial)}
        written = write_manifest(partial / MANIFEST, SCORES, manifest)
    return Run(folder, written)


def runs_in(workspace: Path) -> Iterator[Run]:
    """Yield the finished runs of a workspace, in folder order. Raises DamagedError."""
    for path in sorted(workspace.glob(TASK_RUNS)):
        if is_hidden(path, workspace):
            continue  # left by an interrupted replacement, or by another program
        try:
            manifest = load_manifest(path, SCORES)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except DamagedError as error:
            raise DamagedError(error.message, "Measure it again with `lrltrain eval --overwrite`.") from error
        if _RUN.fullmatch(path.name) and manifest["task"] in TASKS:
            yield Run(path, manifest)
