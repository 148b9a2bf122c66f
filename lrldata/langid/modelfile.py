"""The layout of a fastText model file, read and checked without loading it. IO.

The C++ library believes every number of a file: where one is wrong, it reads beyond its memory and takes the process
down, or fills the memory. So a file is checked before it is loaded: its numbers against each other and against its
length. The layout is fastText's own, version 12 (fastText 0.9; github.com/facebookresearch/fastText).
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lrldata.errors import InputError

_MAGIC, _NEWEST = 793_712_314, 12
_WITHOUT_SUBWORDS = 11  # supervised models of this version have no n-grams, whatever they say
_SUPERVISED = 3
_WORD, _LABEL = 0, 1
_HIERARCHICAL, _LOSSES = 1, (1, 2, 3, 4)  # hierarchical softmax, negative sampling, softmax, one against all
_ENTRY = 10  # bytes of a word or label at least: its end, its count, its kind
CENTROIDS = 256  # of each part of a vector of a quantised matrix
_WIDEST, _LONGEST = 1 << 20, 100  # dimension; letters or words of an n-gram: the work grows with it
_ROWS = 1 << 31  # rows are numbered in 32 bits
_UNUSED = 10**15  # the count of a node of the tree of labels that is not made yet
_LARGEST = 1e8  # of a weight: a product of three and a sum of a million stay finite
_BLOCK = 1 << 24  # bytes
_HINT = "Give a supervised fastText model, .bin or .ftz, as a whole: download or copy it again."


class Quantised(NamedTuple):
    """Where a file has a quantised matrix: the first byte of each of its parts, and `ends`, the first behind it.

    A row has `subvectors` codes of a byte, each of which stands for `size` numbers (the last perhaps for fewer).
    `norms` is for the codes of the rows' norms and for what they mean; None where rows have no norm of their own.
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
    """What a model file says of itself: the width of its vectors, the lengths of its n-grams (letters), its labels.

    `weights` says where its numbers are: the first byte and how many, for each stretch of them. `quantised` is its
    matrix of words where that is quantised, and `pruned` tells whether some n-grams have no row.
    """

    dimension: int
    shortest: int
    longest: int
    buckets: int
    labels: tuple[str, ...]
    weights: tuple[tuple[int, int], ...]
    quantised: Quantised | None
    pruned: bool


class _UnsoundError(ValueError):
    """Numbers of a file that contradict each other; the message says which."""


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0
        self.weights: list[tuple[int, int]] = []

    def take(self, form: str) -> tuple[int, ...]:
        """Read numbers; struct.error at the end of the file."""
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def flag(self, what: str) -> bool:
        (value,) = self.take("B")
        _require(value <= 1, f"{what} is {value}, neither yes nor no")
        return bool(value)

    def text(self) -> bytes:
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise struct.error
        found, self.at = self.data[self.at : end], end + 1
        return found

    def skip(self, size: int) -> int:
        """Pass over so many bytes, and return where they begin."""
        begin, self.at = self.at, self.at + size
        if size < 0 or self.at > len(self.data):
            raise struct.error
        return begin

    def skip_weights(self, count: int) -> None:
        self.weights.append((self.skip(4 * count), count))

    def skip_matrix(self, what: str, rows: int, columns: int, *, quantised: bool) -> Quantised | None:
        """Pass over a matrix, which must have these rows and columns."""
        begins = self.at
        normed = self.flag(f"whether the {what} has norms") if quantised else False
        shape = self.take("qq")
        _require(shape == (rows, columns), f"the {what} is {shape[0]} by {shape[1]}, not {rows} by {columns}")
        if not quantised:
            self.skip_weights(rows * columns)
            return None
        (count,) = self.take("i")
        codes = self.skip(count)
        subvectors, size, centroids = self.skip_centroids(what, columns)
        _require(count == rows * subvectors, f"the {what} has {count} codes, not {rows * subvectors}")
        norms = (self.skip(rows), self.skip_centroids(f"norms of the {what}", 1)[2]) if normed else None
        return Quantised(begins, rows, columns, codes, subvectors, size, centroids, norms, self.at)

    def skip_centroids(self, what: str, columns: int) -> tuple[int, int, int]:
        """Pass over what the codes of a quantised matrix mean: how many a row has, of how many numbers, and where."""
        width, subvectors, size, last = self.take("4i")
        fits = size > 0 and width == columns == (subvectors - 1) * size + last and 0 < last <= size
        _require(fits, f"the {what}: {width} numbers are not {subvectors - 1} times {size} and {last}")
        begins = self.at
        self.skip_weights(width * CENTROIDS)
        return subvectors, size, begins


def _require(fits: bool, otherwise: str) -> None:
    if not fits:
        raise _UnsoundError(otherwise)


