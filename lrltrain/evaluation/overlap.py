"""What a test set shares with other text: with the items that are trained on, and with a corpus. IO."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from lrldata.dataset import Opened, open_shards
from lrldata.errors import InputError
from lrldata.language import Language
from lrldata.manifest import identity
from lrldata.split import normalised
from lrldata.web.decontaminate import CHARACTERS, WORDS, hash_sentences
from lrldata.web.minhash import clusters, signatures
from lrldata.web.repair import is_spaced, main_script, repair
from lrltrain.evaluation.items import Items

ROWS_AT_ONCE = 10_000


def overlaps(splits: dict[str, Items], language: Language) -> dict[str, Any]:
    """Count the items of the test split that stand in train and dev, and those of dev that stand in train."""
    spaced = is_spaced(main_script(language))
    pairs = {"test_in_train": ("test", "train"), "test_in_dev": ("test", "dev"), "dev_in_train": ("dev", "train")}
    return {
        name: overlap(splits[these].texts, splits[those].texts, spaced=spaced) for name, (these, those) in pairs.items()
    }


def overlap(these: Sequence[str], those: Sequence[str], *, spaced: bool) -> dict[str, int]:
    """Count how many of these texts are among those: exactly, or nearly.

    `exact` is after NFC, lower case and single spaces. `near`, which includes them, is by MinHash of shingles (see
    `lrldata.web.minhash`): in one cluster with one of those.
    """
    one, other = (_normalised(texts) for texts in (these, those))
    exact = one.is_in(other.implode()).to_numpy()
    found = clusters(signatures(pl.concat([one, other]), spaced=spaced))
    near = np.isin(found[: len(one)], found[len(one) :]) | exact
    return {"items": len(one), "exact": int(exact.sum()), "near": int(near.sum())}


def _normalised(texts: Sequence[str]) -> pl.Series:
    frame = pl.DataFrame({"text": pl.Series(list(texts), dtype=pl.String)})
    return frame.select(normalised(pl.col("text")))["text"]


def contamination(folder: Path, items: Items, language: Language) -> dict[str, Any]:
    """Count how many items of a test set are found in the text of a dataset that is trained on, its split `train`.

    By shingles of 8 words (30 characters where a script has no spaces), of letters and digits alone, as `lrldata build`
    protects benchmarks: `found` have at least one in the corpus, `whole` all of them. An item shorter than a shingle is
    found only where it is a whole line. The corpus is streamed. Raises InputError, StorageError.
    """
    opened = open_shards(folder)
    manifest = opened.manifest
    held = manifest["language"]["code"]
    if held != language.code:
        raise InputError(f"{folder}: holds {held}, not {language.code}.", f"Give a corpus of {language.name}.")
    spaced, script = is_spaced(main_script(language)), main_script(language)
    texts = repair(pl.Series(list(items.texts), dtype=pl.String), script, language.code)
    hashes, offsets = hash_sentences(texts, spaced=spaced)
    wanted = np.unique(hashes)
    seen = np.zeros(len(wanted), dtype=np.bool_)
    for rows in _texts(opened):
        found, _ = hash_sentences(rows, spaced=spaced)
        places = np.minimum(np.searchsorted(wanted, found), max(0, len(wanted) - 1))
        if len(wanted):
            seen[places[wanted[places] == found]] = True
    known = np.concatenate([[0], np.cumsum(seen[np.searchsorted(wanted, hashes)])]) if len(wanted) else np.zeros(1)
    begins, ends = offsets[:-1].astype(int), offsets[1:].astype(int)
    shared = known[ends] - known[begins]
    return {
        "corpus": {"source": manifest["source"], "version": manifest["version"]}
        | {"manifest_sha256": identity(folder, manifest)},
        "shingle": f"{WORDS} words" if spaced else f"{CHARACTERS} characters",
        "items": len(items.texts),
        "found": int((shared > 0).sum()),
        "whole": int(((shared == ends - begins) & (ends > begins)).sum()),
    }


def _texts(opened: Opened) -> Iterator[pl.Series]:
    for stream in opened.shards.get("train", ()):
        for batch in pq.ParquetFile(stream).iter_batches(batch_size=ROWS_AT_ONCE, columns=["text"]):
            frame = pl.from_arrow(batch)
            if isinstance(frame, pl.DataFrame):
                yield frame["text"]
