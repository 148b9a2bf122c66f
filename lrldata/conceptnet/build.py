"""The pipeline of `lrldata build`, from the dump to one dataset folder per language."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl

from lrldata.card import folder_card
from lrldata.code_version import code_version
from lrldata.conceptnet.config import BuildConfig
from lrldata.conceptnet.dedup import mark_duplicates
from lrldata.conceptnet.index import Index
from lrldata.conceptnet.source import find_index
from lrldata.conceptnet.template_sets import Phrasebook, phrasebook
from lrldata.conceptnet.triples import (
    judge,
    mark_normalised_duplicates,
    part_links,
    read_fields,
    touching,
    turn_symmetric,
)
from lrldata.conceptnet.uri import edge_uri_of
from lrldata.conceptnet.verbalize import verbalize
from lrldata.dataset import write_dataset
from lrldata.errors import IncompleteError, InputError, UsageError
from lrldata.folder import lock, sweep
from lrldata.language import COMPOSITE_SCRIPTS, Language, is_script, parse
from lrldata.layout import dataset_path
from lrldata.ledger import Ledger, Tally, build_ledger, from_json
from lrldata.manifest import DATASET, fingerprint, is_unchanged, made_with, read_manifest
from lrldata.progress import Progress
from lrldata.review.decisions import Decisions, mark_wrong, read_decisions, record_judged
from lrldata.schema import CONCEPTNET
from lrldata.split import SPLITS, at_random, by_pair
from lrldata.threads import cores
from lrldata.workspace import Dataset

ALL_SCRIPTS = "any"
AT_ONCE = 4  # languages in parallel: a single one has too few rows to keep all cores busy
EDGES_AT_ONCE = 3_000_000  # edges of languages that are read together: about two gigabytes


def build(config: BuildConfig, progress: Progress) -> list[Dataset]:
    """Build the datasets of the configured languages, all from one index. Unchanged datasets are left alone.

    A language that the dump does not contain, or of which no rows are left, does not stop the others: once they are
    built, IncompleteError names it.
    """
    languages = parse(config.lang)
    books = {language.code: phrasebook(config.templates, language) for language in languages}
    for language in languages:
        check_language(config, language)

    index = find_index(config, progress)
    available = [language for language in languages if index.edges_of(language.conceptnet or "")]
    decisions = {language.code: read_decisions(config.verdicts, language.code, config.source) for language in available}
    recipes = {
        language.code: _recipe(config, language, books[language.code], index, decisions[language.code])
        for language in available
    }

    results: dict[str, Dataset | str] = {
        language.code: _unchanged_dataset(language, folder_of(config, language))
        for language in available
        if not config.force and is_unchanged(folder_of(config, language), DATASET, fingerprint(recipes[language.code]))
    }
    pending = [language for language in available if language.code not in results]
    with progress.items("Building", len(pending)) as begin, ThreadPoolExecutor(min(cores(), AT_ONCE)) as pool:

        def build_batch(batch: Sequence[Language]) -> dict[str, Dataset | str]:
            edges = read_edges(index, batch)

            def build_language(language: Language) -> Dataset | str:
                begin(language.name)
                code = language.code
                return _build_one(edges, language, books[code], recipes[code], config, decisions[code])

            return dict(zip((language.code for language in batch), pool.map(build_language, batch), strict=True))

        for batch in _in_batches(index, pending):
            results |= build_batch(batch)

    built = [result for language in available if isinstance(result := results[language.code], Dataset)]
    for dataset in built:
        record_judged(config.verdicts, dataset.path, dataset.language.code, config.source)
    missing = [f"{language.name} ({language.code})" for language in languages if language not in available]
    problems = [f"{index.source['name']} has no edges in {', '.join(missing)}."] if missing else []
    problems += [problem for problem in results.values() if isinstance(problem, str)]
    if problems:
        raise IncompleteError(" ".join(problems), "The other languages are built." if built else "", built)
    return built


def check_language(config: BuildConfig, language: Language) -> None:
    """Raise UsageError if ConceptNet does not have a language, or if the configured scripts are not valid."""
    scripts_of(config, language)
    if language.conceptnet is None:
        raise UsageError(f"ConceptNet 5.7 has no {language.name} ({language.code}).", "See `lrldata langs`.")


def _in_batches(index: Index, pending: Sequence[Language]) -> Iterator[list[Language]]:
    """Yield batches of languages with up to EDGES_AT_ONCE edges in all; a larger language is a batch of its own."""
    batch: list[Language] = []
    total = 0
    for language in pending:
        edges = index.edges_of(language.conceptnet or "")
        if batch and total + edges > EDGES_AT_ONCE:
            yield batch
            batch, total = [], 0
        batch, total = [*batch, language], total + edges
    if batch:
        yield batch


def read_edges(index: Index, pending: Sequence[Language]) -> pl.DataFrame:
    """Return the edges that touch the languages."""
    codes = {language.conceptnet or "" for language in pending}
    try:
        return pl.scan_parquet(index.edges, glob=False).pipe(touching, codes).collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(
            f"{index.folder}: the index is damaged.", "Delete the folder; the next build makes it again."
        ) from error


def _build_one(
    edges: pl.DataFrame,
    language: Language,
    book: Phrasebook,
    recipe: dict[str, Any],
    config: BuildConfig,
    decided: Decisions | None,
) -> Dataset | str:
    """Build and write the dataset of one language; if no row is left, return a message that says why."""
    began = time.perf_counter()
    folder = folder_of(config, language)
    touches = (pl.col("start_lang") == language.conceptnet) | (pl.col("end_lang") == language.conceptnet)
    rows, ledger = make_rows(edges.filter(touches), language, book, config, decided)
    if rows.is_empty():
        reasons = ", ".join(f"{reason} {tally.rows:,}" for reason, tally in ledger.dropped.items())
        return f"Nothing is left of {ledger.came_in.rows:,} edges of {language.name}: {reasons}."
    splits = {split: rows.filter(pl.col("split") == split).drop("split") for split in SPLITS}
    provenance = {**recipe, "recipe": fingerprint(recipe), "ledger": ledger.as_json(), **_reading(config)}
    home = folder.resolve()  # if the folder is a link, its target is replaced, not the link
    with lock(home):
        if not config.force and is_unchanged(folder, DATASET, fingerprint(recipe)):
            return _unchanged_dataset(language, folder)  # another process has built it in the meantime
        manifest = write_dataset(home, splits, lambda manifest: folder_card(manifest, language), provenance)
    return Dataset(
        language, folder, manifest["version"], "built", manifest["rows"], ledger, time.perf_counter() - began
    )


def make_rows(
    edges: pl.DataFrame,
    language: Language,
    book: Phrasebook,
    config: BuildConfig,
    decided: Decisions | None = None,
) -> tuple[pl.DataFrame, Ledger]:
    """Turn the edges that touch a language into dataset rows with a split, and account for the others. Pure.

    The rows have the columns of schema.CONCEPTNET and `split`, and are ordered by the hash of their pair of terms.
    """
    code, as_stored = language.conceptnet or "", book.chosen.as_stored
    facts, links = part_links(edges)
    judged = facts.pipe(read_fields).pipe(
        judge,
        code,
        scripts=scripts_of(config, language),
        mode=config.edges,
        min_weight=config.min_weight,
        templated=book.sentences,
    )
    sentences = (
        judged.filter(pl.col("reason").is_null())
        .pipe(turn_symmetric, code, as_stored=as_stored)
        .pipe(verbalize, book)
        .pipe(mark_duplicates)
        .pipe(mark_normalised_duplicates)
        .pipe(mark_wrong, decided)
    )
    accounted = [links, judged.filter(pl.col("reason").is_not_null()), sentences]
    came_in = Tally(len(edges), int(facts["bytes"].sum()) + int(links["bytes"].sum()))
    reasons = [frame.select("reason", "bytes", pl.col("relation").cast(pl.String)) for frame in accounted]
    restored = int(judged["restored"].sum())
    ledger = build_ledger(came_in, pl.concat(reasons), repaired={"hamza": restored} if restored else {})
    uri = edge_uri_of(pl.concat_str([pl.lit("/r/"), "relation"]), pl.col("start_node"), pl.col("end_node"))
    rows = (
        sentences.filter(pl.col("reason").is_null())
        .with_columns(edge_uri=uri)
        .select(*CONCEPTNET.names(), "pair_hash")
        .sort("pair_hash", maintain_order=True)  # facts of one pair keep the order of mark_duplicates
    )
    split = by_pair(pl.col("pair_hash")) if config.split == "pair" else pl.Series(at_random(len(rows), config.seed))
    return rows.with_columns(split=split).drop("pair_hash"), ledger


def folder_of(config: BuildConfig, language: Language) -> Path:
    """Return the folder of a language's dataset in the workspace."""
    return config.out / dataset_path(language.code, config.source)