def read_layout(path: Path) -> Layout:
    """Read the layout of a model, and make sure that the file is whole and that its numbers agree.

    Raises InputError where it is not a fastText model, not a supervised one, shorter or longer than it says, or where
    loading it or predicting with it would read what is not there.
    """
    try:
        if not path.is_file() and path.exists():  # a pipe or a device could be waited for without end
            raise InputError(f"{path}: not a regular file.", _HINT)
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(_Reader(data), path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}.", _HINT) from error
    except _UnsoundError as error:
        raise InputError(f"{path}: not a sound fastText model: {error}.", _HINT) from error
    except (struct.error, ValueError) as error:  # ValueError: an empty file, or a label that is not UTF-8
        raise InputError(f"{path}: not a whole fastText model.", _HINT) from error


def _read(reader: _Reader, path: Path) -> Layout:
    magic, version = reader.take("ii")
    if magic != _MAGIC or not 0 < version <= _NEWEST:
        raise InputError(f"{path}: not a fastText model.", _HINT)
    dimension, _, _, _, _, word_ngrams, loss, model, buckets, shortest, longest, _ = reader.take("12i")
    reader.take("d")
    if model != _SUPERVISED:
        raise InputError(f"{path}: a fastText model of word vectors, which knows no labels.", _HINT)
    longest = 0 if version == _WITHOUT_SUBWORDS else longest
    _require(0 < dimension <= _WIDEST, f"its vectors have {dimension} numbers")
    _require(loss in _LOSSES, f"its loss has the number {loss}")
    _require(shortest >= 0 and 0 <= longest <= _LONGEST, f"its n-grams have {shortest} to {longest} letters")
    _require(0 <= word_ngrams <= _LONGEST, f"its n-grams have {word_ngrams} words")
    hashed = word_ngrams > 1 or (longest > 0 and longest >= shortest)
    _require(buckets > 0 or (buckets == 0 and not hashed), f"its n-grams have {buckets} buckets")
    words, labels, pruned = _read_words(reader, hierarchical=loss == _HIERARCHICAL)
    rows = words + (buckets if pruned < 0 else pruned)
    _require(rows < _ROWS, f"it has {rows} rows")
    quantised = reader.flag("whether it is quantised")
    _require(quantised or pruned < 0, "it is pruned, and not quantised")
    matrix = reader.skip_matrix("matrix of words", rows, dimension, quantised=quantised)
    quantised &= reader.flag("whether its matrix of labels is quantised")
    reader.skip_matrix("matrix of labels", len(labels), dimension, quantised=quantised)
    if reader.at != len(reader.data):
        raise InputError(f"{path}: not a whole fastText model.", _HINT)
    return Layout(dimension, shortest, longest, buckets, labels, tuple(reader.weights), matrix, pruned >= 0)


def _read_words(reader: _Reader, *, hierarchical: bool) -> tuple[int, tuple[str, ...], int]:
    """Return the number of words, the labels, and how many n-grams were kept (-1: all)."""
    entries, words, count, _, pruned = reader.take("iiiqq")
    _require(
        words >= 0 and count > 0 and entries == words + count, f"{words} words and {count} labels are {entries} entries"
    )
    if entries * _ENTRY > len(reader.data) - reader.at:
        raise struct.error
    labels, counts = [], []
    for number in range(entries):
        text = reader.text()
        seen, kind = reader.take("qb")
        _require(kind == (_WORD if number < words else _LABEL), f"entry {number} is of the kind {kind}")
        if kind == _LABEL:
            labels.append(text.decode().removeprefix("__label__"))
            counts.append(seen)
    if hierarchical:  # or the library's tree of labels has circles, and it follows them
        _require(
            min(counts) > 0 and sum(counts) < _UNUSED, f"its labels were seen {min(counts)} to {max(counts)} times"
        )
    _require(pruned >= -1, f"{pruned} n-grams were kept")
    begin = reader.skip(8 * max(pruned, 0))
    kept = np.frombuffer(reader.data[begin : reader.at], "<i4")[1::2]
    _require(bool(((kept >= 0) & (kept < pruned)).all()), "an n-gram has a row that is not there")
    return words, tuple(labels), pruned


def check_weights(path: Path, layout: Layout) -> None:
    """Make sure that the weights are numbers with which one can reckon. Raises InputError.

    With a NaN or an infinity the library fails on the texts that meet it, or reads beyond a table.
    """
    with path.open("rb") as stream:
        for begin, count in layout.weights:
            stream.seek(begin)
            for at in range(0, 4 * count, _BLOCK):
                block = np.frombuffer(stream.read(min(_BLOCK, 4 * count - at)), "<f4")
                if not bool((np.abs(block) <= _LARGEST).all()):
                    raise InputError(f"{path}: not a sound fastText model: weights that are not numbers.", _HINT)
