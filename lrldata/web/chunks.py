"""The parts of a corpus during cleaning: a few megabytes of documents each, in files that are complete or absent. IO.

A part stores what is left of its lines after each step, so that an interrupted build resumes with the next part.
"""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from secrets import randbits
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from lrldata.paths import remove

DropCodes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Part:
    """A part, identified by the path that the names of its files begin with.

    lines       left by the line-level steps: doc, text, bytes, and hashes of the text: `exact`, `folded` (lower case)
    documents   name and url, indexed by doc
    described   documents left by the document-level steps: doc, order, folded, size, site, tie (a hash of the URL)
    settled     the same for the documents left by deduplication, with their bytes and rows
    drop_codes  for each line, 0 or the number of the reason why it is dropped
    """

    stem: Path

    def path(self, kind: str) -> Path:
        """Return the path of one of its files."""
        return self.stem.with_name(f"{self.stem.name}.{kind}")

    def is_judged(self) -> bool:
        """Return whether the line-level steps are done: the summary is written last."""
        return self.path("json").is_file()

    def is_described(self) -> bool:
        """Return whether the document-level steps are done."""
        return self.path("described").is_file()

    def read(self, kind: str, *columns: str) -> pl.DataFrame:
        """Read columns of one of its frames; all columns if none are given."""
        return read_frame(self.path(kind), *columns)

    def array(self, kind: str) -> npt.NDArray[Any]:
        """Read one of its arrays."""
        return np.asarray(np.load(self.path(kind)))

    def summary(self) -> dict[str, Any]:
        """Read its counts."""
        counts: dict[str, Any] = json.loads(self.path("json").read_text("utf-8"))
        return counts

    def write_frame(self, kind: str, frame: pl.DataFrame) -> None:
        """Write one of its frames."""
        write_atomically(self.path(kind), lambda path: frame.write_ipc(path, compression="lz4"))

    def write_array(self, kind: str, array: npt.NDArray[Any]) -> None:
        """Write one of its arrays."""
        write_atomically(self.path(kind), lambda path: save_array(path, array))

    def write_summary(self, value: object) -> None:
        """Write its counts."""
        write_atomically(
            self.path("json"), lambda path: path.write_text(json.dumps(value, ensure_ascii=False), "utf-8")
        )


def read_frame(path: Path, *columns: str) -> pl.DataFrame:
    """Read columns of a frame, or all; the file is opened here, as Polars would take its name for a glob pattern."""
    with path.open("rb") as stream:
        return pl.read_ipc(stream, columns=list(columns) or None)


def save_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array as np.save does, which however ignores it if the disk is full at the end."""
    content = io.BytesIO()
    np.save(content, array)
    path.write_bytes(content.getbuffer())


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, and give it its final name only when it is complete."""
    partial = path.with_name(f".{path.name}.{randbits(64)}")
    try:
        write(partial)
        partial.replace(path)
    except BaseException:  # a full disk should not be filled further by every attempt
        remove(path.parent, partial.name)
        raise
