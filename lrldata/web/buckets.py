"""Rows of many frames, divided by a hash into buckets that fit into memory one at a time. IO: temporary files."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl


@contextmanager
def buckets(frames: Iterable[pl.DataFrame], key: str, count: int, folder: Path) -> Iterator[Iterator[pl.DataFrame]]:
    """Yield the rows of all frames in `count` buckets, which are the rows with the same remainder of column `key`.

    All columns must be numbers. Rows of a bucket keep their order. With several buckets, rows wait in files in a
    temporary folder within `folder`, so each frame is needed only once.
    """
    if count == 1:
        yield iter([pl.concat(frames)])
        return
    with TemporaryDirectory(prefix="buckets-", dir=folder) as temporary:
        schema = None
        for frame in frames:
            schema = frame.schema
            for (number,), rows in frame.group_by(pl.col(key) % count, maintain_order=True):
                with Path(temporary, str(number)).open("ab") as stream:
                    stream.write(rows.to_numpy(structured=True).tobytes())  # `tofile` ignores a full disk
        dtype = pl.DataFrame(schema=schema).to_numpy(structured=True).dtype
        paths = (Path(temporary, str(number)) for number in range(count))
        yield (pl.DataFrame(np.fromfile(path, dtype), schema=schema) for path in paths if path.is_file())
