"""Text that must not be trained on, as that of a benchmark: found again whole, or by what it shares with a line. IO."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from lrldata.errors import InputError
from lrldata.language import Language
from lrldata.manifest import sha256_of
from lrldata.normalize import lowered, normalize
from lrldata.web.inputs import as_utf8, is_packed, type_of
from lrldata.web.repair import is_spaced, main_script, repair
from lrldata.web.shingles import Hashes, gaps_closed, shingles

WORDS, CHARACTERS = 8, 30  # in a row that a line shares with protected text, from which on it is taken for a part of it
BENCHMARKS, NAMED = "benchmarks.npz", "FLORES-200 and SIB-200"  # the file, and what a manifest calls it
KEPT_OF = {True: 4, False: 16}  # of so many words or characters one stands for a sentence of a benchmark, one at least
_LINES = {None, "text", "tsv", "csv"}  # types of files that can be protected: JSON writes letters otherwise
_SIEVED = np.uint64(44)


@dataclass(frozen=True, eq=False)
class Protected:
    """Sentences that are protected, as hashes of their shingles, in order; `named` says for a manifest what it is."""

    hashes: Hashes
    named: tuple[dict[str, Any], ...]
    spaced: bool

    def found_in(self, texts: pl.Series) -> npt.NDArray[np.bool_]:
        """Return for each text whether it has a shingle of protected text, (texts,)."""
        hashes, offsets = hash_sentences(texts, spaced=self.spaced)
        found = self._sieve[hashes >> _SIEVED]
        suspect = hashes[found]
        places = np.minimum(np.searchsorted(self.hashes, suspect), len(self.hashes) - 1)
        found[found] = self.hashes[places] == suspect
        known = np.concatenate([[0], np.cumsum(found)])
        return np.asarray(known[offsets[1:]] > known[offsets[:-1]])

    @cached_property
    def _sieve(self) -> npt.NDArray[np.bool_]:
        """Return which beginnings a hash may have: few are looked for any further."""
        sieve = np.zeros(1 << (64 - int(_SIEVED)), dtype=np.bool_)
        sieve[self.hashes >> _SIEVED] = True
        return sieve


def open_protected(language: Language, given: Sequence[Path], *, benchmarks: bool = True) -> Protected | None:
    """Protect the sentences of files, and with `benchmarks` those of FLORES-200 and SIB-200; None where there is none.

    A file has a sentence per line; of tab-separated ones every field counts. Raises InputError.
    """
    spaced = is_spaced(main_script(language))
    sentences: list[str] = []
    for file in given:
        if type_of(file.name) not in _LINES or is_packed(file.name):
            raise InputError(
                f"{file}: not a file of lines.", "Give --protect files of text: a sentence per line, or TSV."
            )
        try:
            lines = normalize(file.read_text("utf-8-sig")).split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file}: cannot be read ({error}).", "Give --protect files of UTF-8 text.") from error
        sentences += [field for line in lines for field in line.split("\t") if field.strip()]
    hashes, _ = hash_sentences(_repaired(sentences, language), spaced=spaced)
    named: list[dict[str, Any]] = [{"name": as_utf8(file.name), "sha256": sha256_of(file)} for file in given]
    if benchmarks and has_benchmarks(language):
        with np.load(_built_in()) as held:
            hashes = np.concatenate([hashes, held[language.code]])
        named.append({"name": NAMED, "sha256": sha256_of(_built_in())})
    return Protected(np.unique(hashes), tuple(named), spaced) if len(hashes) else None


def has_benchmarks(language: Language) -> bool:
    """Return whether the sentences of FLORES-200 and SIB-200 in a language are known here."""
    with np.load(_built_in()) as held:
        return language.code in held.files


def _built_in() -> Path:
    return Path(str(files("lrldata.web").joinpath(BENCHMARKS)))


def _repaired(sentences: Iterable[str], language: Language) -> pl.Series:
    return repair(pl.Series(list(sentences), dtype=pl.String), main_script(language), language.code)


def few_hashes(sentences: Iterable[str], language: Language) -> Hashes:
    """Return the hashes that stand for sentences in the built-in benchmarks."""
    spaced = is_spaced(main_script(language))
    hashes, offsets = hash_sentences(_repaired(sentences, language), spaced=spaced)
    chosen = hashes % np.uint64(KEPT_OF[spaced]) == 0
    for begin, end in zip(offsets[:-1].astype(int), offsets[1:].astype(int), strict=True):
        if begin < end:
            chosen[begin + int(hashes[begin:end].argmin())] = True
    return np.unique(hashes[chosen])


def hash_sentences(texts: pl.Series, *, spaced: bool) -> tuple[Hashes, Hashes]:
    """Hash shingles of letters and digits alone, so that case and punctuation hide nothing; texts are repaired."""
    words = gaps_closed(lowered(texts).str.replace_all(r"[^\p{L}\p{M}\p{N}\s]+", ""))
    return shingles(words, WORDS if spaced else CHARACTERS, spaced=spaced)
