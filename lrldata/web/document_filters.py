"""Documents as wholes: rules for what is left of them, and what is needed to compare them. Pure.

The rules are those of Gopher (Rae et al. 2021), C4 (Raffel et al. 2020) and FineWeb-2 (Penedo et al. 2025) that hold
for any script, in our own statement; their numbers are in rules.toml, and where languages differ in documents.toml, as
tools/make/web_thresholds.py finds them in running text.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from lrldata.language import Language
from lrldata.normalize import lowered
from lrldata.split import content_hash
from lrldata.web.characters import CLOSING, SENTENCE_MARKS, scale_of
from lrldata.web.clean import rules
from lrldata.web.minhash import SHINGLE, Signatures, bands, sign
from lrldata.web.repair import is_spaced, main_script
from lrldata.web.shingles import Hashes, Numbers, shingles

ENDED = rf"[{SENTENCE_MARKS}…:;፡༑၊՞][{CLOSING}」』]*$"
ELLIPSIS = r"(?:\.\.\.|…)$"
OF_PAGES = ("document_short", "document_words")  # rules that do not hold for a single sentence
BULLET = r"^[•●▪■◦‣\-–*·]"  # noqa: RUF001


class Described(NamedTuple):
    """Documents and what they are compared by.

    A row each of doc, order and folded (hashes of the content, and of it in lower case) and size; the signatures
    (documents, PERMUTATIONS) and the hashes of their bands (BANDS, documents).
    """

    documents: pl.DataFrame
    signatures: Signatures
    bands: Hashes


@cache
def thresholds(code: str) -> Mapping[str, Any]:
    """Return the numbers of the rules for documents in a language: its own where they are known."""
    table = tomllib.loads(files("lrldata.web").joinpath("document_filters.toml").read_text("utf-8"))
    return {**table["default"], **table.get(code, {})}


def judge(lines: pl.DataFrame, language: Language, *, sentences: bool = False) -> pl.DataFrame:
    """Return a row per document, by what is left of it: doc, reason (null where it stays) and what was measured.

    In: rows doc and text of lines, those of a document together. The first rule that fits counts. Of `sentences`, each
    a document, none is too short, and none has too few words to tell how long they are.
    """
    joined, hashes, offsets = _join(lines, language)
    return _judge(lines, joined, hashes, offsets, language, sentences=sentences)


def describe(lines: pl.DataFrame, language: Language, *, sentences: bool = False) -> tuple[pl.DataFrame, Described]:
    """Judge documents as `judge` does, and describe those that stay, so that they can be compared."""
    joined, hashes, offsets = _join(lines, language)
    judged = _judge(lines, joined, hashes, offsets, language, sentences=sentences)
    stays = judged["reason"].is_null()
    some = joined.filter(stays)
    counts = _counts(offsets)
    chosen = np.repeat(stays.to_numpy(), counts)
    ends = np.concatenate([[0], np.cumsum(counts[stays.to_numpy()])]).astype(np.uint64)
    signatures = sign(hashes[chosen], ends)
    described = some.select(
        "doc",
        pl.col("text").str.len_chars().alias("size"),
        order=content_hash(some["text"]),
        folded=content_hash(some["lower"].str.replace_all("\n", " ", literal=True)),
    )
    return judged, Described(described, signatures, bands(signatures))


def _join(lines: pl.DataFrame, language: Language) -> tuple[pl.DataFrame, Hashes, Hashes]:
    joined = lines.group_by("doc", maintain_order=True).agg(pl.col("text").str.join("\n"))
    joined = joined.with_columns(lower=lowered(joined["text"]))
    hashes, offsets = shingles(joined["lower"], SHINGLE, spaced=is_spaced(main_script(language)))
    return joined, hashes, offsets


def _judge(
    lines: pl.DataFrame, joined: pl.DataFrame, hashes: Hashes, offsets: Hashes, language: Language, *, sentences: bool
) -> pl.DataFrame:
    numbers, own = rules(), thresholds(language.code)
    size = pl.col("text").str.len_chars()
    again = pl.when(~pl.struct("doc", "text").is_first_distinct()).then(size).otherwise(0)
    measured = (
        lines.with_columns(size=size, again=again, end=pl.col("text").str.tail(numbers["shared_end"]))
        .group_by("doc", maintain_order=True)
        .agg(
            size=pl.col("size").sum(),
            lines=pl.len(),
            repeated=pl.col("again").sum() / pl.col("size").sum(),
            ended=pl.col("text").str.contains(ENDED).mean(),
            ellipses=pl.col("text").str.contains(ELLIPSIS).mean(),
            bullets=pl.col("text").str.contains(BULLET).mean(),
            numbered=pl.col("text").str.contains(r"\p{Nd}").mean(),
            shared=pl.col("end").is_duplicated().mean(),
        )
    )
    words = joined.select(words=pl.col("text").str.count_matches("[ \n፡]") + 1)["words"]
    measured = measured.with_columns(
        length=pl.col("size") / scale_of(language.scripts),
        repeated_shingles=pl.Series(_repeated(hashes, offsets)),
        word_length=pl.col("size") / words if is_spaced(main_script(language)) else None,
    )
    several = pl.col("lines") >= numbers["several_lines"]
    short, long = own["word_length"]
    fits = {
        "document_short": pl.col("length") < numbers["shortest_document"],
        "document_repetition": (pl.col("repeated") > numbers["most_repeated"])
        | (pl.col("repeated_shingles") > own["most_repeated_shingles"]),
        "document_words": (pl.col("word_length") < short) | (pl.col("word_length") > long),
        "document_list": several
        & (
            (pl.col("bullets") > numbers["most_bullets"])
            | (pl.col("ellipses") > numbers["most_ellipses"])
            | (
                (pl.col("ended") < numbers["least_ended"])
                & (pl.col("numbered") > numbers["most_numbered"])
                & (pl.col("shared") > numbers["most_shared"])
            )
        ),
    }
    held = {name: fit for name, fit in fits.items() if not (sentences and name in OF_PAGES)}
    reason = pl.coalesce(*(pl.when(fit.fill_null(False)).then(pl.lit(name)) for name, fit in held.items()))
    return measured.with_columns(reason=reason)


def _counts(offsets: Hashes) -> Numbers:
    begins = offsets.astype(np.int64)
    return begins[1:] - begins[:-1]


def _repeated(hashes: Hashes, offsets: Hashes) -> npt.NDArray[np.float64]:
    """Return which share of the shingles of each text it has had before."""
    counts = _counts(offsets)
    number = np.repeat(np.arange(len(counts), dtype=np.uint64), counts)
    distinct = pl.DataFrame({"text": number, "hash": hashes}).group_by("text").agg(pl.col("hash").n_unique())
    unique = np.zeros(len(counts), dtype=np.int64)
    unique[distinct["text"].to_numpy()] = distinct["hash"].to_numpy()
    return np.asarray(1 - unique / np.maximum(counts, 1)) * (counts > 0)
