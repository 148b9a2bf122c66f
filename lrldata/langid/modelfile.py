"""Read and check the layout of a fastText model file without loading it. IO.

The C++ library trusts every number in a file: a wrong one makes it read beyond its memory and crash the process, or
fill the memory. So a file is checked before it is loaded: its numbers against each other and against its length. The
layout is fastText's own, version 12 (fastText 0.9; github.com/facebookresearch/fastText).
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lrldata.errors import InputError

_MAGIC, _NEWEST = 793_712_314, 12
_WITHOUT_SUBWORDS = 11  # supervised models of this version have no n-grams, whatever the file says
_SUPERVISED = 3
_WORD, _LABEL = 0, 1
_HIERARCHICAL, _LOSSES = 1, (1, 2, 3, 4)  # hierarchical softmax, negative sampling, softmax, one against all
_ENTRY = 10  # minimum bytes of a word or label: its terminator, count and kind
CENTROIDS = 256  # for each part of a vector in a quantized matrix
_WIDEST, _LONGEST = 1 << 20, 100  # dimension; characters or words in an n-gram: the work grows with both
_ROWS = 1 << 31  # row numbers have 32 bits
_UNUSED = 10**15  # fastText's count for a node of the label tree that is not built yet
_LARGEST = 1e8  # for a weight: a product of three and a sum of a million stay finite
_BLOCK = 1 << 24  # bytes
_HINT = "Use a complete supervised fastText model (.bin or .ftz): download or copy it again."


class Quantized(NamedTuple):
    """The position of a quantized matrix in a file: the first byte of each part; `ends` is the first byte after it.

    A row has `subvectors` codes of one byte, each of which stands for `size` numbers (the last one perhaps for fewer).
    `norms` has the positions of the codes for the rows' norms and of their values; None if rows have no norms.
    """

    begins: int
    rows: int
    columns: int
    codes: int
    subvectors: int
    size: int
    centroids: int
    norms: tuple[int, int] | None
    ends: int


@dataclass(frozen=True)
class Layout:
    """The header of a model file: the dimension of its vectors, the lengths of its n-grams (in characters), its labels.

    `weights` has the first byte and the count of each block of numbers. `quantized` is the word matrix if it is
    quantized, and `pruned` says whether some n-grams have no row.
    """

    dimension: int
    shortest: int
    longest: int
    buckets: int
    labels: tuple[str, ...]
    weights: tuple[tuple[int, int], ...]
    quantized: Quantized | None
    pruned: bool


class _UnsoundError(ValueError):
    """The numbers in a file contradict each other; the message says which."""


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0
        self.weights: list[tuple[int, int]] = []

    def take(self, form: str) -> tuple[int, ...]:
        """Read numbers. Raises struct.error at the end of the file."""
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def flag(self, name: str) -> bool:
        (value,) = self.take("B")
        _require(value <= 1, f"the {name} is {value}, not 0 or 1")
        return bool(value)

    def text(self) -> bytes:
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise struct.error
        value, self.at = self.data[self.at : end], end + 1
        return value

    def skip(self, size: int) -> int:
        """Skip `size` bytes, and return the position where they begin."""
        begin, self.at = self.at, self.at + size
        if size < 0 or self.at > len(self.data):
            raise struct.error
        return begin

    def skip_weights(self, count: int) -> None:
        self.weights.append((self.skip(4 * count), count))

    def skip_matrix(self, name: str, rows: int, columns: int, *, quantized: bool) -> Quantized | None:
        """Skip a matrix, which must have these numbers of rows and columns."""
        begins = self.at
        has_norms = self.flag(f"norm flag of the {name}") if quantized else False
        shape = self.take("qq")
        _require(shape == (rows, columns), f"the {name} is {shape[0]} by {shape[1]}, not {rows} by {columns}")
        if not quantized:
            self.skip_weights(rows * columns)
            return None
        (count,) = self.take("i")
        codes = self.skip(count)
        subvectors, size, centroids = self.skip_centroids(name, columns)
        _require(count == rows * subvectors, f"the {name} has {count} codes, not {rows * subvectors}")
        norms = (self.skip(rows), self.skip_centroids(f"norms of the {name}", 1)[2]) if has_norms else None
        return Quantized(begins, rows, columns, codes, subvectors, size, centroids, norms, self.at)

    def skip_centroids(self, name: str, columns: int) -> tuple[int, int, int]:
        """Skip the values of a quantized matrix's codes; return codes per row, numbers per code, and the position."""
        width, subvectors, size, last = self.take("4i")
        fits = size > 0 and width == columns == (subvectors - 1) * size + last and 0 < last <= size
        _require(fits, f"in the {name}, vectors have {width} numbers, not {subvectors - 1} times {size} plus {last}")
        begins = self.at
        self.skip_weights(width * CENTROIDS)
        return subvectors, size, begins


def _require(is_met: bool, message: str) -> None:
    if not is_met:
        raise _UnsoundError(message)


