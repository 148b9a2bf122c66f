"""Protected text, such as a benchmark, must not be trained on: find the lines that contain parts of it. IO."""

import csv
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
from lrldata.web.shingles import Hashes, collapse_spaces, shingles

WORDS, CHARACTERS = 8, 30  # in a row, shared with protected text: then a line is contaminated
BENCHMARKS, NAMED = "benchmarks.npz", "FLORES-200 devtest and SIB-200"  # the file, and its name in manifests
_LINES = {None, "text", "tsv", "csv"}  # file types that can be protected: JSON may escape letters
_SIEVED = np.uint64(44)


@dataclass(frozen=True, eq=False)
class ProtectedText:
    """Protected sentences, as the sorted hashes of their shingles; `named` describes their sources for a manifest."""

    hashes: Hashes
    named: tuple[dict[str, Any], ...]
    spaced: bool

    def found_in(self, texts: pl.Series) -> npt.NDArray[np.bool_]:
        """Return for each text whether it contains a shingle of protected text, (texts,)."""
        hashes, offsets = hash_sentences(texts, spaced=self.spaced)
        matches = self._sieve[hashes >> _SIEVED]
        suspect = hashes[matches]
        positions = np.minimum(np.searchsorted(self.hashes, suspect), len(self.hashes) - 1)
        matches[matches] = self.hashes[positions] == suspect
        totals = np.concatenate([[0], np.cumsum(matches)])
        return np.asarray(totals[offsets[1:]] > totals[offsets[:-1]])

    @cached_property
    def _sieve(self) -> npt.NDArray[np.bool_]:
        """Return which leading bits occur in the protected hashes, to rule most other hashes out early."""
        sieve = np.zeros(1 << (64 - int(_SIEVED)), dtype=np.bool_)
        sieve[self.hashes >> _SIEVED] = True
        return sieve


def open_protected(language: Language, files: Sequence[Path], *, benchmarks: bool = True) -> ProtectedText | None:
    """Protect the sentences of files, and with `benchmarks` the built-in ones (NAMED); None if there are none.

    A file has one sentence per line; in a CSV file or a tab-separated line, each field is one. Raises InputError.
    """
    spaced = is_spaced(main_script(language))
    sentences: list[str] = []
    for file in files:
        if type_of(file.name) not in _LINES or is_packed(file.name):
            raise InputError(
                f"{file}: not a text file.", "Give --protect text files with one sentence per line, or TSV."
            )
        try:
            lines = normalize(file.read_text("utf-8-sig")).split("\n")
            rows = csv.reader(lines) if type_of(file.name) == "csv" else (line.split("\t") for line in lines)
            sentences += [field for row in rows for field in row if field.strip()]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{file}: cannot be read ({error}).", "Give --protect UTF-8 text files.") from error
    hashes = hashes_of(sentences, language)
    sources: list[dict[str, Any]] = [{"name": as_utf8(file.name), "sha256": sha256_of(file)} for file in files]
    if benchmarks and has_benchmarks(language):
        with np.load(_built_in()) as archive:
            hashes = np.concatenate([hashes, archive[language.code]])
        sources.append({"name": NAMED, "sha256": sha256_of(_built_in())})
    return ProtectedText(np.unique(hashes), tuple(sources), spaced) if len(hashes) else None


def has_benchmarks(language: Language) -> bool:
    """Return whether the sentences of benchmarks in a language are built in."""
    with np.load(_built_in()) as archive:
        return language.code in archive.files


def _built_in() -> Path:
    return Path(str(files("lrldata.web").joinpath(BENCHMARKS)))


def hashes_of(sentences: Iterable[str], language: Language) -> Hashes:
    """Return the sorted hashes that represent sentences in protected text."""
    script = main_script(language)
    repaired = repair(pl.Series(list(sentences), dtype=pl.String), script, language.code)
    return np.unique(hash_sentences(repaired, spaced=is_spaced(script))[0])


def hash_sentences(texts: pl.Series, *, spaced: bool) -> tuple[Hashes, Hashes]:
    """Hash shingles of letters and digits only, so that case and punctuation hide nothing; expects repaired texts."""
    words = collapse_spaces(lowered(texts).str.replace_all(r"[^\p{L}\p{M}\p{N}\s]+", ""))
    return shingles(words, WORDS if spaced else CHARACTERS, spaced=spaced)
