"""The pipeline of `lrldata build --source glotcc` and `--source web`: from documents to a dataset folder."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lrldata.card import folder_card
from lrldata.code_version import code_version
from lrldata.dataset import write_dataset
from lrldata.engine import WorkerPool
from lrldata.errors import IncompleteError, NoDataError
from lrldata.folder import discard, lock, sweep
from lrldata.langid import NO_MODEL
from lrldata.language import Language, parse
from lrldata.ledger import Ledger, from_json
from lrldata.manifest import DATASET, fingerprint, is_unchanged, made_with, read_manifest
from lrldata.output import note
from lrldata.progress import Progress
from lrldata.review.decisions import read_decisions, record_judged
from lrldata.split import SPLITS
from lrldata.web import restore, stages
from lrldata.web.bundles import make_bundles
from lrldata.web.chunks import Part
from lrldata.web.clean import rules, shares_letters
from lrldata.web.config import REPOSITORY, WebConfig
from lrldata.web.corpus import Selection, choose, judge_all
from lrldata.web.document_filters import OF_PAGES, thresholds
from lrldata.web.hints import hint_on_nothing, note_kin, note_private, note_sentences
from lrldata.web.inputs import describe_left_out
from lrldata.web.plan import BuildInput, folder_of, resolve_input
from lrldata.web.scripts import requested_scripts
from lrldata.web.shards import Columns, Shard
from lrldata.web.totals import Totals
from lrldata.workspace import Dataset

LIBRARIES = ("polars", "xxhash", "ftfy", "rensa", "pyarrow")


@dataclass(frozen=True)
class CleanedCorpus:
    """The cleaned rows of a corpus, as shards per split, and an account of what was dropped."""

    shards: Mapping[str, Sequence[Path]]
    ledger: Ledger
    replaced: Mapping[str, int]
    samples: Mapping[str, Any]
    skipped: Mapping[str, str]
    columns: Mapping[str, int]  # number of documents per text column
    private: int  # rows with private-use characters

    def rows(self, split: str) -> Iterator[pl.DataFrame]:
        """Yield the rows of a split (columns of schema.WEB), one shard at a time."""
        return (stages.read_rows(path) for path in self.shards[split])


def build_web(config: WebConfig, progress: Progress) -> list[Dataset]:
    """Build the datasets that `config` asks for from documents. Unchanged datasets are left alone. Raises LrlError.

    A language that has no input, or none of whose lines are kept, does not stop the others: IncompleteError names it
    once the others are built. A problem that affects all languages, such as an unreadable file, stops the build.
    """
    requested = parse(config.lang)
    for language in requested:
        requested_scripts(language, config.lang, config.scripts)
    built: list[Dataset] = []
    errors: list[NoDataError] = []
    for language in requested:
        try:
            dataset = _build_one(config, language, progress)
        except NoDataError as error:
            if len(requested) == 1:
                raise
            outcome = error.message
            errors.append(error)
        else:
            record_judged(config.verdicts, dataset.path, language.code, config.source)
            outcome = f"{dataset.status}, {sum(dataset.rows.values()):,} rows"
            built.append(dataset)
        if len(requested) > 1:
            progress.log(f"{language.name} ({language.code}): {outcome}")
    if errors:
        hint = f"{errors[0].hint} The other datasets are built." if built else errors[0].hint
        raise IncompleteError(" ".join(error.message for error in errors), hint, built)
    return built


def _build_one(config: WebConfig, language: Language, progress: Progress) -> Dataset:
    began = time.perf_counter()
    folder = folder_of(config, language)
    inputs, task, recipe, work = _prepare(config, language)
    shards = inputs.shards
    for line in describe_left_out(inputs.unexpected()):
        note(f"{config.input}: {line}.")
    target = folder.resolve()
    if not config.force and (existing := _existing_dataset(language, folder, recipe, inputs)):
        sweep(target)
        sweep(work)  # but not what is in it: a build into another folder may resume from there
        return existing
    with lock(work), lock(target):
        if not config.force and (existing := _existing_dataset(language, folder, recipe, inputs)):
            return existing  # another process has built it in the meantime
        cleaned = clean_corpus(config, task, shards, work, progress)
        skipped = dict(sorted({**inputs.skipped, **cleaned.skipped}.items()))
        if not cleaned.ledger.kept.rows:
            reasons = ", ".join(f"{reason} {tally.rows:,}" for reason, tally in cleaned.ledger.dropped.items())
            total = f"{cleaned.ledger.came_in.rows:,} lines of {language.name}"
            note_kin(language, cleaned.ledger)
            discard(work)
            skipped_note = f" Skipped: {', '.join(list(skipped)[:3])}{', ...' * (len(skipped) > 3)}." if skipped else ""
            hint = hint_on_nothing(config, cleaned.ledger)
            raise NoDataError(f"Nothing is left of {total}: {reasons or 'no text'}.{skipped_note}", hint)
        account: dict[str, Any] = {"ledger": cleaned.ledger.as_json(), "replaced": cleaned.replaced, "skipped": skipped}
        # Record only what deviates from the default, so that other manifests keep their bytes.
        account |= {"left_out": inputs.left_out} if inputs.left_out else {}
        account |= {"text_column": dict(cleaned.columns)} if len(cleaned.columns) > 1 else {}
        account |= {"private_use": cleaned.private} if cleaned.private else {}
        with progress.waiting("Writing"):
            manifest = write_dataset(
                target,
                {split: cleaned.rows(split) for split in SPLITS},
                lambda manifest: folder_card(manifest, language),
                {**recipe, "recipe": fingerprint(recipe), **account},
                json.dumps(cleaned.samples, ensure_ascii=False, indent=1) + "\n",
            )
        discard(work)
    note_kin(language, cleaned.ledger)
    note_sentences(config, cleaned.ledger, manifest["rows"])
    note_private(language, cleaned.private, sum(manifest["rows"].values()))
    seconds, notes = time.perf_counter() - began, _notes(manifest)
    return Dataset(language, folder, manifest["version"], "built", manifest["rows"], cleaned.ledger, seconds, notes)


def _existing_dataset(
    language: Language, folder: Path, recipe: Mapping[str, Any], inputs: BuildInput
) -> Dataset | None:
    """Return the existing dataset if a build would produce the same one, else None."""
    if not is_unchanged(folder, DATASET, fingerprint(recipe)):
        return None
    manifest = read_manifest(folder, DATASET) or {}
    if manifest.get("left_out", {}) != inputs.left_out or not inputs.skipped.items() <= manifest["skipped"].items():
        return None
    ledger, notes = from_json(manifest["ledger"]), _notes(manifest)
    return Dataset(language, folder, manifest["version"], "unchanged", manifest["rows"], ledger, 0.0, notes)


def _notes(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest entries that describe irregular input: files skipped or left out, several text columns."""
    return {key: manifest[key] for key in ("skipped", "left_out", "text_column") if manifest.get(key)}


