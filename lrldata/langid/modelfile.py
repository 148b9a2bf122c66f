"""The layout of a fastText model file, read without loading it. IO.

The C++ library reads a file that was cut short beyond its end and takes the process down with it, so a file is measured
before it is loaded. The layout is fastText's own, version 12 (fastText 0.9; github.com/facebookresearch/fastText).
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from lrldata.errors import InputError

_MAGIC, _NEWEST = 793_712_314, 12
_SUPERVISED = 3
_LABEL = 1
_CENTROIDS = 256  # of each part of a vector of a quantised matrix
_WAY_OUT = "Give a supervised fastText model, .bin or .ftz, as a whole: download or copy it again."


@dataclass(frozen=True)
class Layout:
    """What a model file says of itself: the width of its vectors, the lengths of its n-grams (letters), its labels."""

    dimension: int
    shortest: int
    longest: int
    buckets: int
    labels: tuple[str, ...]


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0

    def take(self, form: str) -> tuple[int, ...]:
        """Read numbers; struct.error at the end of the file."""
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def text(self) -> bytes:
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise struct.error
        found, self.at = self.data[self.at : end], end + 1
        return found

    def skip(self, size: int) -> None:
        self.at += size
        if size < 0 or self.at > len(self.data):
            raise struct.error

    def skip_matrix(self, quantised: bool) -> None:
        if not quantised:
            rows, columns = self.take("qq")
            self.skip(4 * rows * columns)
            return
        normed, rows, _, codes = self.take("?qqi")
        self.skip(codes)
        self.skip_centroids()
        if normed:
            self.skip(rows)
            self.skip_centroids()

    def skip_centroids(self) -> None:
        width, *_ = self.take("4i")
        self.skip(4 * width * _CENTROIDS)


def read_layout(path: Path) -> Layout:
    """Read the layout of a model and make sure that the file is whole.

    Raises InputError where it is no fastText model, not a supervised one, or shorter or longer than it says.
    """
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(_Reader(data), path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.", _WAY_OUT) from error
    except (struct.error, ValueError, UnicodeDecodeError) as error:  # ValueError: an empty file
        raise InputError(f"{path}: not a whole fastText model.", _WAY_OUT) from error


def _read(reader: _Reader, path: Path) -> Layout:
    magic, version = reader.take("ii")
    if magic != _MAGIC or not 0 < version <= _NEWEST:
        raise InputError(f"{path}: not a fastText model.", _WAY_OUT)
    dimension, _, _, _, _, _, _, model, buckets, shortest, longest, _ = reader.take("12i")
    reader.take("d")
    if model != _SUPERVISED:
        raise InputError(f"{path}: a fastText model of word vectors, which knows no labels.", _WAY_OUT)
    entries, _, _, _, pruned = reader.take("iiiqq")
    labels = []
    for _ in range(entries):
        word = reader.text()
        _, kind = reader.take("qb")
        if kind == _LABEL:
            labels.append(word.decode().removeprefix("__label__"))
    reader.skip(8 * max(pruned, 0))
    (quantised,) = reader.take("?")
    reader.skip_matrix(bool(quantised))
    (quantised_out,) = reader.take("?")
    reader.skip_matrix(bool(quantised and quantised_out))
    if reader.at != len(reader.data) or not labels:
        raise InputError(f"{path}: not a whole fastText model.", _WAY_OUT)
    return Layout(dimension, shortest, longest, buckets, tuple(labels))