def read_layout(path: Path) -> Layout:
    """Read the layout of a model, and check that the file is complete and that its numbers agree.

    Raises InputError if it is not a fastText model, not a supervised one, shorter or longer than its header says, or if
    loading it or predicting with it would read beyond its data.
    """
    try:
        if not path.is_file() and path.exists():  # reading a pipe or a device might never end
            raise InputError(f"{path}: not a regular file.", _HINT)
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(_Reader(data), path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}.", _HINT) from error
    except _UnsoundError as error:
        raise InputError(f"{path}: not a valid fastText model: {error}.", _HINT) from error
    except (struct.error, ValueError) as error:  # ValueError: an empty file, or a label that is not UTF-8
        raise InputError(f"{path}: not a complete fastText model.", _HINT) from error


def _read(reader: _Reader, path: Path) -> Layout:
    magic, version = reader.take("ii")
    if magic != _MAGIC or not 0 < version <= _NEWEST:
        raise InputError(f"{path}: not a fastText model.", _HINT)
    dimension, _, _, _, _, word_ngrams, loss, model, buckets, shortest, longest, _ = reader.take("12i")
    reader.take("d")
    if model != _SUPERVISED:
        raise InputError(f"{path}: a fastText model of word vectors, which has no labels.", _HINT)
    longest = 0 if version == _WITHOUT_SUBWORDS else longest
    _require(0 < dimension <= _WIDEST, f"its vectors have {dimension} dimensions")
    _require(loss in _LOSSES, f"it has an unknown loss, number {loss}")
    _require(shortest >= 0 and 0 <= longest <= _LONGEST, f"its n-grams have {shortest} to {longest} characters")
    _require(0 <= word_ngrams <= _LONGEST, f"its n-grams have {word_ngrams} words")
    hashed = word_ngrams > 1 or (longest > 0 and longest >= shortest)
    _require(buckets > 0 or (buckets == 0 and not hashed), f"its n-grams have {buckets} buckets")
    words, labels, pruned = _read_words(reader, hierarchical=loss == _HIERARCHICAL)
    rows = words + (buckets if pruned < 0 else pruned)
    _require(rows < _ROWS, f"it has {rows} rows")
    quantized = reader.flag("quantization flag")
    _require(quantized or pruned < 0, "it is pruned but not quantized")
    matrix = reader.skip_matrix("word matrix", rows, dimension, quantized=quantized)
    quantized &= reader.flag("quantization flag of the label matrix")
    reader.skip_matrix("label matrix", len(labels), dimension, quantized=quantized)
    if reader.at != len(reader.data):
        raise InputError(f"{path}: not a complete fastText model.", _HINT)
    return Layout(dimension, shortest, longest, buckets, labels, tuple(reader.weights), matrix, pruned >= 0)


def _read_words(reader: _Reader, *, hierarchical: bool) -> tuple[int, tuple[str, ...], int]:
    """Return the number of words, the labels, and how many n-grams are left after pruning (-1: all)."""
    entries, words, count, _, pruned = reader.take("iiiqq")
    _require(
        words >= 0 and count > 0 and entries == words + count,
        f"it has {words} words and {count} labels, but {entries} entries",
    )
    if entries * _ENTRY > len(reader.data) - reader.at:
        raise struct.error
    labels, counts = [], []
    for number in range(entries):
        text = reader.text()
        seen, kind = reader.take("qb")
        _require(kind == (_WORD if number < words else _LABEL), f"entry {number} has the wrong kind {kind}")
        if kind == _LABEL:
            labels.append(text.decode().removeprefix("__label__"))
            counts.append(seen)
    if hierarchical:  # otherwise the library's label tree has cycles, which it would follow endlessly
        _require(
            min(counts) > 0 and sum(counts) < _UNUSED, f"its labels were seen {min(counts)} to {max(counts)} times"
        )
    _require(pruned >= -1, f"it has {pruned} n-grams left after pruning")
    begin = reader.skip(8 * max(pruned, 0))
    kept = np.frombuffer(reader.data[begin : reader.at], "<i4")[1::2]
    _require(bool(((kept >= 0) & (kept < pruned)).all()), "an n-gram refers to a missing row")
    return words, tuple(labels), pruned


def check_weights(path: Path, layout: Layout) -> None:
    """Check that the weights are finite numbers of a plausible size. Raises InputError.

    With a NaN or an infinity, the library fails on the texts that use it, or reads beyond a table.
    """
    with path.open("rb") as stream:
        for begin, count in layout.weights:
            stream.seek(begin)
            for offset in range(0, 4 * count, _BLOCK):
                block = np.frombuffer(stream.read(min(_BLOCK, 4 * count - offset)), "<f4")
                if not bool((np.abs(block) <= _LARGEST).all()):
                    raise InputError(
                        f"{path}: not a valid fastText model: it has weights that are too large or not numbers.", _HINT
                    )
