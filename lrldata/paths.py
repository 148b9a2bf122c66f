"""The one gate for paths that data names: relative, inside their folder, through no link, to regular files. IO.

A listing of a bucket, a record, a manifest, a card and a plan may be anybody's. What they name is opened, written and
removed through these functions alone, so that none of them reaches a file that is not below the folder they speak of.
"""

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, Self

from lrldata.errors import StorageError

LONGEST = 1_024  # characters: what stores allow for a key
_REFUSED = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\]|^[A-Za-z]:")
_LOOK = "Nothing that lrl writes is so: see who put it there, and remove it."


class PathError(StorageError):
    """A path that leads, or could lead, out of its folder, or to something that is not a regular file."""


def is_safe(name: object) -> bool:
    """Return whether a name is a relative path in its plain form, as ``data/train-00000-of-00001.parquet``."""
    if not isinstance(name, str) or not name or len(name) > LONGEST or _REFUSED.search(name):
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))


def is_segment(name: object) -> bool:
    """Return whether a name can be that of a file or folder, below whatever it is put."""
    return is_safe(name) and "/" not in str(name)


def state_of(file: Path) -> tuple[Any, ...]:
    """Return by what a file is known again while a process runs, as a key: edited, or in another folder, it differs."""
    path = file.absolute()
    try:
        found = path.stat()
    except OSError:
        return (path,)
    return (path, found.st_size, found.st_mtime_ns, found.st_ino)


def safe_name(name: object) -> str:
    """Return a name that is safe to append to a folder. Raises PathError for any other."""
    if not is_safe(name):
        raise PathError(f"{str(name)[:200]!r}: not a path inside of its folder.", _LOOK)
    return str(name)


def inside(folder: Path, name: str) -> Path:
    """Return the path of a name below a folder, whether or not anything is there. Raises PathError.

    The folder itself may be a link, or lie behind one; nothing below it may.
    """
    path = folder
    for part in safe_name(name).split("/"):
        path /= part
        if path.is_symlink():
            raise PathError(f"{path}: a link, which is not followed.", "Put the file itself there, or remove the link.")
    return path


def find(folder: Path, name: str) -> Path | None:
    """Return the path of a regular file below a folder; None where there is nothing. Raises PathError."""
    path = inside(folder, name)
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(mode):
        raise PathError(f"{path}: not a regular file.", _LOOK)
    return path


def walk(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, in order. Raises PathError for a link, a device or a pipe among them."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.is_symlink():
            raise PathError(f"{path}: a link, which is not followed.", "Put the file itself there, or remove the link.")
        if entry.is_dir():
            yield from walk(path)
        elif entry.is_file():
            yield path
        else:
            raise PathError(f"{path}: not a regular file.", _LOOK)


def remove(folder: Path, name: str) -> None:
    """Remove a file below a folder, if it is there. Raises PathError."""
    path = find(folder, name)
    if path is not None:
        path.unlink(missing_ok=True)


def remove_tree(folder: Path) -> None:
    """Remove a folder and what is in it, if it is there; of a link, the link alone."""
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


class Held:
    """A folder that is held open: its files are those that it had, though another takes its place meanwhile.

    Each name is opened from the folder that is held, part by part and through no link, so that it does not matter what
    is exchanged between a look and a reading.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    @property
    def is_current(self) -> bool:
        """Return whether the folder is still the one that is found by its path."""
        try:
            now = self.folder.stat()
        except OSError:
            return False
        held = os.fstat(self._descriptor)
        return (now.st_dev, now.st_ino) == (held.st_dev, held.st_ino)

    def open(self, name: str) -> BufferedReader:
        """Open a regular file to read. Raises PathError, FileNotFoundError."""
        *above, last = safe_name(name).split("/")
        at = os.dup(self._descriptor)
        try:
            for part in above:
                at, before = self._open(part, os.O_DIRECTORY, at, name), at
                os.close(before)
            # A pipe would be waited for.
            descriptor = self._open(last, os.O_NONBLOCK, at, name)
        finally:
            os.close(at)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise PathError(f"{self.folder / name}: not a regular file.", _LOOK)
        return os.fdopen(descriptor, "rb")

    def _open(self, part: str, how: int, at: int, name: str) -> int:
        try:
            return os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | how, dir_fd=at)
        except OSError as error:
            is_link = error.errno == errno.ELOOP or _is_link(part, at)
            if is_link:
                raise PathError(
                    f"{self.folder / name}: a link, which is not followed.",
                    "Put the file itself there; `hf download --local-dir FOLDER` gives files, and no links.",
                ) from error
            if error.errno == errno.ENXIO:
                raise PathError(f"{self.folder / name}: not a regular file.", _LOOK) from error
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise FileNotFoundError(error.errno, error.strerror, str(self.folder / name)) from error
            raise OSError(error.errno, error.strerror, str(self.folder / name)) from error

    def read(self, name: str) -> bytes:
        """Return the content of a regular file. Raises PathError, FileNotFoundError."""
        with self.open(name) as stream:
            return stream.read()


def _is_link(part: str, at: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(part, dir_fd=at, follow_symlinks=False).st_mode)
    except OSError:
        return False
