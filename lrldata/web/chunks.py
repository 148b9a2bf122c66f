"""The parts of a corpus while it is cleaned: some megabytes of documents each, in files that are whole or absent. IO.

A part has what is left of its lines after each step, so that a build that was stopped goes on with the next part.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from secrets import randbits
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

DropCodes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Part:
    """A part, by the path that its files' names begin with.

    lines       what the steps for lines left: doc, text, bytes, and hashes of the text: `exact`, `folded` (lower case)
    documents   name and url, by doc
    described   documents that the steps for documents left: doc, order, folded, size, site, tie (a hash of the URL)
    settled     the same of those that duplicates left, with bytes and rows
    drop_codes       for each of the lines: 0, or the number of the reason for which it goes
    """

    stem: Path

    def path(self, kind: str) -> Path:
        """Return the path of one of its files."""
        return self.stem.with_name(f"{self.stem.name}.{kind}")

    def is_judged(self) -> bool:
        """Return whether the steps for lines are done: the summary is written last."""
        return self.path("json").is_file()

    def is_described(self) -> bool:
        """Return whether the steps for documents are done."""
        return self.path("described").is_file()

    def read(self, kind: str, *columns: str) -> pl.DataFrame:
        """Read columns of one of its frames; none named: all."""
        return read_frame(self.path(kind), *columns)

    def array(self, kind: str) -> npt.NDArray[Any]:
        """Read one of its arrays."""
        return np.asarray(np.load(self.path(kind)))

    def summary(self) -> dict[str, Any]:
        """Read what was counted in it."""
        found: dict[str, Any] = json.loads(self.path("json").read_text("utf-8"))
        return found

    def write_frame(self, kind: str, frame: pl.DataFrame) -> None:
        """Write one of its frames."""
        whole(self.path(kind), lambda path: frame.write_ipc(path, compression="lz4"))

    def write_array(self, kind: str, array: npt.NDArray[Any]) -> None:
        """Write one of its arrays."""

        def write(path: Path) -> None:
            with path.open("wb") as stream:
                np.save(stream, array)

        whole(self.path(kind), write)

    def write_summary(self, value: object) -> None:
        """Write what was counted in it."""
        whole(self.path("json"), lambda path: path.write_text(json.dumps(value, ensure_ascii=False), "utf-8"))


def read_frame(path: Path, *columns: str) -> pl.DataFrame:
    """Read columns of a frame, or all, from a file: by its own name, which Polars would take for a pattern."""
    with path.open("rb") as stream:
        return pl.read_ipc(stream, columns=list(columns) or None)


def whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file that gets its name only when it is whole."""
    partial = path.with_name(f".{path.name}.{randbits(64)}")
    write(partial)
    partial.replace(path)
