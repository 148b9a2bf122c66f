"""The pipeline of `lrldata build --source glotcc` and `--source web`: from documents to a dataset folder."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lrldata.card import folder_card
from lrldata.dataset import write_dataset
from lrldata.engine import WorkerPool
from lrldata.errors import IncompleteError, NothingError
from lrldata.folder import discard, lock
from lrldata.langid import NO_MODEL
from lrldata.language import Language, parse
from lrldata.ledger import Ledger, Tally, from_json, reasons_of
from lrldata.manifest import DATASET, fingerprint, is_unchanged, made_with, read_manifest
from lrldata.output import note
from lrldata.progress import Progress
from lrldata.review.decisions import read_decisions
from lrldata.split import SPLITS
from lrldata.web import pii, samples, spoken, stages
from lrldata.web.bundles import bundled
from lrldata.web.chunks import DropCodes, Part
from lrldata.web.clean import rules
from lrldata.web.config import REPOSITORY, WebConfig
from lrldata.web.corpus import Chosen, choose, judge_all
from lrldata.web.document_filters import OF_PAGES, thresholds
from lrldata.web.hints import hint_on_nothing, note_kin, note_private, note_sentences
from lrldata.web.inputs import describe_left_out
from lrldata.web.plan import Found, folder_of, look_for_input
from lrldata.web.scripts import scripts_asked
from lrldata.web.shards import Columns, Shard
from lrldata.workspace import Dataset

LIBRARIES = ("polars", "xxhash", "ftfy", "rensa", "pyarrow")


@dataclass(frozen=True)
class Cleaned:
    """What is left of a corpus, as shards of rows for each split, and an account of the rest."""

    shards: Mapping[str, Sequence[Path]]
    ledger: Ledger
    replaced: Mapping[str, int]
    samples: Mapping[str, Any]
    skipped: Mapping[str, str]
    columns: Mapping[str, int]  # documents by the column that their text is from
    private: int  # rows with letters of private use

    def rows(self, split: str) -> Iterator[pl.DataFrame]:
        """Yield the rows of a split (columns of schema.WEB), a shard at a time."""
        return (stages.read_rows(path) for path in self.shards[split])


def build_web(config: WebConfig, progress: Progress) -> list[Dataset]:
    """Build the datasets that `config` asks for from documents. Unchanged ones are left alone. Raises LrlError.

    A language without input, or of which nothing is left, does not stop the others: IncompleteError names it when they
    are built. What concerns all of them, as a file that cannot be read, does.
    """
    chosen = parse(config.lang)
    for language in chosen:
        scripts_asked(language, config.lang, config.scripts)
    built: list[Dataset] = []
    faults: list[NothingError] = []
    for language in chosen:
        try:
            made = _build_one(config, language, progress)
        except NothingError as error:
            if len(chosen) == 1:
                raise
            told = error.message
            faults.append(error)
        else:
            told = f"{made.status}, {sum(made.rows.values()):,} rows"
            built.append(made)
        if len(chosen) > 1:
            progress.log(f"{language.name} ({language.code}): {told}")
    if faults:
        hint = f"{faults[0].hint} What else was asked for is built." if built else faults[0].hint
        raise IncompleteError(" ".join(error.message for error in faults), hint, built)
    return built


def _build_one(config: WebConfig, language: Language, progress: Progress) -> Dataset:
    began = time.perf_counter()
    folder = folder_of(config, language)
    found, task, recipe, work = _prepare(config, language)
    shards = found.shards
    for line in describe_left_out(found.unexpected()):
        note(f"note: {config.input}: {line}.")
    if not config.force and (there := _as_found(language, folder, recipe, found)):
        return there
    home = folder.resolve()
    with lock(work), lock(home):
        if not config.force and (there := _as_found(language, folder, recipe, found)):
            return there  # which another process has made meanwhile
        cleaned = clean_corpus(config, task, shards, work, progress)
        skipped = dict(sorted({**found.skipped, **cleaned.skipped}.items()))
        if not cleaned.ledger.kept.rows:
            went = ", ".join(f"{reason} {tally.rows:,}" for reason, tally in cleaned.ledger.dropped.items())
            came = f"{cleaned.ledger.came_in.rows:,} lines of {language.name}"
            note_kin(language, cleaned.ledger)
            discard(work)
            beside = f" Skipped: {', '.join(list(skipped)[:3])}{', ...' * (len(skipped) > 3)}." if skipped else ""
            hint = hint_on_nothing(config, cleaned.ledger)
            raise NothingError(f"Nothing is left of {came}: {went or 'no text'}.{beside}", hint)
        account: dict[str, Any] = {"ledger": cleaned.ledger.as_json(), "replaced": cleaned.replaced, "skipped": skipped}
        # Of what is as everywhere nothing is said, so that the manifest's bytes stay.
        account |= {"left_out": found.left_out} if found.left_out else {}
        account |= {"text_column": dict(cleaned.columns)} if len(cleaned.columns) > 1 else {}
        account |= {"private_use": cleaned.private} if cleaned.private else {}
        with progress.waiting("Writing"):
            manifest = write_dataset(
                home,
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


def _as_found(language: Language, folder: Path, recipe: Mapping[str, Any], found: Found) -> Dataset | None:
    """Return the dataset that is there, where it is what would be made."""
    if not is_unchanged(folder, DATASET, fingerprint(recipe)):
        return None
    manifest = read_manifest(folder, DATASET) or {}
    if manifest.get("left_out", {}) != found.left_out or not found.skipped.items() <= manifest["skipped"].items():
        return None
    ledger, notes = from_json(manifest["ledger"]), _notes(manifest)
    return Dataset(language, folder, manifest["version"], "unchanged", manifest["rows"], ledger, 0.0, notes)


def _notes(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a manifest says of the input that is not as everywhere."""
    return {key: manifest[key] for key in ("skipped", "left_out", "text_column") if manifest.get(key)}


