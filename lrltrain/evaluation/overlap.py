"""Overlap of a test set with other text: with the training items, and with a corpus. IO."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from lrldata.dataset import OpenDataset, open_shards
from lrldata.errors import InputError
from lrldata.language import Language
from lrldata.manifest import identity
from lrldata.split import comparison_key
from lrldata.web.decontaminate import CHARACTERS, WORDS, hash_sentences
from lrldata.web.minhash import clusters, signatures
from lrldata.web.repair import is_spaced, main_script, repair
from lrltrain.evaluation.items import Items

ROWS_AT_ONCE = 10_000


def overlaps(splits: dict[str, Items], language: Language) -> dict[str, Any]:
    """Count the items of the test split that also occur in train and in dev, and those of dev that occur in train."""
    spaced = is_spaced(main_script(language))
    pairs = {"test_in_train": ("test", "train"), "test_in_dev": ("test", "dev"), "dev_in_train": ("dev", "train")}
    return {
        name: overlap(splits[one].texts, splits[other].texts, spaced=spaced) for name, (one, other) in pairs.items()
    }


def overlap(these: Sequence[str], those: Sequence[str], *, spaced: bool) -> dict[str, int]:
    """Count how many of `these` texts occur among `those`, exactly or nearly.

    `exact` compares texts after NFC, lower-casing and collapsing spaces. `near` includes exact matches and compares by
    MinHash of shingles (see `lrldata.web.minhash`): a text counts if it is in one cluster with one of `those`.
    """
    one, other = (_normalised(texts) for texts in (these, those))
    exact = one.is_in(other.implode()).to_numpy()
    cluster_ids = clusters(signatures(pl.concat([one, other]), spaced=spaced))
    near = np.isin(cluster_ids[: len(one)], cluster_ids[len(one) :]) | exact
    return {"items": len(one), "exact": int(exact.sum()), "near": int(near.sum())}


def _normalised(texts: Sequence[str]) -> pl.Series:
    frame = pl.DataFrame({"text": pl.Series(list(texts), dtype=pl.String)})
    return frame.select(comparison_key(pl.col("text")))["text"]


def contamination(folder: Path, items: Items, language: Language) -> dict[str, Any]:
    """Count how many items of a test set occur in the text of a training dataset, in its split `train`.

    Items are compared by shingles of 8 words (30 characters in scripts without spaces), of letters and digits only, as
    `lrldata build` does to protect benchmarks. `found` counts items with at least one shingle in the corpus, `whole`
    those with all of them. An item shorter than a shingle is found only if it is a whole line. The corpus is streamed.
    Raises InputError, StorageError.
    """
    opened = open_shards(folder)
    manifest = opened.manifest
    corpus_language = manifest["language"]["code"]
    if corpus_language != language.code:
        raise InputError(
            f"{folder}: holds {corpus_language}, not {language.code}.", f"Give a corpus in {language.name}."
        )
    spaced, script = is_spaced(main_script(language)), main_script(language)
    texts = repair(pl.Series(list(items.texts), dtype=pl.String), script, language.code)
    hashes, offsets = hash_sentences(texts, spaced=spaced)
    unique_hashes, number_of = np.unique(hashes, return_inverse=True)
    in_corpus = np.zeros(len(unique_hashes), dtype=np.bool_)
    for rows in _texts(opened):
        hashes_of_rows = pl.Series(hash_sentences(rows, spaced=spaced)[0])  # np.isin would sort them
        in_corpus |= pl.Series(unique_hashes).is_in(hashes_of_rows.implode()).to_numpy()
    cumulative = np.concatenate([[0], np.cumsum(in_corpus[number_of])])
    begins, ends = offsets[:-1].astype(int), offsets[1:].astype(int)
    shared = cumulative[ends] - cumulative[begins]
    return {
        "corpus": {"source": manifest["source"], "version": manifest["version"]}
        | {"manifest_sha256": identity(folder, manifest)},
        "shingle": f"{WORDS} words" if spaced else f"{CHARACTERS} characters",
        "items": len(items.texts),
        "found": int((shared > 0).sum()),
        "whole": int(((shared == ends - begins) & (ends > begins)).sum()),
    }


def _texts(opened: OpenDataset) -> Iterator[pl.Series]:
    for stream in opened.shards.get("train", ()):
        for batch in pq.ParquetFile(stream).iter_batches(batch_size=ROWS_AT_ONCE, columns=["text"]):
            frame = pl.from_arrow(batch)
            if isinstance(frame, pl.DataFrame):
                yield frame["text"]
