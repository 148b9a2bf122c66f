"""A quantised model with its matrix written out, which predicts the same in half of the time. IO: a temporary file.

fastText takes the vector of an n-gram from a quantised matrix a few numbers at a time (product quantisation, Jégou et
al. 2011; Joulin et al. 2016, arXiv 1612.03651), and from a plain one all at once. The numbers are the same, and so is
what comes of them, to the last bit.
"""

import struct
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lrldata.langid.modelfile import CENTROIDS, Layout, Quantised

_LARGEST = 64 << 20  # bytes of a matrix that is worth its memory
_NOT_QUANTISED = b"\0"


@contextmanager
def in_full(path: Path, layout: Layout) -> Iterator[Path]:
    """Give the path of the same model with its matrix of words in full, for as long as it takes to load it.

    It is `path` itself where there is nothing to write out, where n-grams were pruned (fastText wants such a model
    quantised), where the matrix would be large, and where no temporary file can be written.
    """
    matrix = layout.quantised
    if matrix is None or layout.pruned or 4 * matrix.rows * matrix.columns > _LARGEST:
        yield path
        return
    with ExitStack() as stack:
        whole = path
        with suppress(OSError):  # a full disk, or none that can be written
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="lrl-", ignore_cleanup_errors=True))
            whole = _write(path.read_bytes(), matrix, Path(folder) / "model.bin")
        yield whole


def _write(data: bytes, matrix: Quantised, target: Path) -> Path:
    with target.open("wb") as stream:
        stream.write(data[: matrix.begins - len(_NOT_QUANTISED)] + _NOT_QUANTISED)
        stream.write(struct.pack("<qq", matrix.rows, matrix.columns))
        stream.write(_numbers(data, matrix).data)
        stream.write(data[matrix.ends :])
    return target


def _numbers(data: bytes, matrix: Quantised) -> npt.NDArray[np.float32]:
    """Return the matrix in full, (rows, columns)."""
    codes = _array(data, "u1", matrix.codes, matrix.rows * matrix.subvectors).reshape(matrix.rows, matrix.subvectors)
    numbers = np.empty((matrix.rows, matrix.columns), dtype="<f4")
    centroids = _array(data, "<f4", matrix.centroids, CENTROIDS * matrix.columns)
    for part, begin in enumerate(range(0, matrix.columns, matrix.size)):
        end = min(begin + matrix.size, matrix.columns)
        meant = centroids[CENTROIDS * begin : CENTROIDS * end].reshape(CENTROIDS, end - begin)
        numbers[:, begin:end] = meant[codes[:, part]]
    if matrix.norms:
        of_rows = _array(data, "u1", matrix.norms[0], matrix.rows)
        numbers *= _array(data, "<f4", matrix.norms[1], CENTROIDS)[of_rows, None]
    return numbers


def _array(data: bytes, kind: str, begin: int, count: int) -> npt.NDArray[Any]:
    return np.frombuffer(data, kind, count, begin)