def judge_bundle(config: WebConfig, number: int) -> Path:
    """Do the steps for lines to one bundle of files (from 0) of a language; returns the folder of what came of it.

    `build_web` finds it done, so that the files of a language can be shared out to machines. Raises LrlError.
    """
    (language,) = parse(config.lang)
    found, task, _, work = _prepare(config, language)
    bundle = bundled(found.shards)[number]
    with WorkerPool(config.workers) as pool:
        judge_all(task, [bundle], _columns(config), work, pool, lambda _: None, skip_bad=config.skip_bad)
    return work / bundle.name


def scratch_of(config: WebConfig) -> Path:
    """Return the folder for what is between the documents of a language and its dataset. Raises LrlError."""
    (language,) = parse(config.lang)
    return _prepare(config, language)[3]


def _prepare(config: WebConfig, language: Language) -> tuple[Found, stages.Task, dict[str, Any], Path]:
    """Return what is read, what each process needs to know, the recipe, and the folder for what is between."""
    found = look_for_input(config, language)
    scripts = scripts_asked(language, config.lang, config.scripts)
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
    recipe = _recipe(config, task, found.shards, found.revision)
    return found, task, recipe, (config.scratch or config.cache / "glotcc") / fingerprint(recipe)[:16]


def _columns(config: WebConfig) -> Columns:
    return Columns(config.text_column, config.url_column, lines=config.documents == "lines")


