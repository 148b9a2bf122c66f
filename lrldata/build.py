"""The recipe of `lrldata build`: from the dump to a dataset folder for each language."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lrldata.card import conceptnet_card
from lrldata.conceptnet.download import OFFICIAL, Remote, download
from lrldata.conceptnet.index import Index, index_folder, make_index, open_index
from lrldata.conceptnet.sample import sample_path
from lrldata.conceptnet.triples import judge, part_links, read_fields, touching, turn_symmetric
from lrldata.conceptnet.uri import edge_uri_of
from lrldata.conceptnet.verbalise import Phrasebook, phrasebook, say
from lrldata.config import BuildConfig
from lrldata.dataset import is_unchanged, lock, write_dataset
from lrldata.dedup import mark_duplicates
from lrldata.errors import InputError, UsageError
from lrldata.languages import Language, parse
from lrldata.ledger import Ledger, Tally, from_json, settle
from lrldata.manifest import fingerprint, made_with, read_manifest, sha256_of
from lrldata.progress import Progress
from lrldata.schema import CONCEPTNET
from lrldata.split import SPLITS, at_random, by_pair

SAMPLES = 8
ALL_SCRIPTS = "any"


@dataclass(frozen=True)
class Built:
    """One dataset folder after a build; `status` is `built` or `unchanged`."""

    language: Language
    path: Path
    version: str
    status: str
    rows: Mapping[str, int]
    ledger: Ledger
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-like values."""
        return {
            "language": self.language.code,
            "path": str(self.path),
            "version": self.version,
            "status": self.status,
            "rows": dict(self.rows),
            "ledger": self.ledger.as_json(),
            "seconds": round(self.seconds, 3),
        }


def build(config: BuildConfig, progress: Progress) -> list[Built]:
    """Build the datasets that `config` asks for, all from one index. Unchanged ones are left alone.

    Languages that the dump does not hold are reported, by InputError, after the others are built.
    """
    chosen = parse(config.lang)
    books = {language.code: phrasebook(config.templates, language) for language in chosen}
    for language in chosen:
        _scripts(config, language)
        if language.conceptnet is None:
            raise UsageError(f"ConceptNet 5.7 has no {language.name} ({language.code}).", "See `lrldata langs`.")

    index = find_index(config, progress)
    held = [language for language in chosen if index.edges_of(language.conceptnet or "")]
    recipes = {language.code: _recipe(config, language, books[language.code], index) for language in held}

    results = {
        language.code: _as_found(language, folder_of(config, language))
        for language in held
        if not config.force and is_unchanged(folder_of(config, language), fingerprint(recipes[language.code]))
    }
    pending = [language for language in held if language.code not in results]
    if pending:
        with progress.waiting("Reading the index"):
            codes = {language.conceptnet or "" for language in pending}
            edges = pl.scan_parquet(index.edges).pipe(touching, codes).collect(engine="streaming")
        with progress.items("Building", len(pending)) as begin:
            for language in pending:
                begin(language.name)
                results[language.code] = _build_one(
                    edges, language, books[language.code], recipes[language.code], config
                )

    if missing := [f"{language.name} ({language.code})" for language in chosen if language not in held]:
        raise InputError(f"{index.source['name']} holds no edge of {', '.join(missing)}.", "The others are built.")
    return [results[language.code] for language in held]


def _build_one(
    edges: pl.DataFrame, language: Language, book: Phrasebook, recipe: dict[str, Any], config: BuildConfig
) -> Built:
    """Make the rows of one language and write them."""
    began = time.perf_counter()
    folder = folder_of(config, language)
    of_language = edges.filter(
        (pl.col("start_lang") == language.conceptnet) | (pl.col("end_lang") == language.conceptnet)
    )
    rows, ledger = make_rows(of_language, language, book, config)
    if rows.is_empty():
        raise InputError(
            f"Nothing is left of {ledger.came_in.rows:,} edges of {language.name}: "
            + ", ".join(f"{reason} {tally.rows:,}" for reason, tally in ledger.dropped.items()),
            "Loosen --edges, --min-weight or --scripts.",
        )
    splits = {split: rows.filter(pl.col("split") == split).drop("split") for split in SPLITS}
    samples = splits["train"]["text"].head(SAMPLES).to_list()
    provenance = {**recipe, "recipe": fingerprint(recipe), "ledger": ledger.as_json()}
    with lock(folder):
        write_dataset(folder, splits, lambda manifest: conceptnet_card(manifest, language, samples), provenance)
    manifest = read_manifest(folder) or {}
    return Built(language, folder, manifest["version"], "built", manifest["rows"], ledger, time.perf_counter() - began)