def scripts_of(config: BuildConfig, language: Language) -> tuple[str, ...]:
    """Return the scripts in which terms of the language are kept; empty means any. Raises UsageError."""
    if config.scripts is None:
        return language.scripts
    if config.scripts.lower() == ALL_SCRIPTS:
        return ()
    codes = [script.strip().title() for script in config.scripts.split(",")]
    scripts = tuple(script for code in codes for script in COMPOSITE_SCRIPTS.get(code, (code,)))
    for script in scripts:
        if not is_script(script):
            raise UsageError(
                f"--scripts: {script!r} is not a script.", "Use ISO 15924 codes such as Latn or Cyrl,Latn, or any."
            )
    return scripts


def _recipe(
    config: BuildConfig, language: Language, book: Phrasebook, index: Index, decided: Decisions | None
) -> dict[str, Any]:
    """Return everything that shapes a dataset: input, settings, sentences, language and library versions."""
    return {
        "source": config.source,
        "language": language.model_dump(exclude_none=True, exclude={"paper", "sentiment"}, mode="json"),
        "settings": {**config.recipe(), "scripts": list(scripts_of(config, language)) or [ALL_SCRIPTS]},
        "templates": book.as_json(),
        **({"verdicts": decided.as_json()} if decided else {}),
        "inputs": [index.source],
        "sample": config.sample,
        "made_with": made_with("polars", "xxhash") | {"lrl": code_version()},
    }


def _reading(config: BuildConfig) -> dict[str, Any]:
    """Return how the input was read, for the command that repeats the build, if not in the usual way."""
    default = BuildConfig.model_fields["max_rejected"].default
    limit = {"max_rejected": config.max_rejected} if config.max_rejected != default else {}
    return limit | ({"database": True} if config.conceptnet_db else {})


def _unchanged_dataset(language: Language, folder: Path) -> Dataset:
    sweep(folder.resolve())
    manifest = read_manifest(folder, DATASET) or {}
    ledger = from_json(manifest["ledger"])
    return Dataset(language, folder, manifest["version"], "unchanged", manifest["rows"], ledger, 0.0)
