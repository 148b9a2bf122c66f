"""Whole documents: rules for what is left of them, and descriptions for comparing them. Pure.

The rules are those of Gopher (Rae et al. 2021), C4 (Raffel et al. 2020) and FineWeb-2 (Penedo et al. 2025) that apply
to any script, in our own wording. Their thresholds are in rules.toml; those that differ between languages are in
document_filters.toml, as measured in running text by tools/make/web_thresholds.py.
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
OF_PAGES = ("document_short", "document_words")  # rules that do not apply to a single sentence
BULLET = r"^[•●▪■◦‣\-–*·]"  # noqa: RUF001


class DocumentData(NamedTuple):
    """Documents, and the data for comparing them.

    `documents` has one row per document: doc, order and folded (hashes of the content, as it is and in lower case), and
    size. `signatures` are (documents, PERMUTATIONS), and the hashes of their `bands` are (BANDS, documents).
    """

    documents: pl.DataFrame
    signatures: Signatures
    bands: Hashes


@cache
def thresholds(code: str) -> Mapping[str, Any]:
    """Return the thresholds of the document rules in a language: its own if known, otherwise the defaults."""
    table = tomllib.loads(files("lrldata.web").joinpath("document_filters.toml").read_text("utf-8"))
    return {**table["default"], **table.get(code, {})}


def judge(lines: pl.DataFrame, language: Language, *, sentences: bool = False) -> pl.DataFrame:
    """Return one row per document, judged by what is left of it: doc, reason (null if it is kept), and the measures.

    In: one row per line, doc and text, with the lines of a document together. The first rule that applies counts. With
    `sentences`, each document is one sentence, so the rules in OF_PAGES for its length and word length do not apply.
    """
    joined, hashes, offsets = _join(lines, language)
    return _judge(lines, joined, hashes, offsets, language, sentences=sentences)


def describe(lines: pl.DataFrame, language: Language, *, sentences: bool = False) -> tuple[pl.DataFrame, DocumentData]:
    """Judge documents as `judge` does, and describe the kept ones for comparison."""
    joined, hashes, offsets = _join(lines, language)
    judged = _judge(lines, joined, hashes, offsets, language, sentences=sentences)
    keep = judged["reason"].is_null()
    kept = joined.filter(keep)
    counts = _counts(offsets)
    of_kept = np.repeat(keep.to_numpy(), counts)
    ends = np.concatenate([[0], np.cumsum(counts[keep.to_numpy()])]).astype(np.uint64)
    signatures = sign(hashes[of_kept], ends)
    described = kept.select(
        "doc",
        pl.col("text").str.len_chars().alias("size"),
        order=content_hash(kept["text"]),
        folded=content_hash(kept["lower"].str.replace_all("\n", " ", literal=True)),
    )
    return judged, DocumentData(described, signatures, bands(signatures))


def _join(lines: pl.DataFrame, language: Language) -> tuple[pl.DataFrame, Hashes, Hashes]:
    joined = lines.group_by("doc", maintain_order=True).agg(pl.col("text").str.join("\n"))
    joined = joined.with_columns(lower=lowered(joined["text"]))
    hashes, offsets = shingles(joined["lower"], SHINGLE, spaced=is_spaced(main_script(language)))
    return joined, hashes, offsets


def _judge(
    lines: pl.DataFrame, joined: pl.DataFrame, hashes: Hashes, offsets: Hashes, language: Language, *, sentences: bool
) -> pl.DataFrame:
    numbers, limits = rules(), thresholds(language.code)
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
    short, long = limits["word_length"]
    conditions = {
        "document_short": pl.col("length") < numbers["shortest_document"],
        "document_repetition": (pl.col("repeated") > numbers["most_repeated"])
        | (pl.col("repeated_shingles") > limits["most_repeated_shingles"]),
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
    applicable = {name: condition for name, condition in conditions.items() if not (sentences and name in OF_PAGES)}
    reason = pl.coalesce(
        *(pl.when(condition.fill_null(False)).then(pl.lit(name)) for name, condition in applicable.items())
    )
    return measured.with_columns(reason=reason)


def _counts(offsets: Hashes) -> Numbers:
    begins = offsets.astype(np.int64)
    return begins[1:] - begins[:-1]


def _repeated(hashes: Hashes, offsets: Hashes) -> npt.NDArray[np.float64]:
    """Return for each text the share of its shingles that repeat earlier ones."""
    counts = _counts(offsets)
    number = np.repeat(np.arange(len(counts), dtype=np.uint64), counts)
    distinct = pl.DataFrame({"text": number, "hash": hashes}).group_by("text").agg(pl.col("hash").n_unique())
    unique = np.zeros(len(counts), dtype=np.int64)
    unique[distinct["text"].to_numpy()] = distinct["hash"].to_numpy()
    return np.asarray(1 - unique / np.maximum(counts, 1)) * (counts > 0)
