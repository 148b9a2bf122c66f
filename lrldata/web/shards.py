"""Shards: the document files that a build reads, each with its hash and a function to open it. IO."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from lrldata.errors import InputError
from lrldata.fingerprints import fingerprint_file
from lrldata.manifest import sha256_of
from lrldata.web.inputs import Inputs, as_utf8, find_files, is_utf8

LARGE = 1 << 24  # bytes of a file from which on its hash is worth an entry in the cache


@dataclass(frozen=True)
class Shard:
    """One document file: where it is, how to open it, and how a manifest describes it."""

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
    """The requested columns (None: the usual ones), and whether each line of a text is a document."""

    text: str | None = None
    url: str | None = None
    lines: bool = False


def find_shards(path: Path, configuration: str | None) -> list[Shard]:
    """Return the document files of a folder, by name; in a copy of GlotCC-V1, only those of the language.

    `configuration` is GlotCC's name for the language, such as mlt-Latn. Raises InputError if there are none.
    """
    return shards_of(find_files(path, configuration))[0]


def shards_of(
    inputs: Inputs, cache: Path | None = None, *, skip_bad: bool = False
) -> tuple[list[Shard], dict[str, str]]:
    """Return files as shards, and the unreadable ones with reasons. Raises InputError for these unless `skip_bad`.

    Hashes of large files are kept in `cache`, because each job of a study asks for those of all files.
    """
    shards: list[Shard] = []
    skipped: dict[str, str] = {}
    for name, path in inputs.files:
        try:
            shards.append(_local(path, name, cache))
        except InputError as error:
            if not skip_bad:
                raise
            skipped[as_utf8(name)] = as_utf8(error.message.removeprefix(f"{path}: "))
    return shards, skipped


def _local(path: Path, name: str, cache: Path | None) -> Shard:
    if not is_utf8(name):  # the dataset contains the name, and is UTF-8
        raise InputError(f"{path}: the name of this file is not UTF-8.", "Rename it, or leave it out with --skip-bad.")
    try:
        size = path.stat().st_size
        sha256 = sha256_of(path) if cache is None or size < LARGE else fingerprint_file(path, cache)
        return Shard(name, str(path), size, sha256, partial(_open, path))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}).", "Check its permissions, or leave it out with --skip-bad."
        ) from error


def _open(path: Path) -> BinaryIO:
    return path.open("rb")