def make_rows(
    edges: pl.DataFrame, language: Language, book: Phrasebook, config: BuildConfig
) -> tuple[pl.DataFrame, Ledger]:
    """Turn the edges that touch a language into dataset rows with their split, and account for the rest. Pure.

    Out: columns of schema.CONCEPTNET and `split`, in the order of their content's hash.
    """
    code, as_stored = language.conceptnet or "", book.chosen.as_stored
    facts, links = part_links(edges)
    judged = facts.pipe(read_fields).pipe(
        judge,
        code,
        scripts=_scripts(config, language),
        mode=config.edges,
        min_weight=config.min_weight,
        said=book.sentences,
        as_stored=as_stored,
    )
    said = (
        judged.filter(pl.col("reason").is_null())
        .pipe(turn_symmetric, code, as_stored=as_stored)
        .pipe(say, book.sentences)
        .pipe(mark_duplicates)
    )
    accounted = [links, judged.filter(pl.col("reason").is_not_null()), said]
    came_in = Tally(len(edges), int(facts["bytes"].sum()) + int(links["bytes"].sum()))
    judgements = [frame.select("reason", "bytes", pl.col("relation").cast(pl.String)) for frame in accounted]
    ledger = settle(came_in, pl.concat(judgements))
    uri = edge_uri_of(pl.concat_str([pl.lit("/r/"), "relation"]), pl.col("start_node"), pl.col("end_node"))
    forth = pl.col("start_folded") <= pl.col("end_folded")
    rows = (
        said.filter(pl.col("reason").is_null())
        .with_columns(edge_uri=uri, forth=forth)
        .select(*CONCEPTNET.names(), "pair_hash", "forth")
        # One sentence a pair, relation and direction is left, so this order is total; by text it would be slower.
        .sort("pair_hash", "relation", "forth")
    )
    split = by_pair(pl.col("pair_hash")) if config.split == "pair" else pl.Series(at_random(len(rows), config.seed))
    return rows.with_columns(split=split).drop("pair_hash", "forth"), ledger


def folder_of(config: BuildConfig, language: Language) -> Path:
    """Return the dataset's folder in the workspace."""
    return config.out / "datasets" / language.code / config.source


def find_index(config: BuildConfig, progress: Progress) -> Index:
    """Return the index that the settings mean: one made before, or one made now of the dump that they name."""
    if config.index:
        return open_index(config.index)
    if config.sample:
        return make_index(sample_path(), config.cache, progress=progress)
    if config.conceptnet_db:
        return make_index(config.conceptnet_db, config.cache, progress=progress)
    remote = remote_of(config)
    if remote is None:
        path = Path(config.dump or "")
        if config.dump_sha256 and path.is_file() and (found := sha256_of(path)) != config.dump_sha256.lower():
            raise InputError(f"{path}: its SHA-256 is {found}, not {config.dump_sha256}.", "Download it again.")
    else:
        if remote.sha256 and read_manifest(made := index_folder(config.cache, remote.sha256)):
            return open_index(made)  # the dump itself is no longer needed
        path = download(remote, config.cache, progress)
    return make_index(path, config.cache, max_rejected=config.max_rejected, progress=progress)


def remote_of(config: BuildConfig) -> Remote | None:
    """Return the address to download from, or None where the dump is a local file."""
    if config.dump is None or config.dump == OFFICIAL.url:
        return OFFICIAL
    if config.dump.startswith(("http://", "https://")):
        return Remote(config.dump, sha256=config.dump_sha256.lower() if config.dump_sha256 else None)
    return None


def _scripts(config: BuildConfig, language: Language) -> tuple[str, ...]:
    if config.scripts is None:
        return language.scripts
    if config.scripts == ALL_SCRIPTS:
        return ()
    scripts = tuple(script.strip().title() for script in config.scripts.split(","))
    for script in scripts:
        if not (len(script) == 4 and script.isascii() and script.isalpha()):
            raise UsageError(f"--scripts: {script!r} is not an ISO 15924 code.", "Use e.g. Latn, Cyrl,Latn or any.")
    return scripts


def _recipe(config: BuildConfig, language: Language, book: Phrasebook, index: Index) -> dict[str, Any]:
    """Return all that shapes a dataset: input, settings, sentences, language and library versions."""
    return {
        "source": config.source,
        "language": language.model_dump(exclude_none=True, exclude={"paper"}, mode="json"),
        "settings": {**config.recipe(), "scripts": list(_scripts(config, language)) or [ALL_SCRIPTS]},
        "templates": book.as_json(),
        "inputs": [index.source],
        "sample": config.sample,
        "made_with": made_with(),
    }


def _as_found(language: Language, folder: Path) -> Built:
    manifest = read_manifest(folder) or {}
    ledger = from_json(manifest["ledger"])
    return Built(language, folder, manifest["version"], "unchanged", manifest["rows"], ledger, 0.0)