def clean_corpus(
    config: WebConfig, task: stages.Task, shards: Sequence[Shard], work: Path, progress: Progress
) -> Cleaned:
    """Clean the documents of all shards, with the folder `work` for what is between: some may be there already."""
    workers = config.workers if sum(shard.size for shard in shards) > config.workers * _SMALL else 1
    columns = _columns(config)
    with WorkerPool(workers) as pool:
        with progress.bytes(f"Cleaning {task.language}", None) as advance:
            bundles = bundled(shards)
            parts, skipped = judge_all(task, bundles, columns, work, pool, advance, skip_bad=config.skip_bad)
        with progress.waiting("Comparing documents"):
            chosen = choose(task, parts, work, pool, most=config.max_bytes, memory=config.memory)
        with progress.waiting("Gathering"):
            written = _write_parts(task, parts, chosen, work, pool)
            saved = spoken.save(parts, chosen.drop_codes, task.decided)
            spoken.write_saved(saved, work / "rows")
    counts = [part.summary() for part in parts]
    kept = sum((Tally(**each["kept"]) for each in written), saved.tally)
    came_in = sum((Tally(**each["in"]) for each in counts), Tally())
    dropped: dict[str, Tally] = {}
    for each in [*counts, *written]:
        for reason, tally in each["dropped"].items():
            dropped[reason] = dropped.get(reason, Tally()) + Tally(**tally)
    dropped = saved.less(dropped)
    ordered = {reason: dropped[reason] for reason in reasons_of("web") if reason in dropped}
    ledger = Ledger(came_in, kept, ordered, {}, judged_right=saved.tally)
    replaced = sum((Counter(each["replaced"]) for each in written), Counter(pii.count(saved.rows["text"])))
    drawn = samples.merge((each["samples"] for each in [*counts, *written]), samples.DROPPED)
    shown = samples.merge(({"": each["shown"]} for each in written), samples.KEPT).get("", [])
    seen = {
        "thresholds": samples.thresholds([each["measured"] | each.get("documents", {}) for each in counts]),
        "dropped": {
            reason: [samples.shown(one) for one in drawn[reason] if one["text"] not in saved.texts]
            for reason in ledger.dropped
        },
        "kept": [samples.shown(one) for one in shown],
    }
    rows = work / "rows"
    made = {split: sorted(rows.glob(f"{split}-*"), key=lambda path: int(path.name.split("-")[1])) for split in SPLITS}
    of_columns = sum((Counter(each.get("columns", {})) for each in counts), Counter[str]())
    private = sum(each.get("private", 0) for each in written)
    return Cleaned(
        made, ledger, dict(sorted(replaced.items())), seen, skipped, dict(sorted(of_columns.items())), private
    )


_SMALL = 2_000_000  # bytes of input a process, below which starting one costs more than it helps


def _write_parts(
    task: stages.Task, parts: Sequence[Part], chosen: Chosen, work: Path, pool: WorkerPool
) -> list[dict[str, Any]]:
    """Write the rows that stay into a folder for each shard of the dataset; returns what each part had, in their order.

    What is done first by several processes depends on how busy each is.
    """
    rows = work / "rows"
    shutil.rmtree(rows, ignore_errors=True)
    for split, shard in chosen.places.select("split", "shard").unique().iter_rows():
        rows.joinpath(f"{split}-{shard}").mkdir(parents=True)
    jobs = (
        (
            number,
            task,
            part,
            chosen.drop_codes[number],
            chosen.places.filter(pl.col("part") == number).drop("part"),
            rows,
        )
        for number, part in enumerate(parts)
    )
    return [written for _, written in sorted(pool.imap_unordered(_write, jobs), key=lambda each: each[0])]


def _write(
    number: int, task: stages.Task, part: Part, drop_codes: DropCodes, places: pl.DataFrame, rows: Path
) -> tuple[int, dict[str, Any]]:
    return number, stages.write(task, part, drop_codes, places, rows)


def _recipe(config: WebConfig, task: stages.Task, shards: Sequence[Shard], revision: str | None) -> dict[str, Any]:
    """Return all that shapes a dataset: input, settings, rules, model, language and library versions."""
    context = stages.context_of(task)
    model, own = context.model, thresholds(task.language)
    binding = [] if model is None else ["fasttext-new" if model.binding == "fasttext_new" else "fasttext-community"]
    identified = {"lid": model.name, "lid_sha256": model.sha256} if model else {"lid": NO_MODEL}
    left_out = {"without": [*OF_PAGES, "repeated_line"]} if task.sentences else {}
    numbers = {"rules": {**rules(), **own, **left_out}, **identified}
    return {
        "source": config.source,
        "language": context.language.model_dump(exclude_none=True, exclude={"paper"}, mode="json"),
        "settings": config.recipe() | numbers | ({"scripts": list(task.scripts)} if task.scripts else {}),
        "protected": list(context.protected.named) if context.protected else [],
        "repository": {"id": REPOSITORY, "revision": revision} if revision else None,
        "inputs": [shard.entry() for shard in shards],
        "sample": config.sample,
        "made_with": made_with(*LIBRARIES, *binding),
        **({"verdicts": task.decided.as_json()} if task.decided else {}),
    }
