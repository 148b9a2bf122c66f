"""Shards: the files of documents that a build reads, each with its hash, and how it is opened. IO."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from lrldata.errors import InputError
from lrldata.manifest import sha256_of
from lrldata.web.inputs import Inputs, as_utf8, find_files, is_utf8


@dataclass(frozen=True)
class Shard:
    """One file of documents: where it is, how it is opened, and what a manifest says of it."""

    name: str
    place: str
    size: int  # bytes
    sha256: str
    open: Callable[[], BinaryIO]

    def entry(self) -> dict[str, object]:
        """Describe it for a manifest."""
        return {"name": self.name, "bytes": self.size, "sha256": self.sha256, "rejected_lines": 0}


@dataclass(frozen=True)
class Columns:
    """The columns that are asked for (None: those that are usual), and whether each line of a text is a document."""

    text: str | None = None
    url: str | None = None
    lines: bool = False


def find_shards(given: Path, configuration: str | None) -> list[Shard]:
    """Return the files of documents of a folder, by name; of a copy of GlotCC-V1 those of the language alone.

    `configuration` is GlotCC's name for the language, as mlt-Latn. Raises InputError where there is none.
    """
    return shards_of(find_files(given, configuration))[0]


def shards_of(inputs: Inputs, *, skip_bad: bool = False) -> tuple[list[Shard], dict[str, str]]:
    """Return files as shards, and those that cannot be, each with the reason. Raises InputError unless `skip_bad`."""
    shards: list[Shard] = []
    skipped: dict[str, str] = {}
    for name, path in inputs.files:
        try:
            shards.append(_local(path, name))
        except InputError as error:
            if not skip_bad:
                raise
            skipped[as_utf8(name)] = as_utf8(error.message)
    return shards, skipped


def _local(path: Path, name: str) -> Shard:
    if not is_utf8(name):  # it would stand in the dataset, which is UTF-8
        raise InputError(f"{path}: the name of this file is not UTF-8.", "Rename it, or leave it out with --skip-bad.")
    try:
        return Shard(name, str(path), path.stat().st_size, sha256_of(path), partial(_open, path))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}).", "Check the rights to it, or leave it out with --skip-bad."
        ) from error


def _open(path: Path) -> BinaryIO:
    return path.open("rb")