def judge_bundle(config: WebConfig, number: int) -> Path:
    """Run the line-level steps on one bundle of a language's files (numbered from 0); return the folder of its parts.

    `build_web` reuses that folder, so the files of a language can be distributed over several machines. Raises
    LrlError.
    """
    (language,) = parse(config.lang)
    inputs, task, _, work = _prepare(config, language)
    bundle = make_bundles(inputs.shards)[number]
    with WorkerPool(config.workers) as pool:
        judge_all(task, [bundle], _columns(config), work, pool, lambda _: None, skip_bad=config.skip_bad)
    return work / bundle.name


def scratch_of(config: WebConfig) -> Path:
    """Return the folder for the intermediate files of a language's build. Raises LrlError."""
    (language,) = parse(config.lang)
    return _prepare(config, language)[3]


def _prepare(config: WebConfig, language: Language) -> tuple[BuildInput, stages.Task, dict[str, Any], Path]:
    """Return the input, the task for the worker processes, the recipe, and the folder for intermediate files."""
    inputs = resolve_input(config, language)
    scripts = requested_scripts(language, config.lang, config.scripts)
    protect = tuple(config.protect)
    decided = read_decisions(config.verdicts, language.code, config.source)
    task = stages.Task(
        language.code,
        config.lid,
        config.cache,
        protect,
        config.benchmarks,
        config.unit,
        scripts,
        handles=config.handles,
        decided=decided,
        sentences=config.documents == "lines",
    )
    recipe = _recipe(config, task, inputs.shards, inputs.revision)
    return inputs, task, recipe, (config.scratch or config.cache / "glotcc") / fingerprint(recipe)[:16]


