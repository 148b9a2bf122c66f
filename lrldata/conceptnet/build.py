"""The pipeline of `lrldata build`: from the dump to a dataset folder for each language."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl

from lrldata.card import folder_card
from lrldata.conceptnet.config import BuildConfig
from lrldata.conceptnet.dedup import mark_duplicates
from lrldata.conceptnet.index import Index
from lrldata.conceptnet.source import find_index
from lrldata.conceptnet.triples import (
    is_script,
    judge,
    name_decomposed,
    part_links,
    read_fields,
    touching,
    turn_symmetric,
)
from lrldata.conceptnet.uri import edge_uri_of
from lrldata.conceptnet.verbalize import Phrasebook, phrasebook, put_into_words
from lrldata.dataset import write_dataset
from lrldata.errors import IncompleteError, InputError, UsageError
from lrldata.folder import lock
from lrldata.language import COMPOSITE_SCRIPTS, Language, parse
from lrldata.ledger import Ledger, Tally, build_ledger, from_json
from lrldata.manifest import DATASET, fingerprint, is_unchanged, made_with, read_manifest
from lrldata.progress import Progress
from lrldata.review.decisions import Decisions, read_decisions
from lrldata.review.verdicts import line_id
from lrldata.schema import CONCEPTNET
from lrldata.split import SPLITS, at_random, by_pair
from lrldata.threads import cores
from lrldata.workspace import Dataset, dataset_path

ALL_SCRIPTS = "any"
AT_ONCE = 4  # languages: one alone has too few rows to keep the cores busy
EDGES_AT_ONCE = 3_000_000  # of the languages that are read together: about two gigabytes


def build(config: BuildConfig, progress: Progress) -> list[Dataset]:
    """Build the datasets that `config` asks for, all from one index. Unchanged ones are left alone.

    A language that the dump does not hold, or of which nothing is left, does not stop the others: IncompleteError
    names it when they are built.
    """
    chosen = parse(config.lang)
    books = {language.code: phrasebook(config.templates, language) for language in chosen}
    for language in chosen:
        scripts_of(config, language)
        if language.conceptnet is None:
            raise UsageError(f"ConceptNet 5.7 has no {language.name} ({language.code}).", "See `lrldata langs`.")

    index = find_index(config, progress)
    held = [language for language in chosen if index.edges_of(language.conceptnet or "")]
    decided = {each.code: read_decisions(config.verdicts, each.code, config.source) for each in held}
    recipes = {each.code: _recipe(config, each, books[each.code], index, decided[each.code]) for each in held}

    results: dict[str, Dataset | str] = {
        language.code: _as_found(language, folder_of(config, language))
        for language in held
        if not config.force and is_unchanged(folder_of(config, language), DATASET, fingerprint(recipes[language.code]))
    }
    pending = [language for language in held if language.code not in results]
    with progress.items("Building", len(pending)) as begin, ThreadPoolExecutor(min(cores(), AT_ONCE)) as pool:

        def turn(some: Sequence[Language]) -> dict[str, Dataset | str]:
            edges = read_edges(index, some)

            def make(language: Language) -> Dataset | str:
                begin(language.name)
                code = language.code
                return _build_one(edges, language, books[code], recipes[code], config, decided[code])

            return dict(zip((language.code for language in some), pool.map(make, some), strict=True))

        for some in _in_turns(index, pending):
            results |= turn(some)

    built = [result for language in held if isinstance(result := results[language.code], Dataset)]
    lacking = [f"{language.name} ({language.code})" for language in chosen if language not in held]
    faults = [f"{index.source['name']} holds no edge of {', '.join(lacking)}."] if lacking else []
    faults += [fault for fault in results.values() if isinstance(fault, str)]
    if faults:
        raise IncompleteError(" ".join(faults), "What else was asked for is built." if built else "", built)
    return built


def _in_turns(index: Index, pending: Sequence[Language]) -> Iterator[list[Language]]:
    """Yield languages whose edges are held at once: EDGES_AT_ONCE, or a larger one by itself."""
    turn: list[Language] = []
    held = 0
    for language in pending:
        edges = index.edges_of(language.conceptnet or "")
        if turn and held + edges > EDGES_AT_ONCE:
            yield turn
            turn, held = [], 0
        turn, held = [*turn, language], held + edges
    if turn:
        yield turn


def read_edges(index: Index, pending: Sequence[Language]) -> pl.DataFrame:
    """Return the edges that touch the languages."""
    codes = {language.conceptnet or "" for language in pending}
    try:
        return pl.scan_parquet(index.edges, glob=False).pipe(touching, codes).collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(
            f"{index.folder}: the index is damaged.", "Delete that folder, and it is made again."
        ) from error


def _build_one(
    edges: pl.DataFrame,
    language: Language,
    book: Phrasebook,
    recipe: dict[str, Any],
    config: BuildConfig,
    decided: Decisions | None,
) -> Dataset | str:
    """Make the rows of one language and write them; where no row is left, say why."""
    began = time.perf_counter()
    folder = folder_of(config, language)
    here = (pl.col("start_lang") == language.conceptnet) | (pl.col("end_lang") == language.conceptnet)
    rows, ledger = make_rows(edges.filter(here), language, book, config, decided)
    if rows.is_empty():
        went = ", ".join(f"{reason} {tally.rows:,}" for reason, tally in ledger.dropped.items())
        return f"Nothing is left of {ledger.came_in.rows:,} edges of {language.name}: {went}."
    splits = {split: rows.filter(pl.col("split") == split).drop("split") for split in SPLITS}
    provenance = {**recipe, "recipe": fingerprint(recipe), "ledger": ledger.as_json()}
    home = folder.resolve()  # where the folder is a link, what it points to is replaced, and not the link
    with lock(home):
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
    """Turn the edges that touch a language into dataset rows with their split, and account for the rest. Pure.

    Out: columns of schema.CONCEPTNET and `split`, in the order of their content's hash.
    """
    code, as_stored = language.conceptnet or "", book.chosen.as_stored
    facts, links = part_links(edges)
    judged = facts.pipe(read_fields).pipe(
        judge,
        code,
        scripts=scripts_of(config, language),
        mode=config.edges,
        min_weight=config.min_weight,
        said=book.sentences,
    )
    said = (
        judged.filter(pl.col("reason").is_null())
        .pipe(turn_symmetric, code, as_stored=as_stored)
        .pipe(put_into_words, book)
        .pipe(mark_duplicates)
        .pipe(name_decomposed)
        .pipe(mark_wrong, decided.wrong if decided else frozenset())
    )
    accounted = [links, judged.filter(pl.col("reason").is_not_null()), said]
    came_in = Tally(len(edges), int(facts["bytes"].sum()) + int(links["bytes"].sum()))
    judgements = [frame.select("reason", "bytes", pl.col("relation").cast(pl.String)) for frame in accounted]
    restored = int(judged["restored"].sum())
    ledger = build_ledger(came_in, pl.concat(judgements), repaired={"hamza": restored} if restored else {})
    uri = edge_uri_of(pl.concat_str([pl.lit("/r/"), "relation"]), pl.col("start_node"), pl.col("end_node"))
    rows = (
        said.filter(pl.col("reason").is_null())
        .with_columns(edge_uri=uri)
        .select(*CONCEPTNET.names(), "pair_hash")
        .sort("pair_hash", maintain_order=True)  # facts of one pair keep the order of mark_duplicates
    )
    split = by_pair(pl.col("pair_hash")) if config.split == "pair" else pl.Series(at_random(len(rows), config.seed))
    return rows.with_columns(split=split).drop("pair_hash"), ledger


def mark_wrong(said: pl.DataFrame, wrong: frozenset[str]) -> pl.DataFrame:
    """Give the sentences that speakers called wrong a reason of their own, where they have none. Pure."""
    if not wrong:
        return said
    found = pl.Series([line_id(text) in wrong for text in said["text"]], dtype=pl.Boolean)
    return said.with_columns(
        reason=pl.when(pl.col("reason").is_null() & found).then(pl.lit("judged_wrong")).otherwise("reason")
    )


def folder_of(config: BuildConfig, language: Language) -> Path:
    """Return the dataset's folder in the workspace."""
    return config.out / dataset_path(language.code, config.source)


