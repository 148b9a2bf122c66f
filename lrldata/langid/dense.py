"""Write out the matrix of a quantized model, which then predicts the same in half the time. IO: a temporary file.

fastText reads the vector of an n-gram from a quantized matrix a few numbers at a time (product quantization, Jégou et
al. 2011; Joulin et al. 2016, arXiv 1612.03651), but from a plain one all at once. The numbers are the same, and so are
the predictions, to the last bit.
"""

import struct
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lrldata.langid.modelfile import CENTROIDS, Layout, Quantized

_LARGEST = 64 << 20  # bytes; a larger matrix is not worth its memory
_NOT_QUANTIZED = b"\0"


@contextmanager
def with_full_matrix(path: Path, layout: Layout) -> Iterator[Path]:
    """Yield the path of the same model with its word matrix in full; the file exists until the context ends.

    This is `path` itself if there is nothing to write out, if n-grams were pruned (fastText requires such a model to be
    quantized), if the matrix would be large, or if no temporary file can be written.
    """
    matrix = layout.quantized
    if matrix is None or layout.pruned or 4 * matrix.rows * matrix.columns > _LARGEST:
        yield path
        return
    with ExitStack() as stack:
        full_path = path
        with suppress(OSError):  # the disk is full or not writable
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="lrl-", ignore_cleanup_errors=True))
            full_path = _write(path.read_bytes(), matrix, Path(folder) / "model.bin")
        yield full_path


def _write(data: bytes, matrix: Quantized, target: Path) -> Path:
    with target.open("wb") as stream:
        stream.write(data[: matrix.begins - len(_NOT_QUANTIZED)] + _NOT_QUANTIZED)
        stream.write(struct.pack("<qq", matrix.rows, matrix.columns))
        stream.write(_numbers(data, matrix).data)
        stream.write(data[matrix.ends :])
    return target


def _numbers(data: bytes, matrix: Quantized) -> npt.NDArray[np.float32]:
    """Return the full matrix, (rows, columns)."""
    codes = _array(data, "u1", matrix.codes, matrix.rows * matrix.subvectors).reshape(matrix.rows, matrix.subvectors)
    numbers = np.empty((matrix.rows, matrix.columns), dtype="<f4")
    centroids = _array(data, "<f4", matrix.centroids, CENTROIDS * matrix.columns)
    for part, begin in enumerate(range(0, matrix.columns, matrix.size)):
        end = min(begin + matrix.size, matrix.columns)
        values = centroids[CENTROIDS * begin : CENTROIDS * end].reshape(CENTROIDS, end - begin)
        numbers[:, begin:end] = values[codes[:, part]]
    if matrix.norms:
        norm_codes = _array(data, "u1", matrix.norms[0], matrix.rows)
        numbers *= _array(data, "<f4", matrix.norms[1], CENTROIDS)[norm_codes, None]
    return numbers


def _array(data: bytes, kind: str, begin: int, count: int) -> npt.NDArray[Any]:
    return np.frombuffer(data, kind, count, begin)