def _columns(config: WebConfig) -> Columns:
    return Columns(config.text_column, config.url_column, lines=config.documents == "lines")


def clean_corpus(
    config: WebConfig, task: stages.Task, shards: Sequence[Shard], work: Path, progress: Progress
) -> CleanedCorpus:
    """Clean the documents of all shards; `work` holds intermediate files, some of which may already exist."""
    workers = config.workers if sum(shard.size for shard in shards) > config.workers * _SMALL else 1
    columns = _columns(config)
    with WorkerPool(workers) as pool:
        with progress.bytes(f"Cleaning {task.language}", None) as advance:
            bundles = make_bundles(shards)
            parts, skipped = judge_all(task, bundles, columns, work, pool, advance, skip_bad=config.skip_bad)
        with progress.waiting("Comparing documents"):
            chosen = choose(task, parts, work, pool, most=config.max_bytes, memory=config.memory)
        totals = Totals()
        for part in parts:
            totals.add_judged(part.summary())
        with progress.waiting("Gathering"):
            for summary in _write_parts(task, parts, chosen, work, pool):
                totals.add_written(summary)
            restored = restore.restored_rows(parts, chosen.drop_codes, task.decided)
            restore.write_restored(restored, chosen.places, work / "rows")
    without = {shard.name for shard in shards} - totals.with_text - skipped.keys()
    skipped |= dict.fromkeys(without, "it holds no text")
    rows = work / "rows"
    split_shards = {
        split: sorted(rows.glob(f"{split}-*"), key=lambda path: int(path.name.split("-")[1])) for split in SPLITS
    }
    ledger = totals.ledger(restored)
    return CleanedCorpus(
        split_shards,
        ledger,
        totals.replacements(restored),
        totals.sample_report(ledger, restored),
        skipped,
        dict(sorted(totals.columns.items())),
        totals.private,
    )


_SMALL = 2_000_000  # bytes of input per process below which starting one costs more than it saves


def _write_parts(
    task: stages.Task, parts: Sequence[Part], chosen: Selection, work: Path, pool: WorkerPool
) -> Iterator[dict[str, Any]]:
    """Write the kept rows into one folder per shard of the dataset; yield the counts of each part, in any order."""
    rows = work / "rows"
    shutil.rmtree(rows, ignore_errors=True)
    for split, shard in chosen.places.select("split", "shard").unique().iter_rows():
        rows.joinpath(f"{split}-{shard}").mkdir(parents=True)
    jobs = (
        (
            task,
            part,
            chosen.drop_codes[number],
            chosen.places.filter(pl.col("part") == number).drop("part"),
            rows,
        )
        for number, part in enumerate(parts)
    )
    yield from pool.imap_unordered(stages.write, jobs)


def _recipe(config: WebConfig, task: stages.Task, shards: Sequence[Shard], revision: str | None) -> dict[str, Any]:
    """Return everything that shapes a dataset: input, settings, rules, model, language and library versions."""
    context = stages.context_of(task)
    model, limits = context.model, thresholds(task.language)
    binding = [] if model is None else ["fasttext-new" if model.binding == "fasttext_new" else "fasttext-community"]
    identifier = {"lid": model.name, "lid_sha256": model.sha256} if model else {"lid": NO_MODEL}
    disabled = {"without": [*OF_PAGES, "repeated_line"]} if task.sentences else {}
    letters = {"foreign_letters": "kept"} if model and shares_letters(context.language) else {}
    numbers = {"rules": {**rules(), **limits, **disabled, **letters}, **identifier}
    return {
        "source": config.source,
        "language": context.language.model_dump(exclude_none=True, exclude={"paper"}, mode="json"),
        "settings": config.recipe() | numbers | ({"scripts": list(task.scripts)} if task.scripts else {}),
        "protected": list(context.protected.named) if context.protected else [],
        "repository": {"id": REPOSITORY, "revision": revision} if revision else None,
        "inputs": [shard.entry() for shard in shards],
        "sample": config.sample,
        "made_with": made_with(*LIBRARIES, *binding) | {"lrl": code_version()},
        **({"verdicts": task.decided.as_json()} if task.decided else {}),
    }
