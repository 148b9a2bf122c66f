"""Text that must not be trained on, as that of a benchmark: found again whole, or by what it shares with a line. IO."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from lrldata.errors import InputError
from lrldata.glotcc.shingles import Hashes, shingles
from lrldata.manifest import sha256_of

WORDS, CHARACTERS = 8, 30  # in a row that a line shares with protected text, from which on it is taken for a part of it


@dataclass(frozen=True)
class Protected:
    """Sentences that are protected, as hashes of their shingles; `files` names them for a manifest."""

    hashes: Hashes
    files: tuple[tuple[str, str], ...]
    spaced: bool

    def found_in(self, texts: pl.Series) -> npt.NDArray[np.bool_]:
        """Return for each text whether it has a shingle of protected text, (texts,)."""
        hashes, offsets = _hashes(texts, spaced=self.spaced)
        known = np.concatenate([[0], np.cumsum(np.isin(hashes, self.hashes))])
        return np.asarray(known[offsets[1:]] > known[offsets[:-1]])


def protect(files: Sequence[Path], *, spaced: bool) -> Protected:
    """Read files of protected text, a sentence a line; of tab-separated ones every field counts. Raises InputError."""
    sentences: list[str] = []
    for file in files:
        try:
            lines = file.read_text("utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file}: cannot be read ({error}).", "Give --protect files of UTF-8 text.") from error
        sentences += [field for line in lines for field in line.split("\t") if field.strip()]
    hashes, _ = _hashes(pl.Series(sentences, dtype=pl.String), spaced=spaced)
    return Protected(np.unique(hashes), tuple((file.name, sha256_of(file)) for file in files), spaced)


def _hashes(texts: pl.Series, *, spaced: bool) -> tuple[Hashes, Hashes]:
    """Hash shingles of letters and digits alone, so that case and punctuation hide nothing."""
    plain = texts.str.normalize("NFC").str.to_lowercase().str.replace_all(r"[^\p{L}\p{M}\p{N}\s]", "")
    return shingles(plain.str.replace_all(r"\s+", " "), WORDS if spaced else CHARACTERS, spaced=spaced)