def scripts_of(config: BuildConfig, language: Language) -> tuple[str, ...]:
    """Return the scripts in which terms of the language are kept; none means any. Raises UsageError."""
    if config.scripts is None:
        return language.scripts
    if config.scripts.lower() == ALL_SCRIPTS:
        return ()
    typed = [script.strip().title() for script in config.scripts.split(",")]
    scripts = tuple(script for name in typed for script in COMPOSITE_SCRIPTS.get(name, (name,)))
    for script in scripts:
        if not is_script(script):
            raise UsageError(
                f"--scripts: {script!r} is no script.", "Use codes as Latn or Cyrl,Latn (ISO 15924), or any."
            )
    return scripts


def _recipe(
    config: BuildConfig, language: Language, book: Phrasebook, index: Index, decided: Decisions | None
) -> dict[str, Any]:
    """Return all that shapes a dataset: input, settings, sentences, language and library versions."""
    return {
        "source": config.source,
        "language": language.model_dump(exclude_none=True, exclude={"paper", "sentiment"}, mode="json"),
        "settings": {**config.recipe(), "scripts": list(scripts_of(config, language)) or [ALL_SCRIPTS]},
        "templates": book.as_json(),
        **({"verdicts": decided.as_json()} if decided else {}),
        "inputs": [index.source],
        "sample": config.sample,
        "made_with": made_with("polars", "xxhash"),
    }


def _as_found(language: Language, folder: Path) -> Dataset:
    manifest = read_manifest(folder, DATASET) or {}
    ledger = from_json(manifest["ledger"])
    return Dataset(language, folder, manifest["version"], "unchanged", manifest["rows"], ledger, 0.0)
