"""The recipe of `lrldata build --source glotcc` and `--source web`: from documents to a dataset folder."""

import time
from collections.abc import Mapping
from typing import Any

import polars as pl

from lrldata.build import Built
from lrldata.card import folder_card
from lrldata.dataset import write_dataset
from lrldata.errors import InputError
from lrldata.folder import lock
from lrldata.glotcc import personal
from lrldata.glotcc.clean import across, clean, rules
from lrldata.glotcc.config import WebConfig
from lrldata.glotcc.protect import Protected, protect
from lrldata.glotcc.read import Shard, find_shards, read_shard
from lrldata.glotcc.repair import is_spaced
from lrldata.langid import LanguageModel, load_model
from lrldata.languages import Language, parse
from lrldata.ledger import Tally, from_json, settle
from lrldata.manifest import DATASET, fingerprint, is_unchanged, made_with, read_manifest
from lrldata.progress import Progress
from lrldata.schema import WEB
from lrldata.split import SPLITS, by_pair, content_hash

LARGE_SITE = 0.05  # share of the documents from which on a site is parted, or one split would have most of them
LIBRARIES = ("polars", "xxhash", "ftfy", "rensa", "fasttext-community")


def build_web(config: WebConfig, progress: Progress) -> list[Built]:
    """Build the datasets that `config` asks for from documents. Unchanged ones are left alone. Raises LrlError."""
    model = load_model(config.lid, config.cache)
    return [_build_one(config, language, model, progress) for language in parse(config.lang)]


def _build_one(config: WebConfig, language: Language, model: LanguageModel, progress: Progress) -> Built:
    began = time.perf_counter()
    folder = config.out / "datasets" / language.code / config.source
    shards = find_shards(config.input, language.glotcc)
    spaced = is_spaced(language.scripts[0] if language.scripts else None)
    protected = protect(config.protect, spaced=spaced) if config.protect else None
    recipe = _recipe(config, language, model, shards, protected)
    if not config.force and is_unchanged(folder, DATASET, fingerprint(recipe)):
        manifest = read_manifest(folder, DATASET) or {}
        return Built(
            language, folder, manifest["version"], "unchanged", manifest["rows"], from_json(manifest["ledger"]), 0.0
        )

    judged = []
    with progress.items("Cleaning", len(shards)) as begin:
        for shard in shards:
            begin(shard.name)
            judged.append(clean(read_shard(shard, config.text_column, config.url_column), language, model, protected))
    with progress.waiting("Comparing documents"):
        rows, ledger, replaced = make_rows(pl.concat(judged), language, config.max_bytes)
    if rows.is_empty():
        went = ", ".join(f"{reason} {tally.rows:,}" for reason, tally in ledger.dropped.items())
        raise InputError(
            f"Nothing is left of {ledger.came_in.rows:,} lines of {language.name}: {went or 'no text'}.",
            "Check --input.",
        )
    splits = {split: rows.filter(pl.col("split") == split).drop("split") for split in SPLITS}
    provenance = {**recipe, "recipe": fingerprint(recipe), "ledger": ledger.as_json(), "replaced": replaced}
    home = folder.resolve()
    with lock(home):
        manifest = write_dataset(home, splits, lambda manifest: folder_card(manifest, language), provenance)
    return Built(language, folder, manifest["version"], "built", manifest["rows"], ledger, time.perf_counter() - began)


def make_rows(judged: pl.DataFrame, language: Language, most: int) -> tuple[pl.DataFrame, Any, Mapping[str, int]]:
    """Turn the judged lines of a language into dataset rows with their split, and account for the others. Pure.

    `most` is the most UTF-8 bytes of text that are kept: documents go in the order of their content's hash, so that no
    file or site is preferred. Out: columns of schema.WEB and `split`; the ledger; how much personal data was replaced.
    """
    came_in = Tally(len(judged), int(judged["bytes"].sum()))
    settled = across(judged, language).with_columns(place=pl.int_range(pl.len()))
    left = settled.filter(pl.col("reason").is_null())
    text, replaced = personal.replace(left["text"])
    keys = left.group_by("doc", maintain_order=True).agg(pl.col("text").str.join("\n"), pl.col("url").first())
    keys = keys.with_columns(order=content_hash(keys["text"]), site=content_hash(keys.select(_site())["site"]))
    kept = left.with_columns(text=text).join(
        keys.select("doc", "order", "site"), on="doc", how="left", maintain_order="left"
    )
    kept = kept.sort("order", "doc", "place")
    beyond = pl.Series("beyond", kept["bytes"].cum_sum() > most)
    over = kept.select("doc", beyond).select(pl.col("beyond").any().over("doc"))["beyond"]
    reasons = pl.concat(
        [settled.filter(pl.col("reason").is_not_null()).select("reason", "bytes"),
         kept.select(pl.when(over).then(pl.lit("above_max_bytes")).alias("reason"), "bytes")]
    )  # fmt: skip
    ledger = settle(came_in, reasons.with_columns(relation=pl.lit(None, pl.String)), "web")
    rows = kept.filter(~over).with_columns(split=by_pair(pl.col("site")))
    return rows.select(*WEB.names(), "split"), ledger, replaced


def _site() -> pl.Expr:
    """Return what keeps documents in one split: the site of a URL, else, or of a site that has many, their own text."""
    host = pl.col("url").str.extract(r"^\w+://(?:www\.)?([^/:?#]+)", 1)
    many = pl.len().over(host) > LARGE_SITE * pl.len()
    return pl.when(host.is_null() | many).then("text").otherwise(host).alias("site")


def _recipe(
    config: WebConfig, language: Language, model: LanguageModel, shards: list[Shard], protected: Protected | None
) -> dict[str, Any]:
    """Return all that shapes a dataset: input, settings, rules, model, language and library versions."""
    return {
        "source": config.source,
        "language": language.model_dump(exclude_none=True, exclude={"paper"}, mode="json"),
        "settings": config.recipe() | {"rules": dict(rules()), "lid": model.name, "lid_sha256": model.sha256},
        "protected": [list(file) for file in protected.files] if protected else [],
        "inputs": [shard.entry() for shard in shards],
        "sample": False,
        "made_with": made_with(*LIBRARIES),
    }
